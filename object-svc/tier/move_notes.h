/* What a crash of object-svc may leave behind: before a copy of an object is written by a move, a
 * note says so, and is cleared once the copy is told of or gone. Notes that are left, as the next
 * start finds them, are looked after (tier_finish_noted), so that kill -9 leaves no orphan.
 *
 * One file of fixed slots, written in place and not synced: power loss may take notes, and what
 * those told of is left to a scrub. docs/formats/move-notes.md describes it. Any thread. */
#ifndef WAYBILL_TIER_MOVE_NOTES_H
#define WAYBILL_TIER_MOVE_NOTES_H

#include "common/base/disk.h"
#include "object-svc/tier/moved_object.h"
#include "object-svc/upstream/object_report.h"

enum { MOVE_NOTES_MAX = 64, MOVE_NOTE_BYTES = 2048 };

struct move_note {
    enum object_tier tier; /* where the copy is being written */
    struct moved_object object;
};

struct move_notes;

/* Opens or makes the file on the disk, which is borrowed. A slot that cannot be read, as a crash
 * in the middle of writing it leaves it, counts as empty: its copy was not begun. */
struct move_notes *move_notes_open(struct disk *disk, struct error *error);
void move_notes_close(struct move_notes *notes);

/* Takes a slot and writes the note; -1 on failure, RESOURCE_EXHAUSTED (MOVES_FULL) where none is
 * free. */
int move_notes_add(struct move_notes *notes, const struct move_note *note, struct error *error);
/* Gives the slot back. */
bool move_notes_clear(struct move_notes *notes, int slot, struct error *error);
/* What became of the copy is not known: the note stays, as if of an earlier run. */
void move_notes_leave(struct move_notes *notes, int slot);

/* The next note that was left, by an earlier run or by this one, from slot `from` on; -1: there is
 * none. It stays until it is cleared. */
int move_notes_next(struct move_notes *notes, int from, struct move_note *note);

/* A slot as it is on the disk. */
void move_note_encode(const struct move_note *note, uint8_t slot[MOVE_NOTE_BYTES]);
bool move_note_decode(const uint8_t slot[MOVE_NOTE_BYTES], struct move_note *note);

#endif
