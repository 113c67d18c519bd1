#include "object-svc/scrub/scrub_result.h"

#include <pthread.h>
#include <stdlib.h>

struct scrub_result {
    pthread_mutex_t lock; /* all that follows */
    struct scrub_counts counts;
    struct scrub_finding *findings;
    size_t count;
    size_t room;
};

struct scrub_result *scrub_result_new(void) {
    struct scrub_result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        abort();
    }
    pthread_mutex_init(&result->lock, NULL);
    return result;
}

void scrub_result_free(struct scrub_result *result) {
    if (result != NULL) {
        pthread_mutex_destroy(&result->lock);
        free(result->findings);
        free(result);
    }
}

void scrub_result_enter(struct scrub_result *result, enum scrub_phase phase) {
    pthread_mutex_lock(&result->lock);
    result->counts.phase = phase;
    pthread_mutex_unlock(&result->lock);
}

void scrub_result_progress(struct scrub_result *result, uint64_t objects, uint64_t bytes) {
    pthread_mutex_lock(&result->lock);
    result->counts.objects += objects;
    result->counts.bytes += bytes;
    pthread_mutex_unlock(&result->lock);
}

static void keep(struct scrub_result *result, const struct scrub_finding *finding) {
    if (result->count == SCRUB_FINDINGS_MAX) {
        return;
    }
    if (result->count == result->room) {
        result->room = result->room == 0 ? 16 : result->room * 2;
        result->findings = realloc(result->findings, result->room * sizeof *result->findings);
        if (result->findings == NULL) {
            abort();
        }
    }
    result->findings[result->count++] = *finding;
}

void scrub_result_add(struct scrub_result *result, const struct scrub_finding *finding) {
    pthread_mutex_lock(&result->lock);
    result->counts.found[finding->kind]++;
    result->counts.repaired += finding->action == SCRUB_REPAIRED;
    result->counts.quarantined += finding->action == SCRUB_QUARANTINED;
    result->counts.failed += finding->action == SCRUB_ACTION_FAILED;
    keep(result, finding);
    pthread_mutex_unlock(&result->lock);
}

void scrub_result_counts(struct scrub_result *result, struct scrub_counts *counts) {
    pthread_mutex_lock(&result->lock);
    *counts = result->counts;
    pthread_mutex_unlock(&result->lock);
}

size_t scrub_result_findings(struct scrub_result *result, size_t first, struct scrub_finding *findings, size_t max) {
    pthread_mutex_lock(&result->lock);
    size_t left = first < result->count ? result->count - first : 0;
    size_t count = left < max ? left : max;
    for (size_t i = 0; i < count; i++) {
        findings[i] = result->findings[first + i];
    }
    pthread_mutex_unlock(&result->lock);
    return count;
}

const char *scrub_kind_name(enum scrub_kind kind) {
    static const char *const names[SCRUB_KINDS] = {
        [SCRUB_CORRUPT] = "corrupt",
        [SCRUB_MISSING] = "missing",
        [SCRUB_ORPHANED] = "orphaned",
        [SCRUB_UNLISTED] = "unlisted",
    };
    return names[kind];
}

const char *scrub_action_name(enum scrub_action action) {
    static const char *const names[] = {
        [SCRUB_NO_ACTION] = "none",
        [SCRUB_REPAIRED] = "repaired",
        [SCRUB_QUARANTINED] = "quarantined",
        [SCRUB_ACTION_FAILED] = "failed",
    };
    return names[action];
}
