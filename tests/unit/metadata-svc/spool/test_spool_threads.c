// rooms: metadata_spool test_support
#include "tests/unit/metadata-svc/spool/spool_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { WRITERS = 4, READERS = 2, ROUNDS = 60, WINDOW = 3 };

/* Writers keep a few payloads each; readers read what may go at any moment. */
struct crowd {
    struct spool_fixture fixture;
    atomic_uint written[WRITERS]; /* payloads that the writer finished */
    atomic_uint read;
    atomic_uint wrong; /* Criterion's asserts are not for threads */
    atomic_bool stop;
};

struct writer {
    struct crowd *crowd;
    unsigned index;
};

static uint64_t number_of(unsigned writer, unsigned round) {
    return 1000 * (uint64_t)(writer + 1) + round;
}

static uint64_t size_of(uint64_t number) {
    return number * 7919 % 120000;
}

static void *write_payloads(void *argument) {
    const struct writer *writer = argument;
    struct crowd *crowd = writer->crowd;
    for (unsigned round = 0; round < ROUNDS;) {
        uint64_t number = number_of(writer->index, round);
        struct error error = {0};
        if (fixture_try_put(&crowd->fixture, number, size_of(number), round % 2 == 0 ? 65536 : 5000, &error)) {
            atomic_store(&crowd->written[writer->index], ++round);
        } else if (strcmp(error.reason, "SPOOL_FULL") != 0) {
            atomic_fetch_add(&crowd->wrong, 1);
            return NULL;
        }
        if (round > WINDOW) {
            fixture_release(&crowd->fixture, number_of(writer->index, round - WINDOW - 1));
        }
    }
    return NULL;
}

static void *read_payloads(void *argument) {
    struct crowd *crowd = argument;
    for (unsigned turn = 0; !atomic_load(&crowd->stop); turn++) {
        unsigned writer = turn % WRITERS;
        unsigned written = atomic_load(&crowd->written[writer]);
        uint64_t number = number_of(writer, written > turn % WINDOW ? written - 1 - turn % WINDOW : 0);
        struct error error = {0};
        bool right;
        bool read = fixture_compare(crowd->fixture.spool, number, 0, (size_t)size_of(number), &right, &error);
        struct payload_spool_stats stats = fixture_stats(&crowd->fixture);
        if ((read && !right) || (!read && strcmp(error.reason, "PAYLOAD_NOT_SPOOLED") != 0) ||
            stats.segments * SEGMENT_BYTES > stats.limit_bytes) {
            atomic_fetch_add(&crowd->wrong, 1);
        }
        atomic_fetch_add(&crowd->read, right ? 1 : 0);
    }
    return NULL;
}

Test(spool_threads, uploads_reads_and_releases_run_at_the_same_time) {
    struct crowd crowd = {.fixture = fixture_start(1, 40)};
    struct writer writers[WRITERS];
    pthread_t write_threads[WRITERS];
    pthread_t read_threads[READERS];
    crowd.fixture.options.dirty_bytes = 150000;
    crowd.fixture.options.max_open_files = 4;
    fixture_reopen(&crowd.fixture);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){&crowd, i};
        cr_assert_eq(pthread_create(&write_threads[i], NULL, write_payloads, &writers[i]), 0);
    }
    for (unsigned i = 0; i < READERS; i++) {
        cr_assert_eq(pthread_create(&read_threads[i], NULL, read_payloads, &crowd), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(write_threads[i], NULL);
    }
    atomic_store(&crowd.stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(read_threads[i], NULL);
    }
    cr_assert_eq(atomic_load(&crowd.wrong), 0);
    cr_assert_gt(atomic_load(&crowd.read), 0);
    fixture_lose_power(&crowd.fixture, FAULTY_TEAR);
    for (unsigned i = 0; i < WRITERS; i++) {
        for (unsigned round = ROUNDS - WINDOW; round < ROUNDS; round++) {
            uint64_t number = number_of(i, round);
            fixture_check(&crowd.fixture, number, size_of(number));
        }
    }
    fixture_end(&crowd.fixture);
}

/* Uploads small payloads one after the other. */
struct finisher {
    struct spool_fixture *fixture;
    uint64_t number;
    bool good;
};

static void *finish_small(void *argument) {
    struct finisher *finisher = argument;
    struct error error = {0};
    for (uint64_t i = 0; finisher->good && i < 50; i++) {
        finisher->good = fixture_try_put(finisher->fixture, finisher->number + i, 100, 100, &error);
    }
    return NULL;
}

Test(spool_threads, uploads_that_finish_together_share_flushes) {
    enum { FINISHERS = 8 };
    char root[64] = "/tmp/waybill-spool-XXXXXX";
    struct error error = {0};
    cr_assert_not_null(mkdtemp(root));
    struct spool_fixture fixture = fixture_on(posix_disk_new(root, &error), 100);
    struct finisher finishers[FINISHERS];
    pthread_t threads[FINISHERS];
    for (uint64_t i = 0; i < FINISHERS; i++) {
        finishers[i] = (struct finisher){&fixture, 1000 * i, true};
        cr_assert_eq(pthread_create(&threads[i], NULL, finish_small, &finishers[i]), 0);
    }
    for (uint64_t i = 0; i < FINISHERS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert(finishers[i].good);
    }
    /* A flush begins a new block: 400 payloads with a flush each would take 400 blocks. */
    struct payload_spool_stats stats = fixture_stats(&fixture);
    cr_assert_leq(stats.segments * (SEGMENT_ROOM_BYTES / 4096), 300, "%llu segments",
                  (unsigned long long)stats.segments);
    fixture_end(&fixture);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_assert_eq(system(command), 0);
}

/* Threads that upload one payload over and over, each under the same upload id, while another one
 * cancels it, lets time run out and asks how far it is. */
struct contest {
    struct spool_fixture fixture;
    atomic_uint finished;
    atomic_uint wrong;
    atomic_bool stop;
};

enum { CONTEST_SIZE = 200000, CONTEST_PAYLOADS = 30 };

static struct uuid contest_upload_id(void) {
    return (struct uuid){{0x55}};
}

/* Goes on with it, wherever it is; breaks off, finishes, or is told that somebody else has it. */
static void contend(struct contest *contest, unsigned turn) {
    struct payload_spool *spool = contest->fixture.spool;
    unsigned number = atomic_load(&contest->finished);
    struct uuid upload_id = contest_upload_id();
    struct upload_info info = {0};
    struct error error = {0};
    payload_spool_find_upload(spool, &upload_id, &info);
    struct upload_start start = {.upload_id = upload_id,
                                 .payload_id = fixture_id(1000000 + turn),
                                 .bucket = "pictures",
                                 .key = "contested",
                                 .write_offset = info.persisted_bytes};
    struct payload_upload *upload = payload_upload_open(spool, &start, &error);
    if (upload == NULL) {
        bool known = strcmp(error.reason, "UPLOAD_IN_PROGRESS") == 0 ||
                     strcmp(error.reason, "WRONG_WRITE_OFFSET") == 0 || strcmp(error.reason, "UPLOAD_GIVEN_UP") == 0;
        atomic_fetch_add(&contest->wrong, known ? 0 : 1);
        return;
    }
    uint64_t size = payload_upload_size(upload) + 70000;
    struct uuid payload_id = payload_upload_payload_id(upload);
    if (!fixture_append(upload, 7, size < CONTEST_SIZE ? size : CONTEST_SIZE, 66000, &error) || size < CONTEST_SIZE) {
        payload_upload_suspend(upload);
    } else if (payload_upload_finish(upload, &error)) {
        static uint8_t want[CONTEST_SIZE]; /* of whoever has the upload, which nobody else can */
        static uint8_t got[CONTEST_SIZE];
        fixture_fill(7, 0, want, sizeof want);
        bool right =
            payload_spool_read(spool, &payload_id, 0, got, sizeof got, &error) && memcmp(got, want, sizeof want) == 0;
        atomic_fetch_add(&contest->wrong, right ? 0 : 1);
        atomic_store(&contest->finished, number + 1);
        payload_spool_release(spool, &payload_id);
    }
}

static void *contend_often(void *argument) {
    struct contest *contest = argument;
    static atomic_uint turns;
    while (!atomic_load(&contest->stop)) {
        contend(contest, atomic_fetch_add(&turns, 1));
    }
    return NULL;
}

static void *disturb(void *argument) {
    struct contest *contest = argument;
    struct payload_spool *spool = contest->fixture.spool;
    struct uuid upload_id = contest_upload_id();
    for (unsigned turn = 0; !atomic_load(&contest->stop); turn++) {
        struct upload_info info;
        if (turn % 64 == 0) {
            payload_spool_cancel_upload(spool, &upload_id);
        } else if (turn % 64 == 32) {
            payload_spool_expire_uploads(spool);
        } else {
            payload_spool_find_upload(spool, &upload_id, &info);
        }
        usleep(200);
    }
    return NULL;
}

Test(spool_threads, of_those_that_contend_for_an_upload_one_writes_and_its_bytes_are_right) {
    struct contest contest = {.fixture = fixture_start(2, 60)};
    pthread_t threads[WRITERS + 1];
    contest.fixture.options.clock = &system_clock;
    contest.fixture.options.upload_idle_us = 500;
    fixture_reopen(&contest.fixture);
    for (unsigned i = 0; i < WRITERS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, contend_often, &contest), 0);
    }
    cr_assert_eq(pthread_create(&threads[WRITERS], NULL, disturb, &contest), 0);
    for (int i = 0; i < 20000 && atomic_load(&contest.finished) < CONTEST_PAYLOADS; i++) {
        usleep(1000);
    }
    atomic_store(&contest.stop, true);
    for (unsigned i = 0; i <= WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert_eq(atomic_load(&contest.wrong), 0);
    cr_assert_geq(atomic_load(&contest.finished), CONTEST_PAYLOADS);
    struct uuid upload_id = contest_upload_id();
    payload_spool_cancel_upload(contest.fixture.spool, &upload_id);
    cr_assert_eq(fixture_stats(&contest.fixture).live_bytes, 0);
    cr_assert_eq(fixture_stats(&contest.fixture).live_payloads, 0);
    fixture_end(&contest.fixture);
}
