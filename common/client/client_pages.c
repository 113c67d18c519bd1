/* Listings: page after page, up to the limit. */
#include <string.h>

#include "common/client/client_parts.h"

enum { PAGE_MOST = 1000 };

/* ---- pages of any listing ---- */

/* The request has page_size and page_token, the answer next_page_token; all that the answer
 * repeats are entries. */
struct pages {
    struct waybill_client *client;
    struct rpc_channel *channel; /* NULL: metadata-svc's */
    const char *path;
    ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response_type;
    /* From pages_begin on. */
    struct arena arena; /* of the present page */
    struct waybill_paging paging;
    int64_t left; /* of the limit */
    char *token;  /* where the next page begins; on the heap */
    bool ended, failed;
};

static void *member(ProtobufCMessage *message, const char *name) {
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    return (char *)message + field->offset;
}

static int64_t count_entries(const ProtobufCMessage *page) {
    size_t count = 0;
    for (unsigned i = 0; i < page->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &page->descriptor->fields[i];
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            count += *(const size_t *)((const char *)page + field->quantifier_offset);
        }
    }
    return (int64_t)count;
}

static int32_t next_size(const struct pages *pages) {
    int32_t asked = pages->paging.page_size;
    int32_t most = asked > 0 ? asked : PAGE_MOST;
    bool limited = pages->paging.limit > 0;
    return limited ? (pages->left < most ? (int32_t)pages->left : most) : asked;
}

/* Copies the token, which must outlive its page. */
static void keep_token(struct pages *pages, const char *token) {
    free(pages->token);
    pages->token = strdup(token);
    if (pages->token == NULL) {
        abort();
    }
}

/* `paging` may be NULL. */
static void pages_begin(struct pages *pages, const struct waybill_paging *paging) {
    arena_init(&pages->arena);
    if (paging != NULL) {
        pages->paging = *paging;
    }
    pages->left = pages->paging.limit;
    keep_token(pages, client_text(pages->paging.page_token));
}

/* The next page, valid until the next call; NULL after the last one, and on failure. */
static ProtobufCMessage *pages_next(struct pages *pages, struct error *error) {
    arena_free(&pages->arena);
    if (pages->ended) {
        return NULL;
    }
    *(char **)member(pages->request, "page_token") = pages->token;
    *(int32_t *)member(pages->request, "page_size") = next_size(pages);
    struct rpc_channel *channel = pages->channel != NULL ? pages->channel : pages->client->metadata;
    ProtobufCMessage *page =
        client_call(pages->client, channel, pages->path, pages->request, pages->response_type, &pages->arena, error);
    if (page == NULL) {
        pages->ended = pages->failed = true;
        return NULL;
    }
    keep_token(pages, *(char **)member(page, "next_page_token"));
    pages->left -= count_entries(page);
    pages->ended = pages->token[0] == '\0' || (pages->paging.limit > 0 && pages->left <= 0);
    return page;
}

/* Whether no call failed. */
static bool pages_end(struct pages *pages) {
    arena_free(&pages->arena);
    free(pages->token);
    return !pages->failed;
}

/* ---- the listings ---- */

bool waybill_list_buckets(struct waybill_client *client, const struct waybill_paging *paging,
                          waybill_bucket_page *visit, void *context, struct error *error) {
    Waybill__V1__ListBucketsRequest request = WAYBILL__V1__LIST_BUCKETS_REQUEST__INIT;
    struct pages pages = {.client = client,
                          .path = "/waybill.v1.MetadataService/ListBuckets",
                          .request = &request.base,
                          .response_type = &waybill__v1__list_buckets_response__descriptor};
    ProtobufCMessage *page;
    pages_begin(&pages, paging);
    while ((page = pages_next(&pages, error)) != NULL &&
           visit(context, (const Waybill__V1__ListBucketsResponse *)page)) {
    }
    return pages_end(&pages);
}

bool waybill_list_records(struct waybill_client *client, const struct waybill_list *list, waybill_record_page *visit,
                          void *context, struct error *error) {
    Waybill__V1__ListRecordsRequest request = WAYBILL__V1__LIST_RECORDS_REQUEST__INIT;
    request.bucket = client_text(list->bucket);
    request.prefix = client_text(list->prefix);
    request.delimiter = client_text(list->delimiter);
    request.filter = client_text(list->filter);
    request.show_deleted = list->show_deleted;
    struct pages pages = {.client = client,
                          .path = "/waybill.v1.MetadataService/ListRecords",
                          .request = &request.base,
                          .response_type = &waybill__v1__list_records_response__descriptor};
    ProtobufCMessage *page;
    pages_begin(&pages, &list->paging);
    while ((page = pages_next(&pages, error)) != NULL &&
           visit(context, (const Waybill__V1__ListRecordsResponse *)page)) {
    }
    return pages_end(&pages);
}

bool waybill_list_versions(struct waybill_client *client, const char *bucket, const char *key,
                           const struct waybill_paging *paging, waybill_version_page *visit, void *context,
                           struct error *error) {
    Waybill__V1__ListRecordVersionsRequest request = WAYBILL__V1__LIST_RECORD_VERSIONS_REQUEST__INIT;
    request.bucket = client_text(bucket);
    request.key = client_text(key);
    struct pages pages = {.client = client,
                          .path = "/waybill.v1.MetadataService/ListRecordVersions",
                          .request = &request.base,
                          .response_type = &waybill__v1__list_record_versions_response__descriptor};
    ProtobufCMessage *page;
    pages_begin(&pages, paging);
    while ((page = pages_next(&pages, error)) != NULL &&
           visit(context, (const Waybill__V1__ListRecordVersionsResponse *)page)) {
    }
    return pages_end(&pages);
}

static bool list_failed(struct waybill_client *client, struct rpc_channel *channel, const char *bucket,
                        const struct waybill_paging *paging, waybill_failed_page *visit, void *context,
                        struct error *error) {
    Waybill__V1__ListFailedPayloadsRequest request = WAYBILL__V1__LIST_FAILED_PAYLOADS_REQUEST__INIT;
    request.bucket = client_text(bucket);
    struct pages pages = {.client = client,
                          .channel = channel,
                          .path = "/waybill.v1.AdminService/ListFailedPayloads",
                          .request = &request.base,
                          .response_type = &waybill__v1__list_failed_payloads_response__descriptor};
    ProtobufCMessage *page;
    pages_begin(&pages, paging);
    while ((page = pages_next(&pages, error)) != NULL &&
           visit(context, (const Waybill__V1__ListFailedPayloadsResponse *)page)) {
    }
    return pages_end(&pages);
}

bool waybill_list_failed(struct waybill_client *client, const char *bucket, const struct waybill_paging *paging,
                         waybill_failed_page *visit, void *context, struct error *error) {
    return list_failed(client, client->metadata, bucket, paging, visit, context, error);
}

bool waybill_list_dead_letters(struct waybill_client *client, const char *bucket, const struct waybill_paging *paging,
                               waybill_failed_page *visit, void *context, struct error *error) {
    return list_failed(client, client->object, bucket, paging, visit, context, error);
}
