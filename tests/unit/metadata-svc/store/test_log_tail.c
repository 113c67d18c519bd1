// rooms: metadata_store
#include <fcntl.h>
#include <sys/wait.h>

#include "tests/unit/metadata-svc/store/store_place.h"

enum { SECTOR_BYTES = 512, BATCHES = 12 };

/* Small ones, one that fills a block to its end, and ones of several blocks. */
static const size_t sizes[BATCHES] = {300, 10, 700, 32600, 300, 100000, 1, 300, 5000, 33000, 300, 80000};

/* A store whose log ends with the batch `last`, and the log before that. */
struct torn {
    struct store_place place;
    struct buffer before;
    struct buffer after;
};

static struct torn written_up_to(int last) {
    struct torn torn = {.place = store_place_new()};
    struct store_place live = store_place_new();
    struct kv *kv = store_place_open(&live, PLACE_RUNWAY_BYTES);
    for (int i = 0; i < last; i++) {
        store_place_put(kv, i, sizes[i]);
    }
    store_place_await_runway(&live);
    torn.before = store_place_read_log(&live);
    store_place_put(kv, last, sizes[last]);
    torn.after = store_place_read_log(&live);
    store_place_run("cp -a '%s/.' '%s'", live.directory, torn.place.directory);
    kv->ops->close(kv);
    store_place_free(&live);
    return torn;
}

static void torn_free(struct torn *torn) {
    store_place_free(&torn->place);
    buffer_free(&torn->before);
    buffer_free(&torn->after);
}

/* Of the sectors of the last batch some came to the disk; those behind it are zero. */
static struct buffer tear(const struct torn *torn, unsigned *state) {
    struct buffer log = {0};
    unsigned share = 1 + (unsigned)rand_r(state) % 9;
    buffer_append(&log, torn->after.data, torn->after.size);
    for (size_t at = 0; at < torn->before.size; at += SECTOR_BYTES) {
        size_t size = log.size - at < SECTOR_BYTES ? log.size - at : SECTOR_BYTES;
        if (memcmp(log.data + at, torn->before.data + at, size) != 0 && (unsigned)rand_r(state) % 10 < share) {
            memcpy(log.data + at, torn->before.data + at, size);
        }
    }
    return log;
}

/* What is there after a start with that log: how many of the batches before the last one. */
static int opened_with(const struct torn *torn, struct bytes log, int last) {
    struct store_place copy = store_place_new();
    store_place_run("cp -a '%s/.' '%s'", torn->place.directory, copy.directory);
    store_place_write_log(&copy, log);
    struct kv *kv = store_place_try(&copy, 0);
    int found = 0;
    for (int i = 0; kv != NULL && i < last; i++) {
        found += store_place_has(kv, i, sizes[i]);
    }
    if (kv != NULL) {
        store_place_has(kv, last, sizes[last]); /* whole, or not there */
        kv->ops->close(kv);
    }
    store_place_free(&copy);
    return kv == NULL ? -1 : found;
}

Test(log_tail, of_a_batch_that_the_power_cut_off_nothing_is_there_and_of_those_before_it_all) {
    unsigned state = 1;
    for (int last = 0; last < BATCHES; last++) {
        struct torn torn = written_up_to(last);
        for (int round = 0; round < 12; round++) {
            struct buffer log = tear(&torn, &state);
            cr_assert_eq(opened_with(&torn, buffer_bytes(&log), last), last, "batch %d, round %d", last, round);
            buffer_free(&log);
        }
        torn_free(&torn);
    }
}

static void expect_state(const struct torn *torn, size_t at, uint8_t bits, enum log_tail_state state) {
    struct buffer log = {0};
    buffer_append(&log, torn->after.data, torn->after.size);
    log.data[at] ^= bits;
    cr_assert_eq(log_tail_of(buffer_bytes(&log)).state, state, "byte %zu", at);
    buffer_free(&log);
}

Test(log_tail, a_batch_that_others_follow_is_damaged_and_never_cut_off) {
    struct torn torn = written_up_to(2);
    struct bytes log = buffer_bytes(&torn.after);
    cr_assert_eq(log_tail_of(log).state, LOG_TAIL_WHOLE);
    /* Any byte of the first batch, its length among them, which then reaches into the zeros. */
    for (size_t at = 0; at < sizes[0]; at++) {
        struct buffer damaged = {0};
        buffer_append_bytes(&damaged, log);
        damaged.data[at] ^= 0x40;
        cr_assert_eq(log_tail_of(buffer_bytes(&damaged)).state, LOG_TAIL_DAMAGED, "byte %zu", at);
        buffer_free(&damaged);
    }
    torn_free(&torn);
}

Test(log_tail, wrong_bytes_in_the_last_batch_are_damage_where_all_of_it_was_written) {
    struct torn torn = written_up_to(0);
    expect_state(&torn, 0, 1, LOG_TAIL_DAMAGED);   /* the checksum */
    expect_state(&torn, 100, 1, LOG_TAIL_DAMAGED); /* the value */
    struct buffer log = {0};
    buffer_append(&log, torn.after.data, torn.after.size);
    log.data[100] ^= 1;
    cr_assert_eq(opened_with(&torn, buffer_bytes(&log), 0), -1, "refused");
    buffer_free(&log);
    torn_free(&torn);
}

Test(log_tail, a_log_without_zeros_behind_it_may_end_anywhere) {
    struct store_place place = store_place_new();
    struct kv *kv = store_place_open(&place, 0);
    store_place_put(kv, 0, 300);
    store_place_put(kv, 5, 100000);
    struct buffer log = store_place_read_log(&place);
    for (size_t size = 0; size < log.size; size += 97) {
        struct log_tail tail = log_tail_of(bytes_of(log.data, size));
        bool first_is_whole = size >= 300 + 50;
        cr_assert(tail.end <= size && (!first_is_whole || tail.state != LOG_TAIL_TORN || tail.end > 300));
    }
    buffer_free(&log);
    kv->ops->close(kv);
    store_place_free(&place);
}

/* The last batch lacks its second sector. */
static struct buffer without_a_sector(const struct torn *torn) {
    struct buffer log = {0};
    size_t at = 0;
    buffer_append(&log, torn->after.data, torn->after.size);
    while (log.data[at] == torn->before.data[at]) {
        at++;
    }
    memset(log.data + at / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES, 0, SECTOR_BYTES);
    return log;
}

static uint64_t size_of_log(const struct store_place *place) {
    struct buffer log = store_place_read_log(place);
    uint64_t size = log.size;
    buffer_free(&log);
    return size;
}

/* Another process that has the store, until it is told to end. */
static pid_t lock_elsewhere(const struct store_place *place, int *end) {
    int locked[2];
    int ends[2];
    char answer;
    char path[100];
    cr_assert(pipe(locked) == 0 && pipe(ends) == 0);
    snprintf(path, sizeof path, "%s/LOCK", place->directory);
    pid_t child = fork();
    if (child == 0) {
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int file = open(path, O_RDWR);
        bool good = file >= 0 && fcntl(file, F_SETLK, &whole) == 0 && write(locked[1], "x", 1) == 1;
        close(ends[1]);
        _exit(good && read(ends[0], &answer, 1) == 0 ? 0 : 1);
    }
    cr_assert_eq(read(locked[0], &answer, 1), 1);
    close(locked[0]);
    close(locked[1]);
    close(ends[0]);
    *end = ends[1];
    return child;
}

Test(log_tail, the_log_of_a_store_that_is_in_use_is_left_alone) {
    struct torn torn = written_up_to(8);
    struct error error = {0};
    int end;
    int status;
    struct buffer log = without_a_sector(&torn);
    store_place_write_log(&torn.place, buffer_bytes(&log));
    pid_t other = lock_elsewhere(&torn.place, &end);
    cr_assert(log_tail_mend(torn.place.directory, &error));
    cr_assert_eq(size_of_log(&torn.place), log.size);
    close(end);
    cr_assert(waitpid(other, &status, 0) == other && status == 0);
    cr_assert(log_tail_mend(torn.place.directory, &error));
    cr_assert_lt(size_of_log(&torn.place), log.size);
    buffer_free(&log);
    torn_free(&torn);
}
