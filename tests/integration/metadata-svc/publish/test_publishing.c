// rooms: metadata_publish test_support
#include "publishing_fixture.h"

#include "common/base/log.h"

enum { EVENTS = 20000 };

static void quiet(void) {
    log_setup("test", LOG_LEVEL_ERROR);
}

TestSuite(publishing, .init = quiet, .timeout = 120);

Test(publishing, fills_the_stream_in_order_and_once) {
    struct publishing p;
    publishing_open(&p, true);
    commit_to(&p, EVENTS);
    await_published(&p, EVENTS);
    check_stream(&p, 1, EVENTS);
    cr_assert_eq(event_publisher_published_total(p.publisher), EVENTS);
    cr_assert_eq(event_publisher_rewinds(p.publisher), 0);
    publishing_close(&p);
}

Test(publishing, events_are_cloud_events) {
    struct publishing p;
    publishing_open(&p, true);
    commit_to(&p, 3);
    await_published(&p, 3);
    natsMsg *message = message_at(&p, 2);
    cr_assert_not_null(message);
    cr_assert_str_eq(natsMsg_GetSubject(message), "waybill.changes.0.bucket-2.staged");
    cr_assert_str_eq(header_of(message, "ce-specversion"), "1.0");
    cr_assert_str_eq(header_of(message, "ce-id"), "0-2");
    cr_assert_str_eq(header_of(message, "ce-source"), "/waybill/0");
    cr_assert_str_eq(header_of(message, "ce-type"), "waybill.v1.staged");
    cr_assert_str_eq(header_of(message, "ce-subject"), "bucket-2/dir/k%C3%A4y%202");
    cr_assert_str_eq(header_of(message, "ce-time"), "2023-11-14T22:13:22.000005Z");
    cr_assert_str_eq(header_of(message, "ce-dataschema"), "urn:waybill:proto:waybill.v1.ChangeEvent");
    cr_assert_str_eq(header_of(message, "content-type"), "application/protobuf");
    natsMsg_Destroy(message);
    publishing_close(&p);
}

Test(publishing, waits_for_a_server_that_comes_later) {
    struct publishing p;
    publishing_open(&p, false);
    commit_to(&p, 1000);
    cr_assert_not(event_publisher_connected(p.publisher));
    cr_assert_eq(event_publisher_state(p.publisher), PUBLISHER_WAITING);
    nats_server_start(&p.server);
    await_published(&p, 1000);
    check_stream(&p, 1, 1000);
    publishing_close(&p);
}

Test(publishing, survives_kills_of_the_server_while_publishing) {
    struct publishing p;
    publishing_open(&p, true);
    for (int64_t revision = 2000; revision <= EVENTS; revision += 2000) {
        commit_to(&p, revision);
        await_published(&p, revision - 1999 + revision % 7 * 100); /* in the middle */
        nats_server_kill(&p.server);
        nats_server_start(&p.server);
    }
    await_published(&p, EVENTS);
    check_stream(&p, 1, EVENTS);
    publishing_close(&p);
}

Test(publishing, fills_a_wiped_stream_again) {
    struct publishing p;
    publishing_open(&p, true);
    commit_to(&p, EVENTS);
    await_published(&p, EVENTS);
    nats_server_kill(&p.server);
    nats_server_wipe(&p.server);
    atomic_store(&p.log.oldest, 5001); /* the log was trimmed */
    commit_to(&p, EVENTS + 100);
    nats_server_start(&p.server);
    /* What it says of the time before the wipe must not be taken for the time after. */
    await_published(&p, EVENTS + 100);
    check_stream(&p, 5001, EVENTS + 100);
    publishing_close(&p);
}

Test(publishing, publishes_again_what_the_servers_disk_forgot) {
    struct publishing p;
    publishing_open(&p, true);
    commit_to(&p, 700);
    await_published(&p, 700);
    nats_server_stop(&p.server);
    nats_server_keep_data(&p.server);
    nats_server_start(&p.server);
    commit_to(&p, 3000);
    await_published(&p, 3000);
    nats_server_kill(&p.server);
    nats_server_restore_data(&p.server);
    commit_to(&p, 3001);
    nats_server_start(&p.server);
    await_published(&p, 3001);
    check_stream(&p, 1, 3001);
    cr_assert_geq(event_publisher_rewinds(p.publisher), 1);
    publishing_close(&p);
}

Test(publishing, goes_on_after_a_restart_of_its_own) {
    struct publishing p;
    publishing_open(&p, true);
    commit_to(&p, 500);
    await_published(&p, 500);
    event_publisher_stop(p.publisher);
    atomic_store(&p.log.newest, 900);
    start_publisher(&p);
    await_published(&p, 900);
    check_stream(&p, 1, 900);
    publishing_close(&p);
}

Test(publishing, makes_a_stream_that_somebody_deleted_anew) {
    struct publishing p;
    publishing_open(&p, true);
    commit_to(&p, 500);
    await_published(&p, 500);
    look(&p);
    cr_assert_eq(js_DeleteStream(p.jetstream, "WAYBILL_CHANGES_0", NULL, NULL), NATS_OK);
    commit_to(&p, 501);
    await_published(&p, 501);
    check_stream(&p, 1, 501);
    publishing_close(&p);
}

/* Foreign messages stay where they are; between them our revisions are in order, each once. How many there are. */
static int64_t check_between_others(struct publishing *p, int64_t newest) {
    int64_t next = 1;
    int64_t others = 0;
    uint64_t last = last_sequence(p);
    for (uint64_t sequence = 1; sequence <= last; sequence++) {
        natsMsg *message = message_at(p, sequence);
        cr_assert_not_null(message);
        bool ours = header_of(message, "Nats-Msg-Id")[0] != '\0';
        natsMsg_Destroy(message);
        if (ours) {
            check_event_at(p, sequence, next++);
        } else {
            others++;
        }
    }
    cr_assert_eq(next, newest + 1);
    return others;
}

static void intrude(struct publishing *p, int count) {
    look(p);
    for (int i = 0; i < count; i++) {
        cr_assert_eq(js_PublishAsync(p->jetstream, "waybill.changes.0.bucket-0.staged", "x", 1, NULL), NATS_OK);
    }
    cr_assert_eq(js_PublishAsyncComplete(p->jetstream, NULL), NATS_OK);
}

Test(publishing, another_writer_makes_no_gap) {
    struct publishing p;
    publishing_open(&p, true);
    look(&p);
    commit_to(&p, 10);
    await_published(&p, 10);
    for (int i = 0; i < 50; i++) {
        commit_to(&p, 10 + 100 * (i + 1));
        cr_assert_eq(js_Publish(NULL, p.jetstream, "waybill.changes.0.intruder", "x", 1, NULL, NULL), NATS_OK);
    }
    await_published(&p, 5010);
    cr_assert_eq(check_between_others(&p, 5010), 50);
    publishing_close(&p);
}

Test(publishing, goes_on_behind_thousands_of_messages_of_others) {
    struct publishing p;
    publishing_open(&p, true);
    commit_to(&p, 10);
    await_published(&p, 10);
    intrude(&p, 5000);
    commit_to(&p, 20);
    await_published(&p, 20);
    event_publisher_stop(p.publisher);
    intrude(&p, 3000);
    atomic_store(&p.log.newest, 30);
    start_publisher(&p);
    await_published(&p, 30);
    intrude(&p, 3000);
    nats_server_stop(&p.server);
    while (event_publisher_connected(p.publisher)) {
        usleep(1000); /* or it would send once more behind what it knows of, in vain */
    }
    nats_server_start(&p.server);
    commit_to(&p, 40);
    await_published(&p, 40);
    cr_assert_eq(check_between_others(&p, 40), 11000);
    cr_assert_eq(event_publisher_rewinds(p.publisher), 0);
    publishing_close(&p);
}

struct intruder {
    pthread_t thread;
    struct publishing *p;
    atomic_bool over;
};

static void *intrude_on(void *argument) {
    struct intruder *intruder = argument;
    while (!atomic_load(&intruder->over)) {
        natsConnection_PublishString(intruder->p->nats, "waybill.changes.0.bucket-0.staged", "x");
        usleep(1000);
    }
    return NULL;
}

Test(publishing, goes_on_while_others_write_all_the_time) {
    struct publishing p;
    struct intruder intruder = {.p = &p};
    publishing_open(&p, true);
    commit_to(&p, 10);
    await_published(&p, 10);
    look(&p);
    cr_assert_eq(pthread_create(&intruder.thread, NULL, intrude_on, &intruder), 0);
    for (int64_t revision = 20; revision <= 200; revision += 10) {
        commit_to(&p, revision);
        await_published(&p, revision);
    }
    event_publisher_stop(p.publisher);
    atomic_store(&p.log.newest, 1000);
    start_publisher(&p);
    await_published(&p, 1000);
    atomic_store(&intruder.over, true);
    pthread_join(intruder.thread, NULL);
    cr_assert_gt(check_between_others(&p, 1000), 100);
    publishing_close(&p);
}

Test(publishing, does_not_go_on_behind_a_message_by_our_name_among_those_of_others) {
    struct publishing p;
    publishing_open(&p, true);
    commit_to(&p, 10);
    await_published(&p, 10);
    event_publisher_stop(p.publisher);
    intrude(&p, 3000);
    jsPubOptions forged;
    jsPubOptions_Init(&forged);
    forged.MsgId = "0-11";
    cr_assert_eq(js_Publish(NULL, p.jetstream, "waybill.changes.0.bucket-0.staged", "x", 1, &forged, NULL), NATS_OK);
    intrude(&p, 3000);
    atomic_store(&p.log.newest, 20);
    start_publisher(&p);
    await_state(&p, PUBLISHER_FENCED);
    cr_assert_eq(last_sequence(&p), 6011);
    publishing_close(&p);
}

Test(publishing, does_not_contradict_a_stream_of_another_history) {
    struct publishing p;
    publishing_open(&p, true);
    commit_to(&p, 500);
    await_published(&p, 500);
    event_publisher_stop(p.publisher);
    p.log.history = "text/html"; /* an old backup that has been written to since */
    atomic_store(&p.log.newest, 600);
    start_publisher(&p);
    await_state(&p, PUBLISHER_FENCED);
    cr_assert_eq(last_sequence(&p), 500);
    look(&p);
    cr_assert_eq(js_DeleteStream(p.jetstream, "WAYBILL_CHANGES_0", NULL, NULL), NATS_OK);
    await_published(&p, 600);
    check_stream(&p, 1, 600);
    publishing_close(&p);
}

Test(publishing, a_server_that_hangs_holds_nobody_up_for_ever) {
    struct publishing p;
    publishing_open(&p, true);
    commit_to(&p, 100);
    await_published(&p, 100);
    nats_server_halt(&p.server);
    commit_to(&p, EVENTS);
    usleep(200000); /* no event tells that a hung server swallowed what it was sent */
    nats_server_resume(&p.server);
    await_published(&p, EVENTS);
    check_stream(&p, 1, EVENTS);
    nats_server_halt(&p.server);
    commit_to(&p, EVENTS + 5000);
    event_publisher_stop(p.publisher);
    p.publisher = NULL;
    nats_server_resume(&p.server);
    publishing_close(&p);
}
