// rooms: metadata_commit
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metadata-svc/commit/commit_feed.h"
#include "metadata-svc/commit/committer.h"

enum { CHANGES = 200, ROOM = 64 };

static char directory[64];
static struct kv *kv;
static struct commit_engine *engine;
static struct commit_feed *feed;
static atomic_uint batches;
static atomic_uint failures;

static void on_durable(void *self, int64_t revision) {
    (void)self;
    commit_feed_advance(feed, revision);
}

static void on_answered(void *self) {
    (void)self;
}

static void on_batch(void *self, size_t records, int64_t flush_us) {
    (void)self;
    (void)flush_us;
    cr_assert_gt(records, 0);
    atomic_fetch_add(&batches, 1);
}

static void on_failed(void *self, const struct error *error) {
    (void)self;
    (void)error;
    atomic_fetch_add(&failures, 1);
}

/* Holds the committer's thread until it is let go. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

/* One change and where its end is told. */
struct change {
    struct commit_request request;
    struct arena arena;
    char key[16];
    atomic_bool done;
};

static void set_done(struct commit_request *request) {
    struct change *change = request->context;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_store(&change->done, true);
}

static void prepare(struct change *change, enum commit_kind kind, int number) {
    memset(change, 0, sizeof *change);
    arena_init(&change->arena);
    snprintf(change->key, sizeof change->key, "key-%d", number);
    change->request = (struct commit_request){
        .kind = kind,
        .arena = &change->arena,
        .actor = "",
        .reason = "",
        .replica = "",
        .new_uid = uuid_make(),
        .record = record_make("photos", change->key),
        .bucket = {.name = "photos", .storage_class = STORAGE_HOT, .inline_max_bytes = 64},
        .done = set_done,
        .context = change,
    };
}

static struct committer *start(unsigned max_waiting) {
    struct committer_options options = {
        .queue.max_waiting = max_waiting, .max_batch = 512, .max_batch_bytes = 1 << 20, .clock = &system_clock};
    return committer_start(engine, &options,
                           (struct committer_observer){on_durable, on_answered, on_batch, on_failed, NULL});
}

static void create_bucket(struct committer *committer) {
    struct change bucket;
    struct error error = {0};
    prepare(&bucket, COMMIT_CREATE_BUCKET, 0);
    cr_assert(committer_commit(committer, &bucket.request, &error), "%s", error.message);
    arena_free(&bucket.arena);
}

static void set_up(void) {
    struct error error = {0};
    snprintf(directory, sizeof directory, "/tmp/waybill-test-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    struct leveldb_kv_options options = {.cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    kv = leveldb_kv_open(directory, &options, &error);
    cr_assert_not_null(kv, "%s", error.message);
    struct commit_engine_options engine_options = {.shard = "0"};
    engine = commit_engine_new(kv, &system_clock, &engine_options, &error);
    cr_assert_not_null(engine, "%s", error.message);
    feed = commit_feed_new(commit_engine_revision(engine));
}

static void tear_down(void) {
    commit_feed_free(feed);
    commit_engine_free(engine);
    kv->ops->close(kv);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0);
}

TestSuite(committer, .init = set_up, .fini = tear_down);

Test(committer, changes_that_wait_together_share_a_flush_and_stop_finishes_them) {
    static struct change changes[CHANGES];
    struct error error = {0};
    struct committer *committer = start(CHANGES);
    create_bucket(committer);
    unsigned before = atomic_load(&batches);
    pthread_mutex_lock(&gate); /* the first batch's completion waits, so the others gather */
    for (int i = 0; i < CHANGES; i++) {
        prepare(&changes[i], COMMIT_PUT, i);
        cr_assert(committer_submit(committer, &changes[i].request, &error), "%s", error.message);
    }
    pthread_mutex_unlock(&gate);
    committer_stop(committer);
    for (int i = 0; i < CHANGES; i++) {
        cr_assert(atomic_load(&changes[i].done));
        cr_assert(changes[i].request.committed, "%s", changes[i].request.error.message);
        arena_free(&changes[i].arena);
    }
    cr_assert_eq(commit_feed_revision(feed), CHANGES + 1);
    cr_assert_leq(atomic_load(&batches) - before, 3);
    cr_assert_eq(atomic_load(&failures), 0);
}

Test(committer, a_full_queue_refuses_at_once_and_says_when_to_come_again) {
    static struct change changes[ROOM];
    struct error error = {0};
    struct committer *committer = start(4);
    create_bucket(committer);
    pthread_mutex_lock(&gate);
    int taken = 0;
    bool refused = false;
    for (int i = 0; i < ROOM && !refused; i++) {
        prepare(&changes[i], COMMIT_PUT, i);
        refused = !committer_submit(committer, &changes[i].request, &error);
        taken += !refused;
    }
    cr_assert(refused, "a queue of 4 does not take %d", ROOM);
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "COMMIT_QUEUE_FULL");
    cr_assert_gt(error.retry_after_ms, 0);
    pthread_mutex_unlock(&gate);
    committer_stop(committer);
    for (int i = 0; i < taken; i++) {
        cr_assert(atomic_load(&changes[i].done));
    }
    cr_assert_not(atomic_load(&changes[taken].done), "what was refused is not answered twice");
    for (int i = 0; i <= taken; i++) {
        arena_free(&changes[i].arena);
    }
}

static atomic_uint lists;

static void finish_list(struct commit_request *list) {
    atomic_fetch_add(&lists, 1);
    while (list != NULL) {
        struct commit_request *next = list->next;
        list->done(list);
        list = next;
    }
}

Test(committer, a_batch_goes_to_its_finisher_as_one_list) {
    static struct change changes[CHANGES];
    struct error error = {0};
    struct committer *committer = start(CHANGES);
    create_bucket(committer);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < CHANGES; i++) {
        prepare(&changes[i], COMMIT_PUT, i);
        changes[i].request.finish = i % 3 == 0 ? NULL : finish_list;
        cr_assert(committer_submit(committer, &changes[i].request, &error), "%s", error.message);
    }
    pthread_mutex_unlock(&gate);
    committer_stop(committer);
    cr_assert_leq(atomic_load(&lists), 3);
    cr_assert_gt(atomic_load(&lists), 0);
    for (int i = 0; i < CHANGES; i++) {
        cr_assert(atomic_load(&changes[i].done), "change %d", i);
        arena_free(&changes[i].arena);
    }
}

static void *wait_for_revision(void *argument) {
    int64_t *seen = argument;
    *seen = commit_feed_wait(feed, 0, 60000);
    return NULL;
}

Test(committer, a_watcher_is_woken_when_a_change_is_durable_and_not_kept_beyond_its_time) {
    int64_t seen = 0;
    pthread_t watcher;
    cr_assert_eq(commit_feed_wait(feed, 0, 1), 0, "nothing came, and it returns");
    cr_assert_eq(pthread_create(&watcher, NULL, wait_for_revision, &seen), 0);
    struct committer *committer = start(4);
    create_bucket(committer);
    pthread_join(watcher, NULL);
    cr_assert_eq(seen, 1);
    committer_stop(committer);
}
