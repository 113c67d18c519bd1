#include "object-svc/tier/tier_moves.h"

#include <assert.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/tier/tier_copy.h"

bool tier_move_passed_over(const struct error *error) {
    return error->code == ERROR_NOT_FOUND || error->code == ERROR_CANCELLED ||
           strcmp(error->reason, "OBJECT_MOVING") == 0;
}

struct moved_object moved_object_of(const struct hot_object *object) {
    struct moved_object moved = {
        .version = object->version,
        .payload_id = object->payload_id,
        .size_bytes = object->size_bytes,
        .crc32c = object->crc32c,
        .cold_copy_known = object->cold_copy_known,
    };
    memcpy(moved.bucket, object->bucket, sizeof moved.bucket);
    memcpy(moved.key, object->key, sizeof moved.key);
    return moved;
}

bool moved_object_of_record(const Waybill__V1__Record *record, struct moved_object *object, struct error *error) {
    object->version = record->payload_version;
    object->size_bytes = (uint64_t)record->size;
    object->crc32c = record->crc32c;
    strncpy(object->bucket, record->bucket, sizeof object->bucket - 1);
    strncpy(object->key, record->key, sizeof object->key - 1);
    return uuid_parse_text(record->payload_id, &object->payload_id) ||
           error_set(error, ERROR_INTERNAL, "BAD_ANSWER", "metadata-svc told of a stored version without a payload");
}

static struct cold_name cold_name_of(const struct moved_object *object) {
    return (struct cold_name){object->bucket, object->key, object->version};
}

/* ---- guard and notes ---- */

static bool enter(const struct tier_ports *ports, const struct moved_object *object, const struct tier_move *move,
                  struct error *error) {
    return ports->guard == NULL || move_guard_enter(ports->guard, &object->payload_id, move->wait_ms, error);
}

static void leave(const struct tier_ports *ports, const struct moved_object *object) {
    if (ports->guard != NULL) {
        move_guard_leave(ports->guard, &object->payload_id);
    }
}

static bool add_note(const struct tier_ports *ports, enum object_tier tier, const struct moved_object *object,
                     int *slot, struct error *error) {
    struct move_note note = {tier, *object};
    FAILPOINT("tier.note.before");
    *slot = ports->notes != NULL ? move_notes_add(ports->notes, &note, error) : -1;
    FAILPOINT("tier.note.after");
    return ports->notes == NULL || *slot >= 0;
}

/* `settled`: it is known what became of the copy. */
static void end_note(const struct tier_ports *ports, int slot, bool settled) {
    struct error error = {0};
    if (ports->notes == NULL) {
        return;
    }
    FAILPOINT("tier.clear_note.before");
    if (!settled) {
        move_notes_leave(ports->notes, slot);
    } else if (!move_notes_clear(ports->notes, slot, &error)) {
        log_warn("move_note_not_cleared", LOG_ERROR(&error), LOG_STR("hint", "the next start looks at the object"));
    }
    FAILPOINT("tier.clear_note.after");
}

static bool is_the_object(const struct moved_object *object, const struct provenance *found, struct error *error) {
    return (uuid_equal(&found->payload_id, &object->payload_id) && found->size_bytes == object->size_bytes &&
            found->crc32c == object->crc32c) ||
           error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy is not the object that the record describes");
}

static void tell_damage(const struct tier_ports *ports, enum object_tier tier, const struct moved_object *object) {
    if (ports->on_corrupt != NULL) {
        ports->on_corrupt(ports->self, tier, object);
    }
}

/* ---- reports ---- */

static struct object_report tiered_report(const struct moved_object *object, enum object_tier tier,
                                          enum object_tier drop_tier) {
    return (struct object_report){
        .bucket = object->bucket,
        .key = object->key,
        .version = object->version,
        .payload_id = object->payload_id,
        .outcome = OBJECT_TIERED,
        .tier = tier,
        .drop_tier = drop_tier,
        .size_bytes = object->size_bytes,
        .crc32c = object->crc32c,
    };
}

static bool send_reports(const struct tier_ports *ports, struct object_report *reports, size_t count,
                         struct error *error) {
    return FAILPOINT("tier.report.before") && ports->sink.report(ports->sink.self, reports, count, error) &&
           FAILPOINT("tier.report.after");
}

static bool send_report(const struct tier_ports *ports, const struct moved_object *object, enum object_tier tier,
                        enum object_tier drop_tier, enum report_verdict *verdict, struct error *error) {
    struct object_report report = tiered_report(object, tier, drop_tier);
    bool good = send_reports(ports, &report, 1, error);
    *verdict = report.verdict;
    return good;
}

static bool rejected(struct error *error) {
    return error_set(error, ERROR_FAILED_PRECONDITION, "REPORT_REJECTED", "metadata-svc did not accept the move");
}

static bool not_needed(struct error *error) {
    return error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND", "no version needs the object any more");
}

static bool give_up_hot_copy(const struct tier_ports *ports, const struct moved_object *object, struct error *error) {
    return FAILPOINT("tier.hot_drop.before") && hot_store_remove(ports->hot, &object->payload_id, 1, error) &&
           FAILPOINT("tier.hot_drop.after");
}

/* What the records say of the copy in that tier; `known` is false where nobody can be asked. */
static bool ask_standing(const struct tier_ports *ports, enum object_tier tier, const struct moved_object *object,
                         enum object_standing *standing, bool *known, struct error *error) {
    struct object_name name = {object->bucket, object->key, object->version, object->payload_id};
    struct object_check check;
    struct arena arena;
    *known = ports->catalog.check != NULL;
    if (!*known) {
        return true;
    }
    arena_init(&arena);
    bool good = ports->catalog.check(ports->catalog.self, tier, &name, 1, &arena, &check, error);
    *standing = good ? check.standing : OBJECT_UNLISTED;
    arena_free(&arena);
    return good;
}

bool tier_remove_cold(const struct tier_ports *ports, const struct moved_object *object, struct error *error) {
    struct cold_name name = cold_name_of(object);
    struct error cause = {0};
    struct cold_reader *reader = cold_store_open_object(ports->cold, &name, &cause);
    if (reader != NULL) {
        bool same = uuid_equal(&cold_reader_provenance(reader)->payload_id, &object->payload_id);
        cold_reader_close(reader);
        return !same || cold_store_remove(ports->cold, &name, error);
    }
    if (cause.code == ERROR_NOT_FOUND) {
        return true;
    }
    if (cause.code == ERROR_DATA_LOSS) {
        log_warn("damaged_copy_kept", LOG_ERROR(&cause), LOG_STR("bucket", object->bucket), LOG_STR("key", object->key),
                 LOG_INT("version", object->version),
                 LOG_STR("hint", "no version needs it, but it does not say whose it is: look at it, and remove it"));
        return true;
    }
    *error = cause;
    return false;
}

/* The payload of a version that is gone is never wanted again. */
static bool clear_obsolete_cold(const struct tier_ports *ports, const struct moved_object *object,
                                struct error *error) {
    enum object_standing standing;
    bool known;
    if (!ask_standing(ports, OBJECT_TIER_COLD, object, &standing, &known, error)) {
        return false;
    }
    return !known || standing != OBJECT_OBSOLETE || tier_remove_cold(ports, object, error);
}

/* ---- hot ▸ cold ---- */

/* Whether the copy that the records tell of is still there, whole as far as its name, length and
 * checksum say; false with an error where that cannot be told. */
static bool has_cold_copy(const struct tier_ports *ports, const struct moved_object *object, bool *has,
                          struct error *error) {
    struct cold_name name = cold_name_of(object);
    struct error cause = {0};
    *has = false;
    if (!object->cold_copy_known) {
        return true;
    }
    struct cold_reader *reader = cold_store_open_object(ports->cold, &name, &cause);
    if (reader != NULL) {
        *has = is_the_object(object, cold_reader_provenance(reader), &cause);
        cold_reader_close(reader);
    }
    if (*has || cause.code == ERROR_NOT_FOUND || cause.code == ERROR_DATA_LOSS) {
        return true;
    }
    *error = cause;
    return false;
}

/* What follows from the answer to the report of a cold copy; false where that is not accepted. */
static bool judge_cold_copy(const struct tier_ports *ports, const struct moved_object *object,
                            enum report_verdict verdict, bool *settled, struct error *error) {
    *settled = false;
    if (verdict == REPORT_OBSOLETE) {
        *settled = clear_obsolete_cold(ports, object, error);
        return *settled && give_up_hot_copy(ports, object, error) && not_needed(error);
    }
    return verdict == REPORT_ACCEPTED || rejected(error);
}

/* Tells of a cold copy; false where that is not accepted. */
static bool report_cold_copy(const struct tier_ports *ports, const struct moved_object *object,
                             enum object_tier drop_tier, bool *settled, struct error *error) {
    enum report_verdict verdict;
    *settled = false;
    return send_report(ports, object, OBJECT_TIER_COLD, drop_tier, &verdict, error) &&
           judge_cold_copy(ports, object, verdict, settled, error);
}

static bool write_cold(const struct tier_ports *ports, const struct moved_object *object, const struct tier_move *move,
                       bool *settled, struct error *error) {
    struct hot_reader *reader = hot_store_open_object(ports->hot, &object->payload_id, error);
    if (reader == NULL) {
        return false;
    }
    bool good = tier_copy_to_cold(ports->cold, reader, move, settled, error);
    hot_reader_close(reader);
    return good;
}

/* One of those that are demoted together, from its copy on in the guard and with a note. */
struct demotion {
    const struct moved_object *object;
    int slot;
    bool settled;
    struct error error; /* OK: it goes on well so far */
};

static void leave_demotion(const struct tier_ports *ports, const struct demotion *demotion) {
    if (demotion->error.code == ERROR_DATA_LOSS) {
        tell_damage(ports, OBJECT_TIER_HOT, demotion->object);
    }
    leave(ports, demotion->object);
}

static void end_demotion(const struct tier_ports *ports, const struct demotion *demotion) {
    end_note(ports, demotion->slot, demotion->settled);
    leave_demotion(ports, demotion);
}

/* Until the cold copy is there, and may be told of. */
static bool begin_demotion(const struct tier_ports *ports, const struct tier_move *move, struct demotion *demotion) {
    const struct moved_object *object = demotion->object;
    struct error *error = &demotion->error;
    struct hot_object there;
    bool has;
    demotion->settled = true;
    if (!enter(ports, object, move, error)) {
        return false;
    }
    if (!hot_store_find(ports->hot, &object->payload_id, &there, error) || !has_cold_copy(ports, object, &has, error) ||
        !add_note(ports, OBJECT_TIER_COLD, object, &demotion->slot, error)) {
        leave_demotion(ports, demotion);
        return false;
    }
    if (!has && !write_cold(ports, object, move, &demotion->settled, error)) {
        end_demotion(ports, demotion);
        return false;
    }
    demotion->settled = false;
    return true;
}

/* Whoever is away, or has no place, is so for each of them. */
static bool is_of_all(const struct error *error) {
    return error->code == ERROR_UNAVAILABLE || error->code == ERROR_DEADLINE_EXCEEDED ||
           error->code == ERROR_CANCELLED || error->code == ERROR_RESOURCE_EXHAUSTED ||
           error->code == ERROR_UNAUTHENTICATED || error->code == ERROR_PERMISSION_DENIED;
}

/* One report for all. Where that is refused for what it says, each is reported alone, so that one does not take the
 * others with it. */
static void report_demotions(const struct tier_ports *ports, struct demotion *demotions, size_t count,
                             enum object_tier drop_tier) {
    struct object_report reports[TIER_BATCH_OBJECTS];
    struct error error = {0};
    for (size_t i = 0; i < count; i++) {
        reports[i] = tiered_report(demotions[i].object, OBJECT_TIER_COLD, drop_tier);
    }
    bool together = send_reports(ports, reports, count, &error);
    bool alone = !together && count > 1 && !is_of_all(&error);
    for (size_t i = 0; i < count; i++) {
        struct demotion *demotion = &demotions[i];
        if (!together && !alone) {
            demotion->error = error;
        } else if (together || send_reports(ports, &reports[i], 1, &demotion->error)) {
            judge_cold_copy(ports, demotion->object, reports[i].verdict, &demotion->settled, &demotion->error);
        }
    }
}

/* Of those that were accepted. */
static void give_up_hot_copies(const struct tier_ports *ports, struct demotion *demotions, size_t count) {
    struct uuid payload_ids[TIER_BATCH_OBJECTS];
    size_t accepted = 0;
    struct error error = {0};
    for (size_t i = 0; i < count; i++) {
        if (demotions[i].error.code == ERROR_OK) {
            payload_ids[accepted++] = demotions[i].object->payload_id;
        }
    }
    bool good = accepted == 0 ||
                (FAILPOINT("tier.hot_drop.before") && hot_store_remove(ports->hot, payload_ids, accepted, &error) &&
                 FAILPOINT("tier.hot_drop.after"));
    for (size_t i = 0; i < count; i++) {
        if (demotions[i].error.code == ERROR_OK) {
            demotions[i].settled = good;
            demotions[i].error = error;
        }
    }
}

static void note_cold_copies(const struct tier_ports *ports, struct demotion *demotions, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct demotion *demotion = &demotions[i];
        if (demotion->error.code == ERROR_OK) {
            demotion->settled =
                hot_store_note_cold_copy(ports->hot, &demotion->object->payload_id, true, &demotion->error);
        }
    }
}

static void finish_demotions(const struct tier_ports *ports, struct demotion *demotions, size_t count,
                             bool leaves_hot) {
    report_demotions(ports, demotions, count, leaves_hot ? OBJECT_TIER_HOT : OBJECT_TIER_NONE);
    if (leaves_hot) {
        give_up_hot_copies(ports, demotions, count);
    } else {
        note_cold_copies(ports, demotions, count);
    }
    for (size_t i = 0; i < count; i++) {
        end_demotion(ports, &demotions[i]);
    }
}

size_t tier_demote_batch(const struct tier_ports *ports, const struct moved_object *objects, size_t count,
                         bool leaves_hot, const struct tier_move *move, struct error *errors) {
    struct demotion demotions[TIER_BATCH_OBJECTS] = {0};
    size_t begun = 0;
    bool good = true;
    assert(count > 0 && count <= TIER_BATCH_OBJECTS);
    while (good && begun < count) {
        demotions[begun].object = &objects[begun];
        good = begin_demotion(ports, move, &demotions[begun]);
        begun++;
    }
    size_t copied = begun - (good ? 0 : 1);
    if (copied > 0) {
        finish_demotions(ports, demotions, copied, leaves_hot);
    }
    for (size_t i = 0; i < begun; i++) {
        errors[i] = demotions[i].error;
    }
    return begun;
}

bool tier_demote(const struct tier_ports *ports, const struct moved_object *object, bool leaves_hot,
                 const struct tier_move *move, struct error *error) {
    struct error outcome;
    tier_demote_batch(ports, object, 1, leaves_hot, move, &outcome);
    if (outcome.code != ERROR_OK) {
        *error = outcome;
    }
    return outcome.code == ERROR_OK;
}

/* ---- cold ▸ hot ---- */

static bool report_promotion(const struct tier_ports *ports, const struct moved_object *object, bool *settled,
                             struct error *error) {
    enum report_verdict verdict;
    *settled = false;
    if (!send_report(ports, object, OBJECT_TIER_HOT, OBJECT_TIER_NONE, &verdict, error)) {
        return false;
    }
    *settled = true;
    if (verdict == REPORT_ACCEPTED) {
        return true;
    }
    *settled = give_up_hot_copy(ports, object, error);
    return *settled && (verdict == REPORT_OBSOLETE ? not_needed(error) : rejected(error));
}

static bool promote_anew(const struct tier_ports *ports, const struct moved_object *object, struct cold_reader *reader,
                         const struct tier_move *move, struct error *error) {
    int slot;
    bool settled = true;
    if (!is_the_object(object, cold_reader_provenance(reader), error) ||
        !hot_store_check_room(ports->hot, object->size_bytes, error) ||
        !add_note(ports, OBJECT_TIER_HOT, object, &slot, error)) {
        return false;
    }
    bool good = tier_copy_to_hot(ports->hot, reader, move, error) &&
                hot_store_note_cold_copy(ports->hot, &object->payload_id, true, error) &&
                report_promotion(ports, object, &settled, error);
    end_note(ports, slot, settled);
    return good;
}

static bool promote(const struct tier_ports *ports, const struct moved_object *object, const struct tier_move *move,
                    struct error *error) {
    struct hot_object there;
    struct error missing = {0};
    bool settled;
    if (hot_store_find(ports->hot, &object->payload_id, &there, &missing)) {
        return report_promotion(ports, object, &settled, error);
    }
    if (missing.code != ERROR_NOT_FOUND) {
        *error = missing;
        return false;
    }
    struct cold_name name = cold_name_of(object);
    struct cold_reader *reader = cold_store_open_object(ports->cold, &name, error);
    if (reader == NULL) {
        return false;
    }
    bool good = promote_anew(ports, object, reader, move, error);
    cold_reader_close(reader);
    return good;
}

bool tier_promote(const struct tier_ports *ports, const struct moved_object *object, const struct tier_move *move,
                  struct error *error) {
    if (!enter(ports, object, move, error)) {
        return false;
    }
    bool good = promote(ports, object, move, error);
    if (!good && error->code == ERROR_DATA_LOSS) {
        tell_damage(ports, OBJECT_TIER_COLD, object);
    }
    leave(ports, object);
    return good;
}

/* ---- after a crash ---- */

static bool tell_hot(const struct tier_ports *ports, const struct moved_object *object, struct error *error) {
    struct hot_object there;
    struct error missing = {0};
    bool settled;
    if (!hot_store_find(ports->hot, &object->payload_id, &there, &missing)) {
        *error = missing;
        return missing.code == ERROR_NOT_FOUND;
    }
    return hot_store_note_cold_copy(ports->hot, &object->payload_id, true, error) &&
           report_promotion(ports, object, &settled, error);
}

/* The cold copy was not told of. The hot one is left as it is, without a note of the cold copy: with
 * one it would count as recalled, and stay as long as those do, though its bucket wants it cold now. */
static bool tell_cold(const struct tier_ports *ports, const struct moved_object *object, struct error *error) {
    struct cold_name name = cold_name_of(object);
    struct error cause = {0};
    struct hot_object there;
    bool settled;
    struct cold_reader *reader = cold_store_open_object(ports->cold, &name, &cause);
    bool good = reader != NULL;
    if (good) {
        struct provenance provenance = *cold_reader_provenance(reader);
        good = is_the_object(object, &provenance, &cause) && cold_store_verify(ports->cold, &provenance, &cause);
        cold_reader_close(reader);
    }
    if (!good) {
        /* One that is damaged nobody was told of: the next move writes it anew. */
        *error = cause;
        return cause.code == ERROR_NOT_FOUND || cause.code == ERROR_DATA_LOSS;
    }
    /* Nobody must take the hot copy for being there still if it was given up already. */
    bool has_hot = hot_store_find(ports->hot, &object->payload_id, &there, &cause);
    if (!has_hot && cause.code != ERROR_NOT_FOUND) {
        *error = cause;
        return false;
    }
    return report_cold_copy(ports, object, has_hot ? OBJECT_TIER_NONE : OBJECT_TIER_HOT, &settled, error) ||
           error->code == ERROR_NOT_FOUND;
}

/* The records tell of the cold copy: one in hot that they do not tell of was given up. A report from before
 * the crash that tells of it may still be on its way; it is not believed once another one was taken. */
static bool give_up_untold_hot_copy(const struct tier_ports *ports, const struct moved_object *object,
                                    struct error *error) {
    enum object_standing standing;
    struct hot_object there;
    struct error missing = {0};
    bool known;
    bool settled;
    if (!hot_store_find(ports->hot, &object->payload_id, &there, &missing)) {
        *error = missing;
        return missing.code == ERROR_NOT_FOUND;
    }
    if (!ask_standing(ports, OBJECT_TIER_HOT, object, &standing, &known, error)) {
        return false;
    }
    if (standing == OBJECT_EXPECTED) {
        return true;
    }
    return report_cold_copy(ports, object, OBJECT_TIER_HOT, &settled, error) ? give_up_hot_copy(ports, object, error)
                                                                             : error->code == ERROR_NOT_FOUND;
}

static bool finish_noted(const struct tier_ports *ports, enum object_tier tier, const struct moved_object *object,
                         struct error *error) {
    enum object_standing standing;
    bool known;
    if (!ask_standing(ports, tier, object, &standing, &known, error)) {
        return false;
    }
    if (!known || standing == OBJECT_EXPECTED) {
        return !known || tier == OBJECT_TIER_HOT || give_up_untold_hot_copy(ports, object, error);
    }
    if (standing == OBJECT_OBSOLETE) {
        return tier == OBJECT_TIER_HOT ? give_up_hot_copy(ports, object, error)
                                       : tier_remove_cold(ports, object, error);
    }
    return tier == OBJECT_TIER_HOT ? tell_hot(ports, object, error) || error->code == ERROR_NOT_FOUND
                                   : tell_cold(ports, object, error);
}

bool tier_finish_noted(const struct tier_ports *ports, enum object_tier tier, const struct moved_object *object,
                       struct error *error) {
    static const struct tier_move now = {0};
    if (!enter(ports, object, &now, error)) {
        return false;
    }
    bool good = finish_noted(ports, tier, object, error);
    leave(ports, object);
    return good;
}
