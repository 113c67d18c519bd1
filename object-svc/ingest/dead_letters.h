/* Events that this replica gave up and that no record tells of: those that cannot be understood,
 * and those whose failure metadata-svc does not take. They are kept on this replica's disk until an
 * operator drops them, at most `max` of them: the oldest go first. (What metadata-svc takes as a
 * failure is kept there, with the record.)
 *
 * A letter's id is made of its event's place in the stream and the time at which the stream took
 * it, so that an event that is given up twice is one letter. Any thread. */
#ifndef WAYBILL_INGEST_DEAD_LETTERS_H
#define WAYBILL_INGEST_DEAD_LETTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/uuid.h"

struct dead_letters;

/* Texts are borrowed; "" where something is not known. */
struct dead_letter {
    struct uuid id;
    int64_t fail_unix_us;
    uint32_t attempts;
    uint64_t event_sequence;
    const char *event_subject;
    const char *reason; /* UPPER_SNAKE */
    const char *message;
    /* What the event tells of, where it could be understood. */
    const char *bucket;
    const char *key;
    int64_t version;
    struct uuid payload_id;
};

struct uuid dead_letter_id(uint64_t event_sequence, int64_t event_time_ns);

/* INTERNAL, DEAD_LETTERS_FAILED; FAILED_PRECONDITION, DEAD_LETTERS_FORMAT where a newer release
 * wrote them. */
struct dead_letters *dead_letters_open(const char *directory, size_t max, struct error *error);
/* NULL is fine. */
void dead_letters_close(struct dead_letters *letters);

/* Durable on return. */
bool dead_letters_add(struct dead_letters *letters, const struct dead_letter *list, size_t count, struct error *error);
size_t dead_letters_count(struct dead_letters *letters);
/* Up to `max` letters of a bucket ("" for all) behind the id `after` (zero: from the first), in the
 * order of the stream; texts in the arena. `more` tells whether there may be others. */
bool dead_letters_list(struct dead_letters *letters, const char *bucket, const struct uuid *after,
                       struct dead_letter *out, size_t max, struct arena *arena, size_t *count, bool *more,
                       struct error *error);
/* One of them; its texts in the arena. NOT_FOUND, DEAD_LETTER_NOT_FOUND. */
bool dead_letters_get(struct dead_letters *letters, const struct uuid *id, struct arena *arena,
                      struct dead_letter *letter, struct error *error);
/* Takes one out for good; what it was goes into `letter`. NOT_FOUND, DEAD_LETTER_NOT_FOUND. */
bool dead_letters_drop(struct dead_letters *letters, const struct uuid *id, struct arena *arena,
                       struct dead_letter *letter, struct error *error);

#endif
