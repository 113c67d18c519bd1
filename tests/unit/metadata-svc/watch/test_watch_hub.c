// rooms: metadata_watch
#include "metadata-svc/watch/watch_hub.h"

#include <stdatomic.h>

#include "watch_fixture.h"
#include "waybill/v1/metadata_service.pb-c.h"

TestSuite(watch_hub, .timeout = 120);

enum { STALL_US = 30 * 1000000, MANY = 300 };

/* ---- a clock that stands, and clients that take what they get when they are told to ---- */

static atomic_int_fast64_t clock_us = 1000000000;

static int64_t read_clock(void *self) {
    (void)self;
    return atomic_load(&clock_us);
}

static const struct clock still_clock = {read_clock, read_clock, NULL};

static struct fake_log fake;
static struct watch_hub *hub;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned sends; /* of all clients, under the lock */

struct client {
    struct watch *watch;
    /* Under the lock. */
    bool holds; /* takes nothing, as one that does not read */
    bool sending;
    bool ended, reset, freed;
    unsigned sends;
    size_t largest_send;
    int64_t events, next, bookmark; /* next: the revision it must see, where it sees all */
    bool sees_all;
    unsigned sends_of_all; /* `sends` when its last event came */
    struct error error;
    unsigned commits_at; /* a change is committed while it is sent this one; 0: none */
};

static void commit(int64_t count) {
    fake_log_fill(&fake, count);
    watch_hub_advance(hub, fake.newest);
}

static void read_item(struct client *client, struct bytes wire) {
    Waybill__V1__WatchChangesResponse *item = waybill__v1__watch_changes_response__unpack(NULL, wire.size, wire.data);
    cr_assert_not_null(item);
    if (item->item_case == WAYBILL__V1__WATCH_CHANGES_RESPONSE__ITEM_BOOKMARK) {
        cr_assert_geq(item->bookmark->revision, client->bookmark);
        client->bookmark = item->bookmark->revision;
    } else {
        int64_t revision = item->event->revision;
        cr_assert(client->sees_all ? revision == client->next : revision >= client->next, "revision %ld, not %ld",
                  (long)revision, (long)client->next);
        client->next = revision + 1;
        client->events++;
        client->sends_of_all = sends;
    }
    waybill__v1__watch_changes_response__free_unpacked(item, NULL);
}

static bool client_send(void *self, struct rpc_message *const *messages, size_t count) {
    struct client *client = self;
    pthread_mutex_lock(&lock);
    cr_assert_not(client->sending, "one send at a time");
    cr_assert_not(client->ended, "nothing after the end");
    client->sends++;
    sends++;
    client->largest_send = count > client->largest_send ? count : client->largest_send;
    for (size_t i = 0; i < count; i++) {
        read_item(client, rpc_message_bytes(messages[i]));
    }
    client->sending = client->holds;
    bool taken = !client->holds;
    bool commits = client->sends == client->commits_at;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (commits) {
        commit(1);
    }
    return taken;
}

static void client_finish(void *self, const struct error *error) {
    struct client *client = self;
    pthread_mutex_lock(&lock);
    cr_assert_not(client->ended);
    client->ended = true;
    client->error = *error;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void client_reset(void *self, const struct error *error) {
    struct client *client = self;
    pthread_mutex_lock(&lock);
    cr_assert(client->ended);
    cr_assert_eq(error->code, ERROR_RESOURCE_EXHAUSTED);
    client->reset = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

#define wait_until(condition)                                                                                          \
    do {                                                                                                               \
        pthread_mutex_lock(&lock);                                                                                     \
        while (!(condition)) {                                                                                         \
            pthread_cond_wait(&changed, &lock);                                                                        \
        }                                                                                                              \
        pthread_mutex_unlock(&lock);                                                                                   \
    } while (0)

static void start_hub(unsigned threads) {
    struct watch_hub_options options = {
        .threads = threads,
        .stall_timeout_us = STALL_US,
        .durable = fake.newest,
        .kv = &fake.base,
        .clock = &still_clock,
    };
    hub = watch_hub_start(&options);
}

static void begin(void) {
    fake_log_init(&fake);
}

static void end(void) {
    watch_hub_stop(hub);
    fake_log_free(&fake);
}

static void watch_with(struct client *client, int64_t from, struct watch_filter filter, int64_t bookmark_us) {
    struct watch_settings settings = {.next_revision = from, .bookmark_us = bookmark_us, .filter = filter};
    struct watch_client functions = {client_send, client_finish, client_reset, client};
    client->next = from;
    client->watch = watch_new(hub, &settings, &functions);
    watch_begin(client->watch);
}

static void watch_all(struct client *client, int64_t from) {
    client->sees_all = true;
    watch_with(client, from, (struct watch_filter){"", "", NULL, 0}, 3600LL * 1000000);
}

static void drop(struct client *client) {
    wait_until(client->ended);
    watch_freed(client->watch);
}

/* The client goes away. */
static void leave(struct client *client) {
    struct error error = {0};
    error_set(&error, ERROR_CANCELLED, "CANCELLED", "gone");
    watch_gone(client->watch, &error);
    drop(client);
    cr_assert_str_eq(client->error.reason, "WATCH_CANCELLED");
}

static void expect_error(struct client *client, enum error_code code, const char *reason, const char *key,
                         const char *value) {
    wait_until(client->ended);
    cr_assert_eq(client->error.code, code, "%s", client->error.message);
    cr_assert_str_eq(client->error.reason, reason);
    cr_assert_str_eq(client->error.detail_key, key);
    cr_assert_str_eq(client->error.detail_value, value);
}

/* ---- ---- */

Test(watch_hub, all_at_the_head_share_one_read_of_what_is_new, .init = begin, .fini = end) {
    static struct client clients[MANY];
    start_hub(2);
    for (int i = 0; i < MANY; i++) {
        watch_all(&clients[i], 1);
    }
    commit(1);
    for (int i = 0; i < MANY; i++) {
        wait_until(clients[i].events == 1);
    }
    unsigned reads = fake_log_reads(&fake);
    commit(20);
    for (int i = 0; i < MANY; i++) {
        wait_until(clients[i].events == 21);
    }
    cr_assert_eq(fake_log_reads(&fake), reads + 1);
    struct watch_hub_stats stats;
    watch_hub_stats(hub, &stats);
    cr_assert_eq(stats.watches, MANY);
    cr_assert_eq(stats.events, MANY * 21);
    for (int i = 0; i < MANY; i++) {
        leave(&clients[i]);
    }
    watch_hub_stats(hub, &stats);
    cr_assert_eq(stats.watches, 0);
    cr_assert_eq(stats.cut_off, 0);
}

Test(watch_hub, the_past_comes_whole_and_in_order_in_bounded_sends, .init = begin, .fini = end) {
    static struct client clients[3];
    fake_log_fill(&fake, 5000);
    start_hub(2);
    watch_all(&clients[0], 1);
    watch_all(&clients[1], 77);
    watch_all(&clients[2], 5001);
    wait_until(clients[0].events == 5000 && clients[1].events == 4924);
    commit(1);
    wait_until(clients[0].events == 5001 && clients[1].events == 4925 && clients[2].events == 1);
    cr_assert_leq(clients[0].largest_send, WATCH_SEND_MESSAGES);
    for (int i = 0; i < 3; i++) {
        leave(&clients[i]);
    }
}

Test(watch_hub, filters_pass_only_what_is_wanted, .init = begin, .fini = end) {
    static struct client wanted, other;
    static const Waybill__V1__ChangeType types[] = {WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_DELETED};
    for (int i = 0; i < 1000; i++) {
        fake_log_commit(&fake, i % 2 ? "photos" : "films", i % 4 < 2 ? "x/1" : "y/1",
                        i % 8 < 4 ? types[0] : WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STORED, 0);
    }
    start_hub(2);
    watch_with(&wanted, 1, (struct watch_filter){"photos", "x/", types, 1}, 3600LL * 1000000);
    watch_with(&other, 1, (struct watch_filter){"music", "", NULL, 0}, 3600LL * 1000000);
    wait_until(wanted.events == 125);
    cr_assert_eq(wanted.next, 994 + 1, "the last that matches");
    leave(&wanted);
    leave(&other);
    cr_assert_eq(other.events, 0);
}

Test(watch_hub, one_far_behind_does_not_hold_up_those_at_the_head, .init = begin, .fini = end) {
    static struct client behind[2] = {{.commits_at = 20}}, head;
    fake_log_fill(&fake, 10000);
    start_hub(1);
    watch_all(&head, 10001);
    watch_all(&behind[0], 1);
    watch_all(&behind[1], 1);
    wait_until(head.events == 1);
    /* 20 sends to each of the two, at most, then the head's. */
    cr_assert_leq(head.sends_of_all, 41);
    wait_until(behind[0].events == 10001 && behind[1].events == 10001);
    leave(&behind[0]);
    leave(&behind[1]);
    leave(&head);
}

Test(watch_hub, a_stalled_client_is_cut_off_and_others_go_on, .init = begin, .fini = end) {
    static struct client slow = {.holds = true}, quick;
    fake_log_fill(&fake, 1000);
    start_hub(2);
    watch_all(&slow, 1);
    watch_all(&quick, 1);
    wait_until(slow.sending && quick.events == 1000);
    atomic_fetch_add(&clock_us, STALL_US - 1);
    commit(1);
    wait_until(quick.events == 1001);
    cr_assert_not(slow.ended, "its time is not over");
    atomic_fetch_add(&clock_us, 1);
    commit(1);
    expect_error(&slow, ERROR_RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW", "next_revision", "129");
    cr_assert_eq(slow.next, 129, "which is the one after those that it was sent");
    cr_assert_gt(slow.error.retry_after_ms, 0);
    cr_assert_eq(slow.sends, 1);
    struct watch_hub_stats stats;
    watch_hub_stats(hub, &stats);
    cr_assert_eq(stats.cut_off, 1);
    watch_taken(slow.watch); /* too late, no harm */
    drop(&slow);
    wait_until(quick.events == 1002);
    cr_assert_not(slow.reset);
    leave(&quick);
}

Test(watch_hub, one_cut_off_that_does_not_take_its_end_is_reset, .init = begin, .fini = end) {
    static struct client slow = {.holds = true};
    fake_log_fill(&fake, 10);
    start_hub(1);
    watch_all(&slow, 1);
    wait_until(slow.sending);
    atomic_fetch_add(&clock_us, STALL_US);
    wait_until(slow.ended);
    cr_assert_not(slow.reset);
    atomic_fetch_add(&clock_us, STALL_US);
    wait_until(slow.reset);
    drop(&slow);
}

static unsigned count_sending(const struct client *clients, unsigned count) {
    unsigned sending = 0;
    for (unsigned i = 0; i < count; i++) {
        sending += clients[i].sending;
    }
    return sending;
}

Test(watch_hub, clients_that_take_nothing_make_room_for_others, .init = begin, .fini = end) {
    static struct client stuck[WATCH_SENDS_UNDER_WAY + 1], quick;
    fake_log_fill(&fake, 10);
    start_hub(1);
    for (int i = 0; i <= WATCH_SENDS_UNDER_WAY; i++) {
        stuck[i].holds = true;
        watch_all(&stuck[i], 1);
    }
    watch_all(&quick, 1);
    wait_until(count_sending(stuck, WATCH_SENDS_UNDER_WAY + 1) == WATCH_SENDS_UNDER_WAY);
    cr_assert_eq(quick.sends, 0, "no more sends at once");
    atomic_fetch_add(&clock_us, WATCH_STUCK_US);
    wait_until(quick.events == 10);
    wait_until(count_sending(stuck, WATCH_SENDS_UNDER_WAY + 1) == WATCH_SENDS_UNDER_WAY + 1);
    for (int i = 0; i <= WATCH_SENDS_UNDER_WAY; i++) {
        leave(&stuck[i]);
    }
    leave(&quick);
}

Test(watch_hub, a_slow_client_that_takes_in_time_is_not_cut_off, .init = begin, .fini = end) {
    static struct client slow = {.holds = true};
    fake_log_fill(&fake, 1000);
    start_hub(2);
    watch_all(&slow, 1);
    for (int i = 0; i < 7; i++) {
        wait_until(slow.sending);
        atomic_fetch_add(&clock_us, STALL_US - 1);
        pthread_mutex_lock(&lock);
        slow.sending = false;
        pthread_mutex_unlock(&lock);
        watch_taken(slow.watch);
    }
    wait_until(slow.events == 1000);
    cr_assert_not(slow.ended);
    leave(&slow);
}

Test(watch_hub, a_silent_client_with_nothing_to_get_is_never_cut_off, .init = begin, .fini = end) {
    static struct client silent, quick;
    start_hub(1);
    watch_with(&silent, 1, (struct watch_filter){"music", "", NULL, 0}, 3600LL * 1000000);
    watch_all(&quick, 1);
    for (int i = 1; i <= 10; i++) {
        atomic_fetch_add(&clock_us, STALL_US);
        commit(1);
        wait_until(quick.events == i);
    }
    cr_assert_not(silent.ended);
    leave(&silent);
    leave(&quick);
}

Test(watch_hub, bookmarks_tell_how_far_a_silent_watch_is, .init = begin, .fini = end) {
    static struct client silent, idle;
    fake_log_fill(&fake, 300);
    start_hub(2);
    watch_with(&silent, 1, (struct watch_filter){"music", "", NULL, 0}, 1000000);
    watch_with(&idle, 301, (struct watch_filter){"", "", NULL, 0}, 60 * 1000000);
    atomic_fetch_add(&clock_us, 1000000);
    wait_until(silent.bookmark == 300);
    commit(50);
    wait_until(idle.events == 50);
    atomic_fetch_add(&clock_us, 1000000);
    wait_until(silent.bookmark == 350);
    cr_assert_eq(idle.bookmark, 0);
    atomic_fetch_add(&clock_us, 60 * 1000000);
    wait_until(idle.bookmark == 350);
    leave(&silent);
    leave(&idle);
}

Test(watch_hub, a_long_bookmark_interval_outlasts_the_wheel, .init = begin, .fini = end) {
    static struct client idle;
    start_hub(1);
    watch_with(&idle, 1, (struct watch_filter){"", "", NULL, 0}, 600LL * 1000000);
    for (int i = 0; i < 5; i++) {
        commit(1);
        wait_until(idle.events == i + 1);
        atomic_fetch_add(&clock_us, 599LL * 1000000);
    }
    cr_assert_eq(idle.bookmark, 0);
    atomic_fetch_add(&clock_us, 1000000);
    wait_until(idle.bookmark == 5);
    leave(&idle);
}

Test(watch_hub, a_trimmed_start_is_refused_though_it_is_in_memory, .init = begin, .fini = end) {
    static struct client before, after;
    fake_log_fill(&fake, 1000);
    start_hub(2);
    watch_all(&before, 1);
    wait_until(before.events == 1000);
    fake_log_trim(&fake, 500);
    watch_all(&after, 3);
    expect_error(&after, ERROR_OUT_OF_RANGE, "REVISION_TRIMMED", "oldest_revision", "500");
    drop(&after);
    leave(&before);
}

Test(watch_hub, one_that_is_overtaken_by_the_trim_is_told_the_oldest, .init = begin, .fini = end) {
    static struct client slow = {.holds = true};
    fake_log_fill(&fake, 1000);
    start_hub(2);
    watch_all(&slow, 1);
    wait_until(slow.sending);
    fake_log_trim(&fake, 900);
    pthread_mutex_lock(&lock);
    slow.sending = slow.holds = false;
    pthread_mutex_unlock(&lock);
    watch_taken(slow.watch);
    expect_error(&slow, ERROR_OUT_OF_RANGE, "REVISION_TRIMMED", "oldest_revision", "900");
    drop(&slow);
}

Test(watch_hub, a_store_that_fails_ends_the_watch_with_its_error, .init = begin, .fini = end) {
    static struct client client;
    start_hub(2);
    watch_all(&client, 1);
    fake.broken = true;
    commit(1);
    expect_error(&client, ERROR_INTERNAL, "RECORD_STORE_FAILED", "", "");
    drop(&client);
}

Test(watch_hub, a_drain_ends_every_watch_whatever_it_does, .init = begin, .fini = end) {
    static struct client idle, sending = {.holds = true}, early;
    fake_log_fill(&fake, 300);
    start_hub(2);
    watch_all(&idle, 301);
    watch_all(&sending, 1);
    wait_until(sending.sending);
    struct watch_settings settings = {.next_revision = 1, .bookmark_us = 1000000, .filter = {"", "", NULL, 0}};
    struct watch_client functions = {client_send, client_finish, client_reset, &early};
    early.watch = watch_new(hub, &settings, &functions);
    struct error error = {0};
    error_set(&error, ERROR_UNAVAILABLE, "DRAINING", "the server is shutting down");
    watch_gone(idle.watch, &error);
    watch_gone(sending.watch, &error);
    watch_gone(early.watch, &error);
    watch_begin(early.watch);
    expect_error(&idle, ERROR_UNAVAILABLE, "DRAINING", "", "");
    expect_error(&sending, ERROR_UNAVAILABLE, "DRAINING", "", "");
    expect_error(&early, ERROR_UNAVAILABLE, "DRAINING", "", "");
    drop(&idle);
    drop(&sending);
    drop(&early);
}

/* ---- everything at once, with a transport on a thread of its own ---- */

static atomic_bool transport_stops;

/* Takes what clients were sent, some later than others. */
static void *take_sends(void *argument) {
    struct client *clients = argument;
    unsigned seed = 5;
    while (!atomic_load(&transport_stops)) {
        struct client *client = &clients[(unsigned)rand_r(&seed) % MANY];
        pthread_mutex_lock(&lock);
        bool taken = client->sending && !client->ended;
        client->sending = client->sending && !taken;
        if (taken) {
            client->holds = rand_r(&seed) % 2 == 0;
        }
        pthread_mutex_unlock(&lock);
        if (taken) {
            watch_taken(client->watch);
        }
    }
    return NULL;
}

Test(watch_hub, nobody_misses_a_revision_under_load, .init = begin, .fini = end) {
    enum { COMMITS = 3000 };
    static struct client clients[MANY];
    fake_log_fill(&fake, 500);
    start_hub(3);
    pthread_t transport;
    pthread_create(&transport, NULL, take_sends, clients);
    for (int i = 0; i < MANY; i++) {
        clients[i].holds = i % 3 == 0;
        watch_all(&clients[i], i % 2 == 0 ? 501 : 1 + i);
    }
    for (int i = 0; i < COMMITS / 3; i++) {
        commit(3);
    }
    for (int i = 0; i < MANY; i++) {
        wait_until(clients[i].next == 500 + COMMITS + 1);
    }
    atomic_store(&transport_stops, true);
    pthread_join(transport, NULL);
    for (int i = 0; i < MANY; i++) {
        leave(&clients[i]);
    }
}
