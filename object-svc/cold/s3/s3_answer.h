/* What S3 answers in XML.
 *
 * Pure functions; any thread. Documents are read without entities, DTDs or the network. */
#ifndef WAYBILL_S3_S3_ANSWER_H
#define WAYBILL_S3_S3_ANSWER_H

#include "common/base/bytes.h"

enum { S3_CODE_BYTES = 64, S3_TEXT_BYTES = 256 };

/* <Error>; false where the document is none. */
struct s3_error {
    char code[S3_CODE_BYTES];
    char message[S3_TEXT_BYTES];
};
bool s3_answer_error(struct bytes xml, struct s3_error *out);

/* The text of a child of the root, to be freed by the caller; NULL where there is none. `root` is
 * the name that the root must have. */
char *s3_answer_text(struct bytes xml, const char *root, const char *child);

/* Called for each child of the root by that name with the text of two of its children, NULL
 * where missing; false ends the walk. */
typedef bool s3_answer_visitor(void *context, const char *first, const char *second);
/* False where the document is not well formed or its root has another name. */
bool s3_answer_each(struct bytes xml, const char *root, const char *child, const char *first, const char *second,
                    s3_answer_visitor *visit, void *context);

#endif
