// rooms: object_ingest
#include "object-svc/ingest/ingest_notes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/disk_place.h"

static struct disk_place place;
static char told[256]; /* the keys that were read */

static void set_up(void) {
    disk_place_make(&place);
}

static void tear_down(void) {
    disk_place_remove(&place);
}

TestSuite(ingest_notes, .init = set_up, .fini = tear_down);

static struct ingest_notes *open_notes(void) {
    struct error error = {0};
    struct ingest_notes *notes = ingest_notes_open(place.disk, &error);
    cr_assert_not_null(notes, "%s", error.message);
    return notes;
}

static void add(struct ingest_notes *notes, const char *key) {
    struct provenance object = {.bucket = "photos", .key = key, .version = 3, .size_bytes = 5, .crc32c = 0x11223344};
    for (size_t i = 0; i < sizeof object.payload_id.raw; i++) {
        object.payload_id.raw[i] = (uint8_t)i;
    }
    ingest_notes_add(notes, &object);
}

static void write_notes(struct ingest_notes *notes, bool behind) {
    struct error error = {0};
    cr_assert(ingest_notes_write(notes, behind, &error), "%s", error.message);
}

static void take(void *self, const struct provenance *object) {
    (void)self;
    cr_assert_str_eq(object->bucket, "photos");
    cr_assert_eq(object->version, 3);
    cr_assert_eq(object->payload_id.raw[15], 15);
    cr_assert_eq(object->size_bytes, 5);
    cr_assert_eq(object->crc32c, 0x11223344);
    strcat(strcat(told, object->key), " ");
}

static const char *read_notes(struct ingest_notes *notes) {
    struct error error = {0};
    told[0] = '\0';
    cr_assert(ingest_notes_read(notes, take, NULL, &error), "%s", error.message);
    return told;
}

static size_t read_file(uint8_t *out, size_t size) {
    struct error error = {0};
    struct disk_file *file = place.disk->ops->open(place.disk, "ingest-notes", false, &error);
    int64_t got = file->ops->read(file, 0, out, size, &error);
    file->ops->close(file);
    return (size_t)got;
}

/* docs/formats/ingest-notes.md shows these bytes. */
Test(ingest_notes, a_note_has_these_bytes) {
    static const uint8_t golden[] = {
        0x35, 0xfe, 0x61, 0xe2, 0x01, 0x06, 0x01, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x05, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x44, 0x33, 0x22, 0x11, 'p',  'h',  'o',  't',  'o',  's',  'a',
    };
    uint8_t bytes[sizeof golden + 1];
    struct ingest_notes *notes = open_notes();
    add(notes, "a");
    write_notes(notes, false);
    cr_assert_eq(read_file(bytes, sizeof bytes), sizeof golden);
    for (size_t i = 0; i < sizeof golden; i++) {
        cr_assert_eq(bytes[i], golden[i], "byte %zu is %02x", i, bytes[i]);
    }
    ingest_notes_close(notes);
}

Test(ingest_notes, the_next_start_finds_them_up_to_one_that_is_damaged) {
    struct ingest_notes *notes = open_notes();
    cr_assert_str_eq(read_notes(notes), "");
    add(notes, "first");
    add(notes, "second");
    write_notes(notes, false);
    add(notes, "third");
    write_notes(notes, true);
    ingest_notes_close(notes);
    notes = open_notes();
    cr_assert_str_eq(read_notes(notes), "first second third ");
    add(notes, "fourth");
    write_notes(notes, true);
    cr_assert_str_eq(read_notes(notes), "first second third fourth ");
    struct error error = {0};
    struct disk_file *file = place.disk->ops->open(place.disk, "ingest-notes", false, &error);
    cr_assert(file->ops->write(file, 2 * 55 + 20, bytes_of_string("?"), &error));
    file->ops->close(file);
    cr_assert_str_eq(read_notes(notes), "first second ");
    ingest_notes_close(notes);
}

Test(ingest_notes, what_has_been_told_of_is_written_over) {
    struct ingest_notes *notes = open_notes();
    add(notes, "first");
    write_notes(notes, false);
    add(notes, "a-longer-name");
    write_notes(notes, false);
    cr_assert_str_eq(read_notes(notes), "a-longer-name ");
    ingest_notes_close(notes);
}

Test(ingest_notes, what_finds_no_room_is_not_noted) {
    struct ingest_notes *notes = open_notes();
    struct error error = {0};
    for (unsigned i = 0; i < INGEST_NOTES_MAX_BYTES / 50; i++) {
        add(notes, "a");
    }
    cr_assert_not(ingest_notes_write(notes, false, &error));
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    add(notes, "b");
    write_notes(notes, true);
    cr_assert_str_eq(read_notes(notes), "b ");
    ingest_notes_close(notes);
}
