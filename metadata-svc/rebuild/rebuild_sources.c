#include "metadata-svc/rebuild/rebuild_sources.h"

#include <stdio.h>

#include "common/base/stop_signal.h"
#include "common/client/waybill_client.h"
#include "common/stream/stream_reader.h"
#include "metadata-svc/publish/cloud_event.h"

enum { CONNECT_MS = 5000, ATTEMPTS = 4 };

static void pass_over(struct rebuild_source *source, const char *what, const struct error *why) {
    source->passed_over_total++;
    source->passed_over(source->self, what, why->message);
}

/* ---- events ---- */

struct event_reading {
    struct gathered *gathered;
    const char *shard;
    struct rebuild_source *source;
    struct error *error;
    int64_t count;
};

static bool take_event(void *self, const char *message_id, struct bytes body) {
    struct event_reading *reading = self;
    struct error why = {0};
    struct arena arena;
    if (cloud_event_revision(reading->shard, message_id) == 0) {
        return true; /* somebody else's */
    }
    arena_init(&arena);
    Waybill__V1__ChangeEvent *event = waybill__v1__change_event__unpack(arena_protobuf(&arena), body.size, body.data);
    bool good = event != NULL ? gathered_add_event(reading->gathered, event, &why)
                              : error_set(&why, ERROR_DATA_LOSS, "RECORD_CORRUPT", "an event cannot be decoded");
    arena_free(&arena);
    if (!good && why.code == ERROR_DATA_LOSS) {
        pass_over(reading->source, message_id, &why);
        good = true;
    }
    if (!good) {
        *reading->error = why;
        return false;
    }
    reading->source->progress(reading->source->self, "event stream", ++reading->count);
    return true;
}

static void on_state(void *self, bool connected) {
    if (connected) {
        stop_signal_raise(self);
    }
}

/* Waits for the server. */
static struct stream_connection *connect_to(const char *nats_url, struct stop_signal *connected, struct error *error) {
    struct stream_connection_options options = {
        .urls = nats_url, .name = "waybill-rebuild", .on_state = on_state, .self = connected};
    struct stream_connection *connection = stream_connection_new(&options, error);
    if (connection != NULL && !stop_signal_pause(connected, CONNECT_MS)) {
        error_set(error, ERROR_UNAVAILABLE, "EVENT_STREAM_FAILED", "no answer from %s", nats_url);
        stream_connection_free(connection);
        return NULL;
    }
    return connection;
}

bool rebuild_read_events(struct gathered *gathered, const char *nats_url, const char *shard,
                         struct rebuild_source *source, bool *exists, struct error *error) {
    char stream[64];
    char subjects[64];
    struct event_reading reading = {gathered, shard, source, error, 0};
    struct stop_signal connected;
    snprintf(stream, sizeof stream, "WAYBILL_CHANGES_%s", shard);
    snprintf(subjects, sizeof subjects, "waybill.changes.%s.>", shard);
    stop_signal_init(&connected);
    struct stream_connection *connection = connect_to(nats_url, &connected, error);
    bool good =
        connection != NULL && stream_read_all(connection, stream, subjects, take_event, &reading, exists, error);
    stream_connection_free(connection);
    stop_signal_destroy(&connected);
    return good;
}

/* ---- objects ---- */

struct object_reading {
    struct gathered *gathered;
    struct rebuild_source *source;
    char *replica;
    char what[REBUILD_REPLICA_BYTES + 32];
    enum tier tier;
    int64_t count;
};

static void name_source(struct object_reading *reading, const char *replica) {
    snprintf(reading->replica, REBUILD_REPLICA_BYTES, "%s", replica);
    snprintf(reading->what, sizeof reading->what, "%s%s",
             reading->tier == TIER_HOT ? "hot volumes of " : "cold store, read by ", reading->replica);
}

static bool take_object(struct object_reading *reading, const Waybill__V1__StoredObject *object, struct error *error) {
    struct error why = {0};
    if (gathered_add_object(reading->gathered, object, &why)) {
        reading->count++;
        return true;
    }
    if (why.code != ERROR_DATA_LOSS) {
        *error = why;
        return false;
    }
    pass_over(reading->source, object->record != NULL ? object->record->key : "", &why);
    return true;
}

static void tell_damage(struct object_reading *reading, const Waybill__V1__StoredObject *object) {
    char name[256];
    if (object->damage[0] != '\0' && object->record != NULL) {
        snprintf(name, sizeof name, "%s/%.150s version %lld", object->record->bucket, object->record->key,
                 (long long)object->record->version);
        reading->source->passed_over(reading->source->self, name, object->damage);
    }
}

static bool take_message(void *self, const Waybill__V1__ListStoredObjectsResponse *message, struct error *error) {
    struct object_reading *reading = self;
    name_source(reading, message->replica);
    for (size_t i = 0; i < message->n_objects; i++) {
        tell_damage(reading, message->objects[i]);
        if (!take_object(reading, message->objects[i], error)) {
            return false;
        }
    }
    reading->source->progress(reading->source->self, reading->what, reading->count);
    return true;
}

bool rebuild_read_objects(struct gathered *gathered, const char *target, enum tier tier, struct rebuild_source *source,
                          char replica[REBUILD_REPLICA_BYTES], struct error *error) {
    struct object_reading reading = {.gathered = gathered, .source = source, .replica = replica, .tier = tier};
    struct waybill_client_options options = {.object = target, .max_attempts = ATTEMPTS};
    struct waybill_stored_visitor visitor = {take_message, &reading};
    struct waybill_client *client = waybill_client_new(&options);
    replica[0] = '\0';
    bool good = waybill_list_stored_objects(client, (Waybill__V1__Tier)tier, &visitor, error);
    waybill_client_free(client);
    if (!good) {
        error_prefix(error, target);
    }
    return good;
}
