/* A change event as a CloudEvent in binary mode (CloudEvents 1.0, NATS protocol binding):
 * attributes in `ce-` headers, the ChangeEvent as the body. */
#ifndef WAYBILL_PUBLISH_CLOUD_EVENT_H
#define WAYBILL_PUBLISH_CLOUD_EVENT_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/stream/stream_publisher.h"

enum { CLOUD_EVENT_MAX_HEADERS = 12 };

struct cloud_event {
    const char *subject;    /* waybill.changes.<shard>.<bucket>.<type> */
    const char *message_id; /* <shard>-<revision> */
    struct stream_header headers[CLOUD_EVENT_MAX_HEADERS];
    size_t header_count;
};

/* Describes an encoded ChangeEvent; all of it in the arena. DATA_LOSS when it cannot be read. */
bool cloud_event_make(const char *shard, struct bytes change, struct arena *arena, struct cloud_event *event,
                      struct error *error);
/* <shard>-<revision> */
void cloud_event_message_id(const char *shard, int64_t revision, char id[STREAM_MESSAGE_ID_BYTES]);
/* The revision in a message id of this shard; 0 when it is none. */
int64_t cloud_event_revision(const char *shard, const char *message_id);

#endif
