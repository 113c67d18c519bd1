/* What is done about a finding. */
#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/scrub/scrub_parts.h"

enum { STEP_BYTES = 1024 * 1024 };

/* ---- damaged and missing copies ---- */

static enum scrub_action write_anew(struct scrub *scrub, const struct scrub_finding *finding, struct error *error) {
    struct repair_copy copy = {.tier = finding->tier, .version = finding->version, .payload_id = finding->payload_id};
    enum repair_outcome outcome;
    memcpy(copy.bucket, finding->bucket, sizeof copy.bucket);
    memcpy(copy.key, finding->key, sizeof copy.key);
    if (uuid_is_zero(&finding->payload_id)) {
        error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the object does not say whose bytes it has");
        return SCRUB_ACTION_FAILED;
    }
    if (!copy_repair_run(&scrub->ports->repair, &copy, &outcome, error)) {
        return SCRUB_ACTION_FAILED;
    }
    return outcome == REPAIR_DONE ? SCRUB_REPAIRED : SCRUB_NEEDLESS;
}

/* ---- unlisted copies ---- */

static bool report_of(struct scrub *scrub, const struct scrub_finding *finding, struct object_report *report,
                      struct error *error) {
    *report = (struct object_report){
        .bucket = finding->bucket,
        .key = finding->key,
        .version = finding->version,
        .payload_id = finding->payload_id,
        .outcome = OBJECT_TIERED,
        .tier = finding->tier,
    };
    if (finding->tier == OBJECT_TIER_HOT) {
        struct hot_object object;
        if (!hot_store_find(scrub_hot(scrub), &finding->payload_id, &object, error)) {
            return false;
        }
        report->size_bytes = object.size_bytes;
        report->crc32c = object.crc32c;
        return true;
    }
    struct cold_name name = {finding->bucket, finding->key, finding->version};
    struct cold_reader *reader = cold_store_open_object(scrub_cold(scrub), &name, error);
    if (reader == NULL) {
        return false;
    }
    struct provenance provenance = *cold_reader_provenance(reader);
    report->size_bytes = provenance.size_bytes;
    report->crc32c = provenance.crc32c;
    bool good = cold_store_verify(scrub_cold(scrub), &provenance, error);
    cold_reader_close(reader);
    return good;
}

static enum scrub_action tell_of_it(struct scrub *scrub, const struct scrub_finding *finding, struct error *error) {
    struct object_report report;
    const struct report_sink *sink = &scrub->ports->sink;
    if (!report_of(scrub, finding, &report, error)) {
        return error->code == ERROR_NOT_FOUND ? SCRUB_NEEDLESS : SCRUB_ACTION_FAILED;
    }
    if (!sink->report(sink->self, &report, 1, error)) {
        return SCRUB_ACTION_FAILED;
    }
    if (report.verdict == REPORT_REJECTED) {
        error_set(error, ERROR_FAILED_PRECONDITION, "REPORT_REJECTED", "metadata-svc did not accept the copy");
        return SCRUB_ACTION_FAILED;
    }
    return report.verdict == REPORT_ACCEPTED ? SCRUB_REPAIRED : SCRUB_NEEDLESS;
}

/* A hot copy must not be given up between the look at it and the answer. Who has it in hand tells of it, or
 * clears it up, himself. A cold copy goes only when its version is gone for good, and that is not reported any more. */
static enum scrub_action tell(struct scrub *scrub, const struct scrub_finding *finding, struct error *error) {
    struct move_guard *guard = finding->tier == OBJECT_TIER_HOT ? scrub->ports->guard : NULL;
    if (guard == NULL) {
        return tell_of_it(scrub, finding, error);
    }
    if (!move_guard_enter(guard, &finding->payload_id, 0, error)) {
        return SCRUB_NEEDLESS;
    }
    enum scrub_action action = tell_of_it(scrub, finding, error);
    move_guard_leave(guard, &finding->payload_id);
    return action;
}

/* ---- orphans ---- */

struct orphan {
    struct hot_reader *hot;
    struct cold_reader *cold;
};

static int64_t read_orphan(const struct orphan *orphan, uint64_t offset, void *out, struct error *error) {
    return orphan->hot != NULL ? hot_reader_read(orphan->hot, offset, out, STEP_BYTES, error)
                               : cold_reader_read(orphan->cold, offset, out, STEP_BYTES, error);
}

static bool copy_bytes(struct scrub *scrub, const struct orphan *orphan, uint64_t size, struct cold_writer *writer,
                       struct error *error) {
    uint8_t *step = malloc(STEP_BYTES);
    bool good = true;
    if (step == NULL) {
        abort();
    }
    for (uint64_t offset = 0; good && offset < size;) {
        int64_t got = read_orphan(orphan, offset, step, error);
        if (got == 0) {
            error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy ends early");
        }
        good = got > 0 && cold_writer_append(writer, bytes_of(step, (size_t)got), error) &&
               scrub_go_on(scrub, (uint64_t)got, error);
        offset += good ? (uint64_t)got : 0;
    }
    free(step);
    return good;
}

static bool copy_to_quarantine(struct scrub *scrub, const struct orphan *orphan, struct error *error) {
    struct cold_store *quarantine = scrub->ports->quarantine;
    const struct provenance *provenance =
        orphan->hot != NULL ? hot_reader_provenance(orphan->hot) : cold_reader_provenance(orphan->cold);
    struct cold_writer *writer = cold_store_begin(quarantine, provenance, error);
    if (writer == NULL) {
        return false;
    }
    if (!copy_bytes(scrub, orphan, provenance->size_bytes, writer, error)) {
        cold_writer_abort(writer);
        return false;
    }
    return cold_writer_finish(writer, error) && cold_store_verify(quarantine, provenance, error);
}

static bool remove_orphan(struct scrub *scrub, const struct scrub_finding *finding, struct error *error) {
    if (finding->tier == OBJECT_TIER_HOT) {
        return hot_store_remove(scrub_hot(scrub), &finding->payload_id, 1, error);
    }
    struct cold_name name = {finding->bucket, finding->key, finding->version};
    return cold_store_remove(scrub_cold(scrub), &name, error);
}

static enum scrub_action put_aside(struct scrub *scrub, const struct scrub_finding *finding, struct error *error) {
    struct cold_name name = {finding->bucket, finding->key, finding->version};
    struct orphan orphan = {0};
    if (finding->tier == OBJECT_TIER_HOT) {
        orphan.hot = hot_store_open_object(scrub_hot(scrub), &finding->payload_id, error);
    } else {
        orphan.cold = cold_store_open_object(scrub_cold(scrub), &name, error);
    }
    if (orphan.hot == NULL && orphan.cold == NULL) {
        return error->code == ERROR_NOT_FOUND ? SCRUB_NEEDLESS : SCRUB_ACTION_FAILED;
    }
    bool good = copy_to_quarantine(scrub, &orphan, error);
    if (orphan.hot != NULL) {
        hot_reader_close(orphan.hot);
    } else {
        cold_reader_close(orphan.cold);
    }
    good = good && FAILPOINT("scrub.quarantine.before") && remove_orphan(scrub, finding, error) &&
           FAILPOINT("scrub.quarantine.after");
    return good ? SCRUB_QUARANTINED : SCRUB_ACTION_FAILED;
}

/* ---- all of them ---- */

static enum scrub_action act(struct scrub *scrub, const struct scrub_finding *finding, struct error *error) {
    bool is_orphan = finding->kind == SCRUB_ORPHANED;
    if (is_orphan ? !scrub->options->quarantine : !scrub->options->repair) {
        return SCRUB_NO_ACTION;
    }
    return is_orphan                         ? put_aside(scrub, finding, error)
           : finding->kind == SCRUB_UNLISTED ? tell(scrub, finding, error)
                                             : write_anew(scrub, finding, error);
}

/* "what is wrong; why nothing could be done" */
static void add_reason(struct scrub_finding *finding, const struct error *error) {
    size_t used = strlen(finding->message);
    size_t room = sizeof finding->message - used;
    size_t size = strnlen(error->message, room > 3 ? room - 3 : 0);
    if (size > 0) {
        memcpy(finding->message + used, "; ", 2);
        memcpy(finding->message + used + 2, error->message, size);
        finding->message[used + 2 + size] = '\0';
    }
}

void scrub_settle(struct scrub *scrub, struct scrub_finding *finding) {
    struct error error = {0};
    finding->action = act(scrub, finding, &error);
    if (finding->action == SCRUB_NEEDLESS) {
        return;
    }
    if (finding->action == SCRUB_ACTION_FAILED) {
        add_reason(finding, &error);
    }
    log_warn("scrub_finding", LOG_STR("kind", scrub_kind_name(finding->kind)),
             LOG_STR("tier", finding->tier == OBJECT_TIER_HOT ? "hot" : "cold"), LOG_STR("bucket", finding->bucket),
             LOG_STR("key", finding->key), LOG_INT("version", finding->version),
             LOG_STR("action", scrub_action_name(finding->action)), LOG_STR("message", finding->message));
    scrub_result_add(scrub->result, finding);
    if (scrub->ports->found != NULL) {
        scrub->ports->found(scrub->ports->self, finding);
    }
}
