// rooms: object_tier
#include "object-svc/tier/move_notes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/disk_place.h"

static struct disk_place place;

static void set_up(void) {
    disk_place_make(&place);
}

static void tear_down(void) {
    disk_place_remove(&place);
}

TestSuite(move_notes, .init = set_up, .fini = tear_down);

static struct move_note note_of(const char *key) {
    struct move_note note = {.tier = OBJECT_TIER_COLD,
                             .object = {.bucket = "photos", .version = 3, .size_bytes = 5, .crc32c = 0x11223344}};
    snprintf(note.object.key, sizeof note.object.key, "%s", key);
    for (size_t i = 0; i < sizeof note.object.payload_id.raw; i++) {
        note.object.payload_id.raw[i] = (uint8_t)i;
    }
    return note;
}

static struct move_notes *open_notes(void) {
    struct error error = {0};
    struct move_notes *notes = move_notes_open(place.disk, &error);
    cr_assert_not_null(notes, "%s", error.message);
    return notes;
}

/* docs/formats/move-notes.md shows these bytes. */
Test(move_notes, a_slot_has_these_bytes) {
    static const uint8_t golden[] = {
        0x01, 0x02, 0x06, 0x00, 0x01, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
        0x0c, 0x0d, 0x0e, 0x0f, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x44, 0x33,
        0x22, 0x11, 0xe3, 0x6b, 0x6b, 0x2d, 'p',  'h',  'o',  't',  'o',  's',  'a',
    };
    uint8_t slot[MOVE_NOTE_BYTES];
    struct move_note note = note_of("a");
    move_note_encode(&note, slot);
    cr_assert_eq(memcmp(slot, golden, sizeof golden), 0);
    for (size_t i = sizeof golden; i < sizeof slot; i++) {
        cr_assert_eq(slot[i], 0);
    }
    struct move_note read;
    cr_assert(move_note_decode(slot, &read));
    cr_assert_str_eq(read.object.key, "a");
    cr_assert_eq(read.object.version, 3);
}

Test(move_notes, a_damaged_slot_is_empty) {
    struct move_note note = note_of("a");
    struct move_note read;
    uint8_t slot[MOVE_NOTE_BYTES];
    for (size_t i = 0; i < 60; i++) {
        move_note_encode(&note, slot);
        slot[i] ^= 0x40;
        cr_assert_not(move_note_decode(slot, &read), "byte %zu", i);
    }
}

Test(move_notes, what_is_cleared_is_gone_and_what_is_not_is_found_at_the_next_start) {
    struct error error = {0};
    struct move_note first = note_of("first");
    struct move_note second = note_of("second");
    struct move_note found;
    struct move_notes *notes = open_notes();
    int slot = move_notes_add(notes, &first, &error);
    cr_assert_geq(slot, 0);
    cr_assert_geq(move_notes_add(notes, &second, &error), 0);
    cr_assert_eq(move_notes_next(notes, 0, &found), -1, "both are in hand");
    cr_assert(move_notes_clear(notes, slot, &error));
    move_notes_close(notes);
    notes = open_notes();
    int left = move_notes_next(notes, 0, &found);
    cr_assert_geq(left, 0);
    cr_assert_str_eq(found.object.key, "second");
    cr_assert_eq(move_notes_next(notes, left + 1, &found), -1);
    cr_assert(move_notes_clear(notes, left, &error));
    cr_assert_eq(move_notes_next(notes, 0, &found), -1);
    move_notes_close(notes);
}

Test(move_notes, there_are_so_many_and_no_more) {
    struct error error = {0};
    struct move_note note = note_of("a");
    struct move_notes *notes = open_notes();
    for (int i = 0; i < MOVE_NOTES_MAX; i++) {
        cr_assert_geq(move_notes_add(notes, &note, &error), 0);
    }
    cr_assert_eq(move_notes_add(notes, &note, &error), -1);
    cr_assert_str_eq(error.reason, "MOVES_FULL");
    move_notes_close(notes);
}
