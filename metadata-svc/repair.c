#include "metadata-svc/repair.h"

#include <stdio.h>
#include <stdlib.h>

#include "metadata-svc/store/store_check.h"

enum { REPAIR_CACHE_BYTES = 8 << 20, REPAIR_WRITE_BUFFER_BYTES = 16 << 20 };

static void tell(const struct store_repair_report *report) {
    printf("records: %lld can be read, %lld cannot\n", (long long)report->records, (long long)report->damaged);
    if (report->damaged > 0) {
        printf("  one of those that cannot: %s\n", report->first_damaged);
    }
    printf("change log: revisions %lld to %lld\n", (long long)report->oldest, (long long)report->newest);
    if (report->changes_dropped > 0) {
        printf("  %lld older ones lay below a gap and are gone: watchers that ask for them are told so\n",
               (long long)report->changes_dropped);
    }
    printf("A commit in a damaged part of the log may have wrong bytes: a snapshot, where there is one, is better.\n");
    printf("What was committed after revision %lld is lost, if anything was. The event stream tells: if it is ahead,\n"
           "metadata-svc publishes nothing and says events_fenced.\n",
           (long long)report->newest);
}

int repair_run(const struct metadata_config *config) {
    char directory[4200];
    struct error error = {0};
    struct store_repair_report report;
    struct leveldb_kv_options options = {.cache_bytes = REPAIR_CACHE_BYTES,
                                         .write_buffer_bytes = REPAIR_WRITE_BUFFER_BYTES};
    snprintf(directory, sizeof directory, "%s/records", config->data_dir);
    struct kv *kv = leveldb_kv_repair(directory, &error) ? leveldb_kv_open(directory, &options, &error) : NULL;
    bool good = kv != NULL && store_repair(kv, &report, &error);
    if (kv != NULL) {
        kv->ops->close(kv);
    }
    if (good) {
        tell(&report);
    } else {
        fprintf(stderr, "the record store cannot be repaired: %s: %s\nrestore a snapshot: waybill restore --help\n",
                error.reason, error.message);
    }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
