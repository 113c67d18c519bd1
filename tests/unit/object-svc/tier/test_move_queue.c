// rooms: object_tier object_hot object_cold
#include "object-svc/tier/move_queue.h"
#include "tests/unit/object-svc/object_rig.h"

static struct rig rig;
static struct move_guard guard;
static struct move_queue *queue;

/* Ends that callbacks told of. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;
static unsigned ends;
static struct error last_error;

static void set_up(void) {
    rig_set_up(&rig);
    move_guard_init(&guard);
    struct move_queue_options options = {
        .ports = {.hot = rig.hot, .cold = rig.cold, .sink = rig_sink(&rig), .clock = &rig.clock, .guard = &guard}};
    queue = move_queue_start(&options);
}

static void tear_down(void) {
    move_queue_free(queue);
    move_guard_destroy(&guard);
    rig_tear_down(&rig);
}

TestSuite(move_queue, .init = set_up, .fini = tear_down);

static void on_done(void *self, const struct error *error) {
    (void)self;
    pthread_mutex_lock(&lock);
    ends++;
    last_error = error != NULL ? *error : (struct error){0};
    pthread_cond_signal(&told);
    pthread_mutex_unlock(&lock);
}

static void wait_ends(unsigned wanted) {
    pthread_mutex_lock(&lock);
    while (ends < wanted) {
        pthread_cond_wait(&told, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static struct move_wish demotion(const char *key) {
    struct rig_payload *payload = rig_store_hot(&rig, key, bytes_of_string("some text"));
    return (struct move_wish){.direction = MOVE_TO_COLD, .object = rig_moved(payload, key), .version = 1, .here = true};
}

static void ask(const struct move_wish *wish) {
    struct move_state state;
    struct error error = {0};
    cr_assert(move_queue_ask(queue, wish, &state, &error), "%s", error.message);
}

/* Asks as one that does not wait, until the end is told. */
static bool poll_end(const struct move_wish *wish, struct error *error) {
    struct move_state state = {0};
    while (!state.ended) {
        if (!move_queue_ask(queue, wish, &state, error)) {
            return false;
        }
        sched_yield();
    }
    return true;
}

Test(move_queue, whoever_waits_is_told_of_the_end) {
    struct move_wish wish = demotion("a");
    wish.done = on_done;
    ask(&wish);
    wait_ends(1);
    cr_assert_eq(last_error.code, ERROR_OK, "%s", last_error.message);
    cr_assert(rig_has_cold(&rig, "a"));
    wish.direction = MOVE_TO_HOT;
    ask(&wish);
    wait_ends(2);
    cr_assert(rig_has_hot(&rig, &wish.object.payload_id));
}

Test(move_queue, all_who_ask_for_the_same_move_share_it) {
    struct error error = {0};
    struct move_wish wish = demotion("a");
    cr_assert(move_guard_enter(&guard, &wish.object.payload_id, 0, &error)); /* holds it up */
    wish.done = on_done;
    for (int i = 0; i < 5; i++) {
        ask(&wish);
    }
    cr_assert_eq(move_queue_length(queue), 1);
    move_guard_leave(&guard, &wish.object.payload_id);
    wait_ends(5);
    cr_assert_eq(rig.reports, 1);
    cr_assert_eq(move_queue_length(queue), 0);
}

Test(move_queue, whoever_does_not_wait_hears_of_the_end_once) {
    struct error error = {0};
    struct move_wish wish = demotion("a");
    cr_assert(poll_end(&wish, &error), "%s", error.message);
    cr_assert_not(rig_has_hot(&rig, &wish.object.payload_id));
}

Test(move_queue, whoever_does_not_wait_hears_why_it_failed_and_may_begin_again) {
    struct error error = {0};
    struct move_wish wish = demotion("a");
    rig.verdict = REPORT_REJECTED;
    cr_assert_not(poll_end(&wish, &error));
    cr_assert_str_eq(error.reason, "REPORT_REJECTED");
    rig.verdict = REPORT_ACCEPTED;
    error = (struct error){0};
    cr_assert(poll_end(&wish, &error), "%s", error.message);
}

Test(move_queue, a_stop_fails_what_waits_and_what_comes) {
    struct error error = {0};
    struct move_wish wishes[MOVE_QUEUE_THREADS + 2];
    struct move_state state;
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        char key[8];
        snprintf(key, sizeof key, "%zu", i);
        wishes[i] = demotion(key);
        wishes[i].done = on_done;
    }
    move_queue_stop(queue);
    cr_assert_not(move_queue_ask(queue, &wishes[0], &state, &error));
    cr_assert_str_eq(error.reason, "DRAINING");
    cr_assert_eq(ends, 0, "asking failed, so nobody is told");
}

/* A thread of the queue waits for this object; there are two. */
static void hold_up(const struct move_wish *wish) {
    struct error error = {0};
    cr_assert(move_guard_enter(&guard, &wish->object.payload_id, 0, &error));
    ask(wish);
}

Test(move_queue, it_takes_so_many_and_no_more) {
    struct error error = {0};
    struct move_state state;
    struct move_wish wish = {.direction = MOVE_TO_HOT, .object = {.bucket = "photos", .key = "none"}, .done = on_done};
    struct move_wish first = demotion("a");
    struct move_wish second = demotion("b");
    hold_up(&first);
    hold_up(&second);
    bool good = true;
    unsigned asked = 0;
    while (good && asked < MOVE_QUEUE_MAX) {
        wish.object.payload_id = uuid_make();
        good = move_queue_ask(queue, &wish, &state, &error);
        asked += good;
    }
    cr_assert_eq(asked, MOVE_QUEUE_MAX - 2);
    cr_assert_str_eq(error.reason, "MOVES_FULL");
    cr_assert_gt(error.retry_after_ms, 0);
    move_guard_leave(&guard, &first.object.payload_id);
    move_guard_leave(&guard, &second.object.payload_id);
    move_queue_stop(queue);
    cr_assert_eq(ends, asked, "those that wait are told when it stops, at the latest");
}

/* In which order moves of two buckets ended. */
static char order[64];

static void note_photos(void *self, const struct error *error) {
    strcat(order, "p");
    on_done(self, error);
}

static void note_films(void *self, const struct error *error) {
    strcat(order, "f");
    on_done(self, error);
}

Test(move_queue, buckets_take_turns) {
    struct error error = {0};
    struct move_wish held[MOVE_QUEUE_THREADS];
    for (int i = 0; i < MOVE_QUEUE_THREADS; i++) {
        held[i] = demotion(i == 0 ? "a" : "b");
        cr_assert(move_guard_enter(&guard, &held[i].object.payload_id, 0, &error));
        ask(&held[i]);
    }
    /* None of these is there, so each ends at once when its turn comes. */
    struct move_wish wish = {.direction = MOVE_TO_HOT, .object = {.bucket = "photos", .key = "none"}};
    wish.done = note_photos;
    for (int i = 0; i < 20; i++) {
        wish.object.payload_id = uuid_make();
        ask(&wish);
    }
    snprintf(wish.object.bucket, sizeof wish.object.bucket, "films");
    wish.done = note_films;
    wish.object.payload_id = uuid_make();
    ask(&wish);
    move_guard_leave(&guard, &held[0].object.payload_id); /* one thread goes on */
    wait_ends(21);
    move_guard_leave(&guard, &held[1].object.payload_id);
    cr_assert_lt(strcspn(order, "f"), 4, "%s", order);
}

Test(move_queue, moves_of_one_bucket_leave_places_for_others) {
    struct move_queue_options options = {
        .ports = {.hot = rig.hot, .cold = rig.cold, .sink = rig_sink(&rig), .clock = &rig.clock, .guard = &guard},
        .bucket_percent = 75};
    move_queue_free(queue);
    queue = move_queue_start(&options);
    struct error error = {0};
    struct move_state state;
    struct move_wish first = demotion("a");
    struct move_wish second = demotion("b");
    hold_up(&first);
    hold_up(&second);
    struct move_wish wish = {.direction = MOVE_TO_HOT, .object = {.bucket = "photos", .key = "none"}};
    unsigned asked = 2;
    do {
        wish.object.payload_id = uuid_make();
    } while (move_queue_ask(queue, &wish, &state, &error) && ++asked < MOVE_QUEUE_MAX);
    cr_assert_eq(asked, MOVE_QUEUE_MAX / 4 * 3);
    cr_assert_str_eq(error.reason, "BUCKET_OVER_SHARE");
    snprintf(wish.object.bucket, sizeof wish.object.bucket, "films");
    ask(&wish);
    move_guard_leave(&guard, &first.object.payload_id);
    move_guard_leave(&guard, &second.object.payload_id);
}
