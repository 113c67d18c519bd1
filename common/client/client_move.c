#include "common/client/client_parts.h"

enum { POLL_MS = 100 };

/* What both answers tell. */
struct answer {
    Waybill__V1__Record *record;
    bool done;
    int64_t moved_bytes;
};

static bool ask_promotion(struct waybill_client *client, const struct waybill_move *move, int64_t version,
                          struct arena *arena, struct answer *answer, struct error *error) {
    Waybill__V1__PromoteObjectRequest request = WAYBILL__V1__PROMOTE_OBJECT_REQUEST__INIT;
    request.bucket = client_text(move->bucket);
    request.key = client_text(move->key);
    request.version = version;
    request.no_wait = true;
    const Waybill__V1__PromoteObjectResponse *response = (const Waybill__V1__PromoteObjectResponse *)client_call(
        client, client->object, "/waybill.v1.ObjectService/PromoteObject", &request.base,
        &waybill__v1__promote_object_response__descriptor, arena, error);
    if (response != NULL) {
        *answer = (struct answer){response->record, response->done, response->moved_bytes};
    }
    return response != NULL;
}

static bool ask_demotion(struct waybill_client *client, const struct waybill_move *move, int64_t version,
                         struct arena *arena, struct answer *answer, struct error *error) {
    Waybill__V1__DemoteObjectRequest request = WAYBILL__V1__DEMOTE_OBJECT_REQUEST__INIT;
    request.bucket = client_text(move->bucket);
    request.key = client_text(move->key);
    request.version = version;
    request.no_wait = true;
    const Waybill__V1__DemoteObjectResponse *response = (const Waybill__V1__DemoteObjectResponse *)client_call(
        client, client->object, "/waybill.v1.ObjectService/DemoteObject", &request.base,
        &waybill__v1__demote_object_response__descriptor, arena, error);
    if (response != NULL) {
        *answer = (struct answer){response->record, response->done, response->moved_bytes};
    }
    return response != NULL;
}

/* One look; the move is of the version that the first one found. */
static bool look(struct waybill_client *client, const struct waybill_move *move, int64_t *version, struct arena *arena,
                 struct answer *answer, struct error *error) {
    bool good = move->to_cold ? ask_demotion(client, move, *version, arena, answer, error)
                              : ask_promotion(client, move, *version, arena, answer, error);
    if (good && answer->record == NULL) {
        return client_bad_answer(error, "holds no record");
    }
    *version = good ? answer->record->version : *version;
    return good;
}

/* Looks until it is done; `size_bytes` of the object. */
static bool await(struct waybill_client *client, const struct waybill_move *move, int64_t version, int64_t size_bytes,
                  const struct waybill_move_watcher *watcher, struct error *error) {
    struct answer seen = {0};
    while (!seen.done) {
        struct arena looked_at;
        if (watcher != NULL) {
            watcher->look(watcher->self, seen.moved_bytes, size_bytes);
        }
        if (!client_pause(client, POLL_MS, error)) {
            return false;
        }
        arena_init(&looked_at);
        bool good = look(client, move, &version, &looked_at, &seen, error);
        arena_free(&looked_at);
        if (!good) {
            return false;
        }
    }
    return true;
}

bool waybill_move_object(struct waybill_client *client, const struct waybill_move *move,
                         const struct waybill_move_watcher *watcher, struct arena *arena, bool *done,
                         Waybill__V1__Record **record, struct error *error) {
    int64_t version = move->version;
    struct answer answer;
    if (!look(client, move, &version, arena, &answer, error)) {
        return false;
    }
    *record = answer.record;
    *done = answer.done;
    if (*done || !move->wait) {
        return true;
    }
    *done = await(client, move, version, answer.record->size, watcher, error);
    return *done && waybill_get_record(client, move->bucket, move->key, version, true, arena, record, error);
}
