/* A bucket's policy on the command line and as text. */
#ifndef WAYBILL_CLI_BUCKET_POLICY_H
#define WAYBILL_CLI_BUCKET_POLICY_H

#include "cli/options.h"

struct bucket_policy_options {
    char *storage_class, *cold_after, *expire_after, *max_versions, *version_retention, *delete_retention;
    char *payload_deadline, *on_failure, *inline_max, *promote_after_reads, *overflow_to_cold;
};
/* `default_` makes of each default what help says of it. */
#define BUCKET_POLICY_OPTIONS(given_, default_)                                                                        \
    OPTION_TEXT("storage-class", &(given_)->storage_class, "CLASS",                                                    \
                "hot, hot-and-cold or cold" default_("hot-and-cold")),                                                 \
        OPTION_TEXT("cold-after", &(given_)->cold_after, "DURATION",                                                   \
                    "age at which objects go to the cold store" default_("24h")),                                      \
        OPTION_TEXT("expire-after", &(given_)->expire_after, "DURATION",                                               \
                    "age at which records expire; 0: never" default_("0")),                                            \
        OPTION_TEXT("max-versions", &(given_)->max_versions, "N", "versions kept per key; 0: all" default_("0")),      \
        OPTION_TEXT("version-retention", &(given_)->version_retention, "DURATION",                                     \
                    "how long a version is kept after the next took its place; 0: for ever" default_("0")),            \
        OPTION_TEXT("delete-retention", &(given_)->delete_retention, "DURATION",                                       \
                    "how long tombstones, and what was before them, are kept" default_("168h")),                       \
        OPTION_TEXT("payload-deadline", &(given_)->payload_deadline, "DURATION",                                       \
                    "time a payload has to become STORED" default_("24h")),                                            \
        OPTION_TEXT("on-failure", &(given_)->on_failure, "POLICY",                                                     \
                    "what becomes of a key whose payload failed: keep-failed or revert" default_("keep-failed")),      \
        OPTION_TEXT("inline-max", &(given_)->inline_max, "SIZE",                                                       \
                    "largest payload inside PutRecord" default_("64KiB")),                                             \
        OPTION_TEXT("promote-after-reads", &(given_)->promote_after_reads, "N",                                        \
                    "reads after which a cold object is promoted; 0: never" default_("0")),                            \
        OPTION_TEXT(                                                                                                   \
            "overflow-to-cold", &(given_)->overflow_to_cold, "BOOL",                                                   \
            "true or false: whether hot objects may go to the cold store where hot is too full" default_("false"))

/* Takes what was given; `fields` are of enum waybill_bucket_field. */
bool bucket_policy_take(struct cli *cli, const struct bucket_policy_options *given, struct waybill_bucket *bucket,
                        unsigned *fields);

/* A line per field. */
void bucket_policy_print(FILE *out, const Waybill__V1__Bucket *bucket);

#endif
