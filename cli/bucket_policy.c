#include "cli/bucket_policy.h"

#include "cli/output.h"
#include "cli/values.h"

/* ---- options ---- */

static unsigned if_given(const char *text, enum waybill_bucket_field field) {
    return text != NULL ? field : 0;
}

bool bucket_policy_take(struct cli *cli, const struct bucket_policy_options *given, struct waybill_bucket *bucket,
                        unsigned *fields) {
    int storage_class = (int)bucket->storage_class;
    int on_failure = (int)bucket->on_failure;
    int64_t max_versions = bucket->max_versions;
    int64_t promote = bucket->promote_after_reads;
    bool good = value_enum(cli, "storage-class", &waybill__v1__storage_class__descriptor, given->storage_class,
                           &storage_class) &&
                value_duration(cli, "cold-after", given->cold_after, &bucket->cold_after_ms) &&
                value_duration(cli, "expire-after", given->expire_after, &bucket->expire_after_ms) &&
                value_integer(cli, "max-versions", given->max_versions, 0, INT32_MAX, &max_versions) &&
                value_duration(cli, "version-retention", given->version_retention, &bucket->version_retention_ms) &&
                value_duration(cli, "delete-retention", given->delete_retention, &bucket->delete_retention_ms) &&
                value_duration(cli, "payload-deadline", given->payload_deadline, &bucket->payload_deadline_ms) &&
                value_enum(cli, "on-failure", &waybill__v1__on_failure__descriptor, given->on_failure, &on_failure) &&
                value_size(cli, "inline-max", given->inline_max, &bucket->inline_max_bytes) &&
                value_integer(cli, "promote-after-reads", given->promote_after_reads, 0, INT32_MAX, &promote) &&
                value_bool(cli, "overflow-to-cold", given->overflow_to_cold, &bucket->overflow_to_cold);
    bucket->storage_class = (Waybill__V1__StorageClass)storage_class;
    bucket->on_failure = (Waybill__V1__OnFailure)on_failure;
    bucket->max_versions = (int32_t)max_versions;
    bucket->promote_after_reads = (int32_t)promote;
    *fields = if_given(given->storage_class, WAYBILL_BUCKET_STORAGE_CLASS) |
              if_given(given->cold_after, WAYBILL_BUCKET_COLD_AFTER) |
              if_given(given->expire_after, WAYBILL_BUCKET_EXPIRE_AFTER) |
              if_given(given->max_versions, WAYBILL_BUCKET_MAX_VERSIONS) |
              if_given(given->version_retention, WAYBILL_BUCKET_VERSION_RETENTION) |
              if_given(given->delete_retention, WAYBILL_BUCKET_DELETE_RETENTION) |
              if_given(given->payload_deadline, WAYBILL_BUCKET_PAYLOAD_DEADLINE) |
              if_given(given->on_failure, WAYBILL_BUCKET_ON_FAILURE) |
              if_given(given->inline_max, WAYBILL_BUCKET_INLINE_MAX_BYTES) |
              if_given(given->promote_after_reads, WAYBILL_BUCKET_PROMOTE_AFTER_READS) |
              if_given(given->overflow_to_cold, WAYBILL_BUCKET_OVERFLOW_TO_COLD);
    return good;
}

/* ---- text ---- */

static void print_duration(FILE *out, const char *name, const Google__Protobuf__Duration *duration, const char *unset) {
    char text[OUTPUT_TEXT_BYTES];
    if (duration != NULL || unset[0] != '\0') {
        fprintf(out, "%-19s%s\n", name, duration != NULL ? output_duration(duration, text) : unset);
    }
}

static void print_storage(FILE *out, const Waybill__V1__StoragePolicy *storage) {
    char text[OUTPUT_TEXT_BYTES];
    fprintf(out, "%-19s%s\n", "storage class",
            output_enum(&waybill__v1__storage_class__descriptor, (int)storage->storage_class, text));
    print_duration(out, "cold after", storage->cold_after, "");
    print_duration(out, "expire after", storage->expire_after, "never");
    if (storage->max_versions > 0) {
        fprintf(out, "%-19s%d\n", "max versions", (int)storage->max_versions);
    } else {
        fprintf(out, "%-19s%s\n", "max versions", "all");
    }
    print_duration(out, "version retention", storage->version_retention, "for ever");
    if (storage->promote_after_reads > 0) {
        fprintf(out, "%-19s%d reads\n", "promote after", (int)storage->promote_after_reads);
    }
    if (storage->overflow_to_cold) {
        fprintf(out, "%-19s%s\n", "overflow to cold", "yes");
    }
}

void bucket_policy_print(FILE *out, const Waybill__V1__Bucket *bucket) {
    char text[OUTPUT_TEXT_BYTES];
    fprintf(out, "%-19s%s\n", "name", bucket->name);
    fprintf(out, "%-19s%lld\n", "version", (long long)bucket->version);
    fprintf(out, "%-19s%s\n", "created", output_time(bucket->create_time, text));
    fprintf(out, "%-19s%s\n", "updated", output_time(bucket->update_time, text));
    if (bucket->storage != NULL) {
        print_storage(out, bucket->storage);
    }
    print_duration(out, "delete retention", bucket->delete_retention, "");
    print_duration(out, "payload deadline", bucket->payload_deadline, "");
    fprintf(out, "%-19s%s\n", "on failure",
            output_enum(&waybill__v1__on_failure__descriptor, (int)bucket->on_failure, text));
    if (bucket->has_inline_max_bytes_case != 0) {
        fprintf(out, "%-19s%s\n", "inline up to", output_bytes(bucket->inline_max_bytes, text));
    }
}
