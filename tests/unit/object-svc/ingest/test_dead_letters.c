// rooms: object_ingest
#include <criterion/criterion.h>

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>

#include "object-svc/ingest/dead_letter_codec.h"
#include "tests/support/file_limit.h"
#include "tests/unit/object-svc/hot/golden.h"

enum { KEPT = 5 };

static char directory[64];
static struct dead_letters *letters;
static struct arena arena;
static const struct uuid first;

static void open_letters(void) {
    struct error error = {0};
    char path[96];
    snprintf(path, sizeof path, "%s/letters", directory);
    letters = dead_letters_open(path, KEPT, &error);
    cr_assert_not_null(letters, "%s", error.message);
}

static void set_up(void) {
    snprintf(directory, sizeof directory, "/tmp/waybill-test-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    arena_init(&arena);
    open_letters();
}

static void tear_down(void) {
    dead_letters_close(letters);
    arena_free(&arena);
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0);
}

TestSuite(dead_letters, .init = set_up, .fini = tear_down);

static struct dead_letter letter_of(uint64_t sequence, const char *bucket) {
    return (struct dead_letter){
        .id = dead_letter_id(sequence, 1700000000000000000),
        .fail_unix_us = 1700000000000001,
        .attempts = 3,
        .event_sequence = sequence,
        .event_subject = "waybill.changes.0.photos.staged",
        .reason = "BAD_EVENT",
        .message = "the event cannot be decoded",
        .bucket = bucket,
        .key = "a/b",
        .version = 7,
    };
}

static void add(uint64_t sequence, const char *bucket) {
    struct error error = {0};
    struct dead_letter letter = letter_of(sequence, bucket);
    cr_assert(dead_letters_add(letters, &letter, 1, &error), "%s", error.message);
}

static size_t list(const char *bucket, const struct uuid *after, struct dead_letter *out, size_t max, bool *more) {
    struct error error = {0};
    size_t count;
    cr_assert(dead_letters_list(letters, bucket, after, out, max, &arena, &count, more, &error), "%s", error.message);
    return count;
}

Test(dead_letters, a_letter_survives_a_restart_whole) {
    add(9, "photos");
    dead_letters_close(letters);
    open_letters();
    cr_assert_eq(dead_letters_count(letters), 1);
    struct dead_letter out[KEPT];
    bool more;
    cr_assert_eq(list("", &first, out, KEPT, &more), 1);
    struct dead_letter expected = letter_of(9, "photos");
    cr_assert(uuid_equal(&out[0].id, &expected.id));
    cr_assert_eq(out[0].fail_unix_us, expected.fail_unix_us);
    cr_assert_eq(out[0].attempts, 3);
    cr_assert_eq(out[0].event_sequence, 9);
    cr_assert_eq(out[0].version, 7);
    cr_assert_str_eq(out[0].event_subject, expected.event_subject);
    cr_assert_str_eq(out[0].reason, "BAD_EVENT");
    cr_assert_str_eq(out[0].message, expected.message);
    cr_assert_str_eq(out[0].bucket, "photos");
    cr_assert_str_eq(out[0].key, "a/b");
}

Test(dead_letters, an_event_that_is_given_up_twice_is_one_letter) {
    add(9, "photos");
    add(9, "photos");
    cr_assert_eq(dead_letters_count(letters), 1);
}

Test(dead_letters, the_oldest_go_first_when_there_are_too_many) {
    for (uint64_t sequence = 1; sequence <= KEPT + 2; sequence++) {
        add(sequence, "photos");
    }
    cr_assert_eq(dead_letters_count(letters), KEPT);
    struct dead_letter out[2 * KEPT];
    bool more;
    cr_assert_eq(list("", &first, out, 2 * KEPT, &more), KEPT);
    cr_assert_not(more);
    cr_assert_eq(out[0].event_sequence, 3);
}

Test(dead_letters, pages_follow_on_each_other_in_the_order_of_the_stream) {
    for (uint64_t sequence = KEPT; sequence >= 1; sequence--) {
        add(sequence, "photos");
    }
    struct uuid after = first;
    struct dead_letter out[2];
    bool more = true;
    for (uint64_t expected = 1; more;) {
        size_t count = list("", &after, out, 2, &more);
        for (size_t i = 0; i < count; i++) {
            cr_assert_eq(out[i].event_sequence, expected++);
        }
        after = out[count - 1].id;
        cr_assert_eq(more, expected <= KEPT);
    }
}

Test(dead_letters, a_bucket_has_its_own) {
    add(1, "photos");
    add(2, "");
    add(3, "films");
    struct dead_letter out[KEPT];
    bool more;
    cr_assert_eq(list("films", &first, out, KEPT, &more), 1);
    cr_assert_eq(out[0].event_sequence, 3);
}

Test(dead_letters, a_dropped_letter_is_gone_for_good) {
    struct error error = {0};
    struct dead_letter letter = letter_of(2, "photos");
    struct dead_letter dropped;
    add(1, "photos");
    add(2, "photos");
    cr_assert(dead_letters_drop(letters, &letter.id, &arena, &dropped, &error), "%s", error.message);
    cr_assert_eq(dropped.event_sequence, 2);
    cr_assert_not(dead_letters_drop(letters, &letter.id, &arena, &dropped, &error));
    cr_assert_eq(error.code, ERROR_NOT_FOUND);
    dead_letters_close(letters);
    open_letters();
    cr_assert_eq(dead_letters_count(letters), 1);
}

Test(dead_letters, a_store_of_another_format_is_refused) {
    dead_letters_close(letters);
    char path[96];
    char *message = NULL;
    snprintf(path, sizeof path, "%s/letters", directory);
    leveldb_options_t *options = leveldb_options_create();
    leveldb_writeoptions_t *write = leveldb_writeoptions_create();
    leveldb_t *db = leveldb_open(options, path, &message);
    cr_assert_null(message);
    leveldb_put(db, write, DEAD_LETTERS_FORMAT_KEY, strlen(DEAD_LETTERS_FORMAT_KEY), "\x02", 1, &message);
    cr_assert_null(message);
    leveldb_close(db);
    leveldb_options_destroy(options);
    leveldb_writeoptions_destroy(write);
    struct error error = {0};
    cr_assert_null(dead_letters_open(path, KEPT, &error));
    cr_assert_str_eq(error.reason, "DEAD_LETTERS_FORMAT");
    letters = NULL;
}

Test(dead_letter_codec, letters_lie_in_their_store_as_documented) {
    struct dead_letter letter = letter_of(9, "ph");
    letter.event_subject = "sub";
    letter.reason = "BAD";
    letter.message = "no";
    letter.key = "k";
    for (size_t i = 0; i < sizeof letter.payload_id.raw; i++) {
        letter.payload_id.raw[i] = (uint8_t)(0x10 + i);
    }
    uint8_t key[DEAD_LETTER_KEY_BYTES];
    struct buffer value = {0};
    dead_letter_key(&letter.id, key);
    dead_letter_encode(&letter, &value);
    golden_check(__FILE__, "dead-letters.md", "key", bytes_of(key, sizeof key));
    golden_check(__FILE__, "dead-letters.md", "value", buffer_bytes(&value));
    buffer_free(&value);
}

Test(dead_letter_codec, every_cut_is_noticed) {
    struct dead_letter letter = letter_of(9, "photos");
    struct buffer out = {0};
    struct arena texts;
    arena_init(&texts);
    dead_letter_encode(&letter, &out);
    for (size_t size = 0; size < out.size; size++) {
        struct error error = {0};
        struct dead_letter back;
        cr_assert_not(dead_letter_decode(bytes_of(out.data, size), &texts, &back, &error));
        cr_assert_str_eq(error.reason, "DEAD_LETTER_CORRUPT");
    }
    buffer_append_u8(&out, 0);
    struct error error = {0};
    struct dead_letter back;
    cr_assert_not(dead_letter_decode(buffer_bytes(&out), &texts, &back, &error), "bytes too many are noticed");
    buffer_free(&out);
    arena_free(&texts);
}

Test(dead_letters, nothing_is_written_behind_a_letter_that_was_torn) {
    static char long_message[40000];
    add(9, "photos");
    struct dead_letter letter = letter_of(10, "photos");
    memset(long_message, 'x', sizeof long_message - 1);
    letter.message = long_message;
    struct error error = {0};
    file_limit_set(30000); /* the letter is cut off in the middle, as where a disk is full */
    cr_assert_not(dead_letters_add(letters, &letter, 1, &error));
    file_limit_lift();
    letter = letter_of(11, "photos");
    cr_assert_not(dead_letters_add(letters, &letter, 1, &error));
    cr_assert_str_eq(error.reason, "DEAD_LETTERS_FAILED");
    struct uuid id = letter_of(9, "photos").id;
    cr_assert_not(dead_letters_drop(letters, &id, &arena, &letter, &error));
    dead_letters_close(letters);
    open_letters();
    cr_assert_eq(dead_letters_count(letters), 1);
    add(11, "photos");
}
