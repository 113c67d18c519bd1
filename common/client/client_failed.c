/* Payloads that were given up, one at a time; their listing is in client_pages.c. What metadata-svc does not
 * know may be a dead letter of object-svc. */
#include <string.h>

#include "common/client/client_parts.h"

static bool is_unknown(const struct error *error) {
    return error->code == ERROR_NOT_FOUND && strcmp(error->reason, "PAYLOAD_NOT_FOUND") == 0;
}

static const Waybill__V1__ListFailedPayloadsResponse *list_one(struct waybill_client *client,
                                                               struct rpc_channel *channel, const char *payload_id,
                                                               struct arena *arena, struct error *error) {
    Waybill__V1__ListFailedPayloadsRequest request = WAYBILL__V1__LIST_FAILED_PAYLOADS_REQUEST__INIT;
    request.payload_id = client_text(payload_id);
    return (const Waybill__V1__ListFailedPayloadsResponse *)client_call(
        client, channel, "/waybill.v1.AdminService/ListFailedPayloads", &request.base,
        &waybill__v1__list_failed_payloads_response__descriptor, arena, error);
}

bool waybill_get_failed(struct waybill_client *client, const char *payload_id, struct arena *arena,
                        Waybill__V1__FailedPayload **payload, struct error *error) {
    const Waybill__V1__ListFailedPayloadsResponse *response =
        list_one(client, client->metadata, payload_id, arena, error);
    if (response != NULL && response->n_payloads == 0) {
        response = list_one(client, client->object, payload_id, arena, error);
    }
    if (response == NULL) {
        return false;
    }
    if (response->n_payloads == 0) {
        return error_set(error, ERROR_NOT_FOUND, "PAYLOAD_NOT_FOUND",
                         "no payload of that id has failed and is kept, nor does this object-svc have such a letter");
    }
    *payload = response->payloads[0];
    return true;
}

bool waybill_retry_payload(struct waybill_client *client, const struct waybill_payload_change *change,
                           struct arena *arena, Waybill__V1__Record **record, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__RetryPayloadRequest request = WAYBILL__V1__RETRY_PAYLOAD_REQUEST__INIT;
    request.payload_id = client_text(change->payload_id);
    request.request_id = client_request_id(change->request_id, id);
    request.reason = client_text(change->reason);
    const Waybill__V1__RetryPayloadResponse *response = (const Waybill__V1__RetryPayloadResponse *)client_call(
        client, client->metadata, "/waybill.v1.AdminService/RetryPayload", &request.base,
        &waybill__v1__retry_payload_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *record = response->record;
    return *record != NULL || client_bad_answer(error, "holds no record");
}

static const Waybill__V1__CancelPayloadResponse *cancel(struct waybill_client *client, struct rpc_channel *channel,
                                                        const struct waybill_payload_change *change,
                                                        struct arena *arena, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__CancelPayloadRequest request = WAYBILL__V1__CANCEL_PAYLOAD_REQUEST__INIT;
    request.payload_id = client_text(change->payload_id);
    request.request_id = client_request_id(change->request_id, id);
    request.reason = client_text(change->reason);
    return (const Waybill__V1__CancelPayloadResponse *)client_call(
        client, channel, "/waybill.v1.AdminService/CancelPayload", &request.base,
        &waybill__v1__cancel_payload_response__descriptor, arena, error);
}

bool waybill_cancel_payload(struct waybill_client *client, const struct waybill_payload_change *change,
                            struct arena *arena, Waybill__V1__Record **record, struct error *error) {
    struct error letter_error = {0};
    const Waybill__V1__CancelPayloadResponse *response = cancel(client, client->metadata, change, arena, error);
    if (response == NULL && is_unknown(error)) {
        response = cancel(client, client->object, change, arena, &letter_error);
        if (response == NULL && letter_error.code != ERROR_NOT_FOUND) {
            *error = letter_error;
        }
    }
    if (response == NULL) {
        return false;
    }
    *record = response->record;
    return *record != NULL || client_bad_answer(error, "holds no record");
}
