/* What signs the requests: read from files of one line, or from the environment.
 *
 * They are read anew for each request, so that they may be exchanged while the service runs.
 * They are never logged, and wiped after use. Any thread. */
#ifndef WAYBILL_S3_S3_CREDENTIALS_H
#define WAYBILL_S3_S3_CREDENTIALS_H

#include "common/base/error.h"

enum { S3_SECRET_BYTES = 4096 };

/* Paths; "": AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. */
struct s3_credential_files {
    const char *access_key;
    const char *secret_key;
    const char *session_token;
};

struct s3_credentials {
    char access_key[S3_SECRET_BYTES];
    char secret_key[S3_SECRET_BYTES];
    char session_token[S3_SECRET_BYTES]; /* "" for none */
};

/* FAILED_PRECONDITION, COLD_STORE_CREDENTIALS where one is missing or cannot be read; the
 * field is the configuration key to blame. Wipe `out` after use. */
bool s3_credentials_read(const struct s3_credential_files *files, struct s3_credentials *out, struct error *error);
void s3_credentials_wipe(struct s3_credentials *credentials);

#endif
