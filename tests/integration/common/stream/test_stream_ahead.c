// rooms: waybill_stream test_support
#include "common/stream/stream_ahead.h"
#include "stream_fixture.h"

static void quiet(void) {
    log_setup("test", LOG_LEVEL_ERROR);
}

TestSuite(stream_ahead, .init = quiet, .timeout = 120);

enum { MANY = 300, FEW = 20, AT_ONCE = 8 };

/* A stream with many messages of one subject, and then some of another. */
static void fill(struct stream_test *t) {
    stream_test_open(t);
    add_stream(t);
    look(t);
    for (int i = 1; i <= MANY + FEW; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        const char *subject = i <= MANY ? "events.many.staged" : "events.few.staged";
        cr_assert_eq(js_Publish(NULL, t->jetstream, subject, body, (int)strlen(body), NULL, NULL), NATS_OK);
    }
    await_connected(t->connection);
}

static struct stream_ahead *open_ahead(struct stream_test *t) {
    struct error error = {0};
    struct stream_ahead *ahead = stream_ahead_new(t->connection, STREAM, "ahead", "events.*.staged");
    cr_assert_eq(stream_ahead_look(ahead, &error), 2, "%s", error.message);
    return ahead;
}

static int index_of(const struct stream_ahead *ahead, const char *subject) {
    return strcmp(stream_ahead_subject(ahead, 0), subject) == 0 ? 0 : 1;
}

static bool seen[MANY + FEW + 1];

static void note(void *self, struct bytes body) {
    char text[16] = {0};
    (void)self;
    cr_assert_lt(body.size, sizeof text);
    memcpy(text, body.data, body.size);
    int number = atoi(text);
    cr_assert_not(seen[number], "%d was found twice", number);
    seen[number] = true;
}

static int find(struct stream_ahead *ahead, int index, uint64_t after) {
    struct error error = {0};
    int count = stream_ahead_fetch(ahead, index, after, AT_ONCE, note, NULL, &error);
    cr_assert_geq(count, 0, "%s", error.message);
    return count;
}

Test(stream_ahead, finds_messages_of_one_subject_behind_many_of_another_each_once) {
    struct stream_test t;
    fill(&t);
    struct stream_ahead *one = open_ahead(&t);
    struct stream_ahead *other = open_ahead(&t); /* they share the place */
    int few = index_of(one, "events.few.staged");
    int other_few = index_of(other, "events.few.staged");
    int found = 0, found_now;
    do {
        found_now = find(one, few, 10) + find(other, other_few, 10);
        found += found_now;
    } while (found_now > 0);
    cr_assert_eq(found, FEW);
    for (int i = MANY + 1; i <= MANY + FEW; i++) {
        cr_assert(seen[i], "%d", i);
    }
    stream_ahead_free(one);
    stream_ahead_free(other);
    stream_test_close(&t);
}

Test(stream_ahead, begins_behind_what_was_delivered_and_makes_nothing_where_there_is_nothing) {
    struct stream_test t;
    fill(&t);
    struct stream_ahead *ahead = open_ahead(&t);
    int few = index_of(ahead, "events.few.staged");
    cr_assert_eq(find(ahead, few, MANY + FEW), 0);
    jsStreamInfo *info = NULL;
    cr_assert_eq(js_GetStreamInfo(&info, t.jetstream, STREAM, NULL, NULL), NATS_OK);
    cr_assert_eq(info->State.Consumers, 0);
    jsStreamInfo_Destroy(info);
    cr_assert_eq(find(ahead, few, MANY + FEW - 3), 3);
    cr_assert_eq(find(ahead, few, MANY + FEW - 3), 0);
    cr_assert(seen[MANY + FEW] && !seen[MANY + FEW - 3]);
    stream_ahead_free(ahead);
    stream_test_close(&t);
}

static void note_most(void *self, struct bytes body) {
    if (body.size > 0) {
        note(self, body);
    }
}

Test(stream_ahead, finds_what_is_behind_messages_that_look_like_the_servers_word) {
    struct stream_test t;
    struct error error = {0};
    stream_test_open(&t);
    add_stream(&t);
    put_lookalikes(&t, "events.few.staged", 1);
    cr_assert_eq(js_Publish(NULL, t.jetstream, "events.few.staged", "1", 1, NULL, NULL), NATS_OK);
    await_connected(t.connection);
    struct stream_ahead *ahead = stream_ahead_new(t.connection, STREAM, "ahead", "events.*.staged");
    cr_assert_eq(stream_ahead_look(ahead, &error), 1, "%s", error.message);
    int found = 0, found_now;
    do {
        found_now = stream_ahead_fetch(ahead, 0, 0, AT_ONCE, note_most, NULL, &error);
        cr_assert_geq(found_now, 0, "%s", error.message);
        found += found_now;
    } while (found_now > 0);
    cr_assert_eq(found, LOOKALIKES + 1);
    cr_assert(seen[1]);
    stream_ahead_free(ahead);
    stream_test_close(&t);
}

Test(stream_ahead, a_stream_that_is_not_there_is_an_error) {
    struct stream_test t;
    struct error error = {0};
    stream_test_open(&t);
    await_connected(t.connection);
    struct stream_ahead *ahead = stream_ahead_new(t.connection, STREAM, "ahead", "events.*.staged");
    cr_assert_eq(stream_ahead_look(ahead, &error), -1);
    cr_assert_eq(error.code, ERROR_UNAVAILABLE);
    stream_ahead_free(ahead);
    stream_test_close(&t);
}
