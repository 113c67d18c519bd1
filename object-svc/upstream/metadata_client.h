/* What object-svc asks of metadata-svc: records, bucket policies, payloads, and where to
 * report. Any thread. */
#ifndef WAYBILL_UPSTREAM_METADATA_CLIENT_H
#define WAYBILL_UPSTREAM_METADATA_CLIENT_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "object-svc/upstream/object_report.h"
#include "object-svc/upstream/payload_source.h"
#include "waybill/v1/record.pb-c.h"

struct metadata_client;

struct metadata_client *metadata_client_new(const char *metadata_target, const char *payload_target,
                                            const char *replica);
void metadata_client_free(struct metadata_client *client);

/* One version of a record, 0 for the latest; in the arena. Errors as metadata-svc gives them. */
bool metadata_client_get_record(struct metadata_client *client, const char *bucket, const char *key, int64_t version,
                                struct arena *arena, Waybill__V1__Record **record, struct error *error);

/* Which tiers a bucket's objects go to. */
struct bucket_policy {
    char bucket[NAME_BUCKET_MAX_BYTES + 1];
    struct uuid uid;
    int storage_class; /* number of proto/waybill/v1 */
    bool was_changed;  /* since the bucket was made */
    bool goes_cold;    /* HOT_AND_COLD or COLD */
    bool leaves_hot;   /* COLD */
    int64_t cold_after_us;
    unsigned promote_after_reads; /* 0: never */
    bool overflows;               /* its objects may leave hot where that is too full */
};

/* All buckets' policies; the caller frees the array with free(). */
bool metadata_client_list_policies(struct metadata_client *client, struct bucket_policy **policies, size_t *count,
                                   struct error *error);

/* Reports go to ReportService, at most REPORT_MAX at a time. */
enum { REPORT_MAX = 1000 };
struct report_sink metadata_client_report_sink(struct metadata_client *client);
/* Payloads come from PayloadService.FetchPayloads. */
struct payload_source metadata_client_payload_source(struct metadata_client *client);

#endif
