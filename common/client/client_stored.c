/* ListStoredObjects: all objects of a tier, message after message. */
#include "common/client/client_parts.h"
#include "common/rpc/proto_message.h"

static bool take_message(const struct waybill_stored_visitor *visitor, struct bytes wire, struct error *error) {
    struct arena arena;
    arena_init(&arena);
    const Waybill__V1__ListStoredObjectsResponse *message =
        (const Waybill__V1__ListStoredObjectsResponse *)proto_decode(
            &waybill__v1__list_stored_objects_response__descriptor, wire, &arena, error);
    bool good =
        message != NULL ? visitor->take(visitor->self, message, error) : client_bad_answer(error, "is malformed");
    arena_free(&arena);
    return good;
}

/* `begun` tells whether anything came. */
static bool list_once(struct waybill_client *client, Waybill__V1__Tier tier,
                      const struct waybill_stored_visitor *visitor, bool *begun, struct error *error) {
    struct client_stream stream;
    Waybill__V1__ListStoredObjectsRequest request = WAYBILL__V1__LIST_STORED_OBJECTS_REQUEST__INIT;
    request.tier = tier;
    if (!client_stream_open(client, client->object, "/waybill.v1.AdminService/ListStoredObjects", &stream, error)) {
        return false;
    }
    rpc_stream_write_last(stream.stream, &request.base);
    struct bytes wire;
    while (rpc_stream_read(stream.stream, &wire, error) == RPC_READ_MESSAGE) {
        *begun = true;
        if (!take_message(visitor, wire, error)) {
            client_stream_abandon(client, &stream);
            return false;
        }
    }
    return client_stream_close(client, &stream, error);
}

bool waybill_list_stored_objects(struct waybill_client *client, Waybill__V1__Tier tier,
                                 const struct waybill_stored_visitor *visitor, struct error *error) {
    bool begun = false;
    for (unsigned made = 1; !list_once(client, tier, visitor, &begun, error); made++) {
        if (begun || !client_worth_retrying(error) || made >= client->max_attempts ||
            !client_back_off(client, made, error, error)) {
            return false;
        }
    }
    return true;
}
