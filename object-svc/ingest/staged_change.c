#include "object-svc/ingest/staged_change.h"

#include "common/rpc/proto_message.h"
#include "object-svc/upstream/record_provenance.h"
#include "waybill/v1/event.pb-c.h"

static int64_t to_us(const Google__Protobuf__Timestamp *timestamp) {
    return timestamp != NULL ? timestamp->seconds * 1000000 + timestamp->nanos / 1000 : 0;
}

static bool bad(struct error *error, const char *what) {
    return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_EVENT", "the event %s", what);
}

bool staged_change_read(struct bytes event, struct arena *arena, struct staged_change *change, struct error *error) {
    Waybill__V1__ChangeEvent *message =
        (Waybill__V1__ChangeEvent *)proto_decode(&waybill__v1__change_event__descriptor, event, arena, error);
    if (message == NULL) {
        return bad(error, "cannot be decoded");
    }
    const Waybill__V1__Record *record = message->record;
    if (message->type != WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STAGED || record == NULL) {
        return bad(error, "does not tell of a staged payload");
    }
    if (!record_provenance(record, arena, &change->provenance, error)) {
        return false;
    }
    change->provenance.commit_unix_us = to_us(message->commit_time);
    change->provenance.store_unix_us = 0;
    change->commit_us = change->provenance.commit_unix_us;
    return true;
}
