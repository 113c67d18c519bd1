/* A batch of changes in the making: the overlay they are made in, and the revision and time
 * they get. Used by the parts of the commit engine only. */
#ifndef WAYBILL_COMMIT_CHANGE_BUILDER_H
#define WAYBILL_COMMIT_CHANGE_BUILDER_H

#include "metadata-svc/commit/commit_request.h"
#include "metadata-svc/commit/overlay.h"
#include "metadata-svc/commit/report_order.h"

struct change_builder {
    struct overlay overlay;
    const char *shard;
    int64_t redrive_after_us; /* these three as in struct commit_engine_options */
    int64_t failed_retention_us;
    int64_t drop_delay_us;
    struct report_order *report_order;
    int64_t revision; /* of the last change made */
    int64_t now_us;   /* the batch's commit time */
    bool has_bucket;  /* in this batch: */
    struct bucket bucket;
};

/* record_store_get_bucket through the batch: most changes of a batch are in one bucket, which is
 * decoded once. */
bool change_builder_get_bucket(struct change_builder *builder, const char *name, struct arena *arena,
                               struct bucket *bucket, struct error *error);
/* The same where a bucket that is gone is no error: false only when the store fails. */
bool change_builder_find_bucket(struct change_builder *builder, const char *name, struct arena *arena,
                                struct bucket *bucket, bool *found, struct error *error);
/* A batch begins, or a bucket changed in this one. */
void change_builder_forget_bucket(struct change_builder *builder);

/* What an event tells besides the after-image. */
struct change {
    enum change_type type;
    int64_t previous_revision;
    int64_t previous_version;
    const struct uuid *request_id; /* NULL for none */
};

/* Gives the change the next revision and returns it; the after-image must carry it, so it is
 * taken before change_builder_log_*. */
int64_t change_builder_next_revision(struct change_builder *builder);
/* Puts the event into the batch. */
void change_builder_log_record(struct change_builder *builder, const struct change *change, const struct record *record,
                               struct bytes record_wire, struct arena *arena);
void change_builder_log_bucket(struct change_builder *builder, const struct change *change, const struct bucket *bucket,
                               const struct cause *cause, struct arena *arena);
/* Makes `record`, whose version is one above `old`'s, the latest of its key: moves the old head
 * (NULL where there is none) into the history, gives the record the next revision, schedules
 * what the bucket's policy makes due, and logs the change as `request`'s. Its record_wire is then
 * the record's. False only when the store fails. */
bool change_builder_add_version(struct change_builder *builder, const struct bucket *bucket, struct record *record,
                                const struct record_head *old, enum change_type type, struct commit_request *request,
                                struct error *error);
/* Counts `record`, which is about to be added, among the versions that have its payload. False only
 * when the store fails. */
bool change_builder_share_payload(struct change_builder *builder, const struct record *record, struct arena *arena,
                                  struct error *error);
/* Changes the state of an existing version, be it the latest or an older one, and of those that
 * share its payload: gives it the next revision, keeps the key's serving version right and
 * logs the change. Where the payload is shared, `record` becomes the newest version that has
 * it. False only when the store fails. */
bool change_builder_update_version(struct change_builder *builder, struct record *record, enum change_type type,
                                   const struct uuid *request_id, struct arena *arena, struct error *error);

#endif
