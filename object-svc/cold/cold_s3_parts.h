/* What the parts of the S3 backend share; for cold_s3*.c only. */
#ifndef WAYBILL_COLD_COLD_S3_PARTS_H
#define WAYBILL_COLD_COLD_S3_PARTS_H

#include <pthread.h>

#include "object-svc/cold/cold_object.h"
#include "object-svc/cold/cold_s3.h"
#include "object-svc/cold/cold_s3_ahead.h"
#include "object-svc/cold/cold_s3_sender.h"
#include "object-svc/cold/cold_sidecar.h"

enum {
    COLD_S3_KEY_BYTES = COLD_SIDECAR_PATH_BYTES + 256, /* a name that is too long fits, to be refused */
    COLD_S3_NOTE_BYTES = UUID_TEXT_BYTES,
};

struct cold_s3 {
    struct cold_store base;
    struct s3_client *client;
    struct s3_sender *sender;
    struct s3_ahead *ahead;
    const struct clock *clock;
    char prefix[256]; /* "" or ending in '/' */
    uint64_t part_bytes;
    int uploads; /* the directory of the notes */
    pthread_mutex_t lock;
    struct buffer leftovers; /* notes whose uploads are to be aborted (cold_s3_uploads.c), one per S3 name */
};

static inline struct cold_s3 *cold_s3_of(struct cold_store *store) {
    return (struct cold_s3 *)store;
}

/* The S3 names of the object's bytes and of its sidecar. */
bool cold_s3_keys(const struct cold_s3 *self, const struct cold_name *name, char key[COLD_S3_KEY_BYTES],
                  char sidecar[COLD_S3_KEY_BYTES], struct error *error);

/* cold_s3_uploads.c: notes of multipart uploads. */
/* Notes that an upload of the key begins; durable on return. */
bool cold_s3_note_upload(struct cold_s3 *self, const char *key, char note[COLD_S3_NOTE_BYTES], struct error *error);
/* The upload has ended. */
void cold_s3_drop_note(struct cold_s3 *self, const char *note);
/* It may not have ended: to be aborted as soon as the server lets us. */
void cold_s3_leave_note(struct cold_s3 *self, const char *note, const char *key);
/* Takes up the notes of an earlier run. */
bool cold_s3_find_notes(struct cold_s3 *self, struct error *error);
/* Aborts what was left behind; what cannot be aborted now stays noted. */
void cold_s3_clear_uploads(struct cold_s3 *self);

/* cold_s3_write.c */
struct cold_writer *cold_s3_begin(struct cold_store *store, const struct provenance *provenance, struct error *error);
bool cold_s3_append(struct cold_writer *writer, struct bytes data, struct error *error);
bool cold_s3_finish(struct cold_writer *writer, struct error *error);
void cold_s3_abort(struct cold_writer *writer);

/* cold_s3_read.c */
/* Reads the object's sidecar into the arena and holds it to the object's length. */
bool cold_s3_load_sidecar(struct cold_s3 *self, const struct cold_name *name, struct arena *arena,
                          struct cold_sidecar *sidecar, struct error *error);
struct cold_reader *cold_s3_open_object(struct cold_store *store, const struct cold_name *name, struct error *error);
const struct provenance *cold_s3_reader_provenance(const struct cold_reader *reader);
int64_t cold_s3_read(struct cold_reader *reader, uint64_t offset, void *out, size_t size, struct error *error);
void cold_s3_close_reader(struct cold_reader *reader);
bool cold_s3_verify(struct cold_store *store, const struct provenance *expected, struct error *error);

#endif
