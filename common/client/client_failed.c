/* Payloads that were given up, one at a time; their listing is in client_pages.c. */
#include "common/client/client_parts.h"

bool waybill_get_failed(struct waybill_client *client, const char *payload_id, struct arena *arena,
                        Waybill__V1__FailedPayload **payload, struct error *error) {
    Waybill__V1__ListFailedPayloadsRequest request = WAYBILL__V1__LIST_FAILED_PAYLOADS_REQUEST__INIT;
    request.payload_id = client_text(payload_id);
    const Waybill__V1__ListFailedPayloadsResponse *response =
        (const Waybill__V1__ListFailedPayloadsResponse *)client_call(
            client, client->metadata, "/waybill.v1.AdminService/ListFailedPayloads", &request.base,
            &waybill__v1__list_failed_payloads_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    if (response->n_payloads == 0) {
        return error_set(error, ERROR_NOT_FOUND, "PAYLOAD_NOT_FOUND", "no payload of that id has failed and is kept");
    }
    *payload = response->payloads[0];
    return true;
}

bool waybill_retry_payload(struct waybill_client *client, const char *payload_id, const char *reason,
                           struct arena *arena, Waybill__V1__Record **record, struct error *error) {
    Waybill__V1__RetryPayloadRequest request = WAYBILL__V1__RETRY_PAYLOAD_REQUEST__INIT;
    request.payload_id = client_text(payload_id);
    request.reason = client_text(reason);
    const Waybill__V1__RetryPayloadResponse *response = (const Waybill__V1__RetryPayloadResponse *)client_call(
        client, client->metadata, "/waybill.v1.AdminService/RetryPayload", &request.base,
        &waybill__v1__retry_payload_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *record = response->record;
    return *record != NULL || client_bad_answer(error, "holds no record");
}

bool waybill_cancel_payload(struct waybill_client *client, const char *payload_id, const char *reason,
                            struct arena *arena, Waybill__V1__Record **record, struct error *error) {
    Waybill__V1__CancelPayloadRequest request = WAYBILL__V1__CANCEL_PAYLOAD_REQUEST__INIT;
    request.payload_id = client_text(payload_id);
    request.reason = client_text(reason);
    const Waybill__V1__CancelPayloadResponse *response = (const Waybill__V1__CancelPayloadResponse *)client_call(
        client, client->metadata, "/waybill.v1.AdminService/CancelPayload", &request.base,
        &waybill__v1__cancel_payload_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *record = response->record;
    return *record != NULL || client_bad_answer(error, "holds no record");
}
