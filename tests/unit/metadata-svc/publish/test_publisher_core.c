// rooms: metadata_publish
#include "publisher_fixture.h"

Test(publisher_core, publishes_in_order_and_once) {
    struct fixture f;
    fixture_open(&f, 1000, 16);
    fixture_publish_to(&f, 1000);
    fixture_check_stream(&f, 1, 1000);
    cr_assert_eq(f.stream->publishes, 1000);
    cr_assert_eq(f.stream->syncs, 1);
    cr_assert_eq(publisher_core_published_total(f.core), 1000);
    cr_assert_eq(publisher_core_rewinds_total(f.core), 0);
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_PUBLISHING);
    fixture_close(&f);
}

Test(publisher_core, an_empty_log_is_no_trouble) {
    struct fixture f;
    fixture_open(&f, 0, 16);
    cr_assert_not(publisher_core_step(f.core));
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_PUBLISHING);
    f.log.oldest = 1;
    f.log.newest = 3;
    fixture_publish_to(&f, 3);
    fixture_check_stream(&f, 1, 3);
    fixture_close(&f);
}

Test(publisher_core, never_has_more_on_its_way_than_the_window) {
    struct fixture f;
    fixture_open(&f, 100, 16);
    f.stream->hold_acks = true;
    cr_assert(publisher_core_step(f.core));
    fixture_steps(&f, 5);
    cr_assert_eq(f.stream->publishes, 16);
    cr_assert_eq(publisher_core_in_flight(f.core), 16);
    cr_assert_eq(publisher_core_published(f.core), 0);
    f.stream->hold_acks = false;
    fixture_publish_to(&f, 100);
    fixture_steps(&f, 1);
    cr_assert_eq(publisher_core_in_flight(f.core), 0);
    fixture_close(&f);
}

Test(publisher_core, bounds_the_bytes_on_their_way_but_lets_one_big_event_pass) {
    struct fixture f;
    fixture_open(&f, 64, 1024);
    publisher_core_free(f.core);
    struct publisher_core_options options = {
        .window = 1024, .window_bytes = 10000, .ack_timeout_us = 1000000, .clock = &f.clock};
    struct change_reader reader = {fake_bounds, fake_read, &f.log};
    struct event_sink sink = {fake_connected, fake_sync, fake_publish, fake_collect, f.stream};
    f.core = publisher_core_new(reader, sink, &options);
    f.log.event_bytes = 3000;
    f.stream->hold_acks = true;
    fixture_steps(&f, 3);
    cr_assert_eq(f.stream->publishes, 3);
    f.stream->hold_acks = false;
    fixture_publish_to(&f, 64);
    f.log.event_bytes = 50000;
    f.log.newest = 70;
    f.stream->hold_acks = true;
    fixture_steps(&f, 3);
    cr_assert_eq(f.stream->publishes, 65);
    f.stream->hold_acks = false;
    fixture_publish_to(&f, 70);
    fixture_close(&f);
}

Test(publisher_core, acknowledgements_may_come_in_any_order) {
    struct fixture f;
    fixture_open(&f, 500, 64);
    f.stream->reverse_acks = true;
    fixture_publish_to(&f, 500);
    cr_assert_eq(f.stream->publishes, 500);
    cr_assert_eq(publisher_core_rewinds_total(f.core), 0);
    fixture_close(&f);
}

Test(publisher_core, an_acknowledgement_tells_of_all_before_it) {
    struct fixture f;
    fixture_open(&f, 3, 16);
    f.stream->lose_acks = 1;
    fixture_steps(&f, 3);
    cr_assert_eq(publisher_core_published(f.core), 3);
    cr_assert_eq(f.stream->syncs, 1);
    fixture_close(&f);
}

Test(publisher_core, says_published_only_what_is_acknowledged) {
    struct fixture f;
    fixture_open(&f, 3, 16);
    f.stream->lose_acks = 2; /* of the first event and of the last one: all that was asked for */
    fixture_steps(&f, 3);
    cr_assert_eq(publisher_core_published(f.core), 0);
    f.now_us += 1000001;
    fixture_publish_to(&f, 3);
    fixture_check_stream(&f, 1, 3);
    fixture_close(&f);
}

Test(publisher_core, goes_on_behind_what_the_stream_has_after_a_restart) {
    struct fixture f;
    fixture_open(&f, 50, 16);
    fixture_publish_to(&f, 50);
    f.log.newest = 80;
    fixture_restart(&f, 16);
    fixture_publish_to(&f, 80);
    fixture_check_stream(&f, 1, 80);
    cr_assert_eq(f.stream->publishes, 80);
    cr_assert_eq(publisher_core_rewinds_total(f.core), 0);
    fixture_close(&f);
}

Test(publisher_core, publishes_again_what_was_lost_on_its_way) {
    struct fixture f;
    fixture_open(&f, 200, 16);
    fixture_publish_to(&f, 100);
    f.stream->lose_publishes = 5;
    fixture_publish_to(&f, 200);
    fixture_check_stream(&f, 1, 200);
    cr_assert_geq(publisher_core_rewinds_total(f.core), 1);
    fixture_close(&f);
}

Test(publisher_core, asks_the_stream_when_no_answer_comes) {
    struct fixture f;
    fixture_open(&f, 10, 16);
    f.stream->lose_acks = 10;
    fixture_steps(&f, 3);
    cr_assert_eq(f.stream->syncs, 1);
    f.now_us += 1000001;
    fixture_steps(&f, 1);
    cr_assert_eq(f.stream->syncs, 2);
    cr_assert_eq(publisher_core_published(f.core), 10);
    cr_assert_eq(f.stream->publishes, 10, "what the stream has is not published again");
    cr_assert_eq(publisher_core_rewinds_total(f.core), 0);
    fixture_close(&f);
}

Test(publisher_core, rewinds_when_the_stream_lost_its_tail) {
    struct fixture f;
    fixture_open(&f, 300, 32);
    fixture_publish_to(&f, 300);
    fixture_lose_tail(&f, 120);
    f.log.newest = 310;
    publisher_core_resync(f.core);
    publisher_core_step(f.core);
    cr_assert_lt(publisher_core_published(f.core), 300, "the log must not be trimmed above what is left");
    fixture_publish_to(&f, 310);
    fixture_check_stream(&f, 1, 310);
    cr_assert_eq(publisher_core_rewinds_total(f.core), 1);
    fixture_close(&f);
}

Test(publisher_core, finds_a_lost_tail_by_the_fence_alone) {
    struct fixture f;
    fixture_open(&f, 300, 32);
    fixture_publish_to(&f, 300);
    fixture_lose_tail(&f, 120);
    f.log.newest = 301; /* nobody told of a reconnect */
    publisher_core_step(f.core);
    fixture_publish_to(&f, 301);
    fixture_check_stream(&f, 1, 301);
    fixture_close(&f);
}

Test(publisher_core, fills_a_wiped_stream_from_the_logs_oldest) {
    struct fixture f;
    fixture_open(&f, 300, 32);
    fixture_publish_to(&f, 300);
    f.log.oldest = 151; /* trimmed meanwhile */
    fixture_lose_tail(&f, 0);
    publisher_core_resync(f.core);
    publisher_core_step(f.core);
    fixture_publish_to(&f, 300);
    fixture_check_stream(&f, 151, 300);
    cr_assert_eq(f.stream->last, 150);
    fixture_close(&f);
}

/* The place of one event taken by another writer makes the next event's expectation true: the
 * sequence alone would let a gap in. */
Test(publisher_core, leaves_no_gap_behind_a_message_of_somebody_else) {
    struct fixture f;
    fixture_open(&f, 20, 8);
    fixture_publish_to(&f, 20);
    f.stream->last++; /* holds nothing of ours */
    f.log.newest = 40;
    publisher_core_step(f.core);
    fixture_publish_to(&f, 40);
    cr_assert_eq(f.stream->last, 41);
    cr_assert_eq(f.stream->messages[41].revision, 40);
    cr_assert_eq(f.stream->messages[22].revision, 21);
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_PUBLISHING);
    fixture_close(&f);
}

Test(publisher_core, waits_for_a_search_that_takes_several_steps_without_a_pause) {
    struct fixture f;
    fixture_open(&f, 20, 8);
    fixture_publish_to(&f, 20);
    f.stream->last += 3;
    f.log.newest = 25;
    fixture_restart(&f, 8);
    f.stream->unfinished_syncs = 10;
    for (int i = 0; i < 10; i++) {
        cr_assert_not(publisher_core_step(f.core));
        cr_assert_eq(publisher_core_state(f.core), PUBLISHER_WAITING);
        cr_assert_eq(publisher_core_published(f.core), 0, "nothing is known yet");
    }
    cr_assert_eq(f.stream->publishes, 20, "published before it was known where");
    fixture_steps(&f, 2);
    cr_assert_eq(publisher_core_published(f.core), 25);
    cr_assert_eq(f.stream->publishes, 25);
    cr_assert_eq(publisher_core_rewinds_total(f.core), 0);
    fixture_close(&f);
}

Test(publisher_core, others_that_come_between_ever_again_slow_it_down_but_do_not_stop_it) {
    struct fixture f;
    fixture_open(&f, 40, 8);
    f.stream->intrude = 1000; /* eight an attempt */
    for (int i = 0; i < 100000 && f.stream->intrude > 0; i++) {
        publisher_core_step(f.core);
        f.now_us += 1000;
    }
    cr_assert_lt(f.now_us, 15000000, "the pauses get longer and longer");
    cr_assert_gt(f.now_us, 1500000, "there are no pauses");
    fixture_publish_to(&f, 40);
    int64_t next = 1;
    for (uint64_t at = 1; at <= f.stream->last; at++) {
        int64_t revision = f.stream->messages[at].revision;
        cr_assert(revision == 0 || revision == next);
        next += revision != 0;
    }
    cr_assert_eq(next, 41);
    fixture_close(&f);
}

Test(publisher_core, fences_itself_when_the_stream_is_ahead) {
    struct fixture f;
    fixture_open(&f, 50, 16);
    fixture_publish_to(&f, 50);
    f.log.newest = 40; /* an old backup */
    fixture_restart(&f, 16);
    for (int i = 0; i < 10; i++) {
        cr_assert_not(publisher_core_step(f.core));
        f.now_us += 6000000;
    }
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_FENCED);
    cr_assert_eq(f.stream->publishes, 50);
    fixture_close(&f);
}

Test(publisher_core, fences_itself_when_the_stream_tells_another_history) {
    struct fixture f;
    fixture_open(&f, 50, 16);
    fixture_publish_to(&f, 50);
    f.log.history = "b"; /* an old backup that has been written to since */
    f.log.newest = 60;
    fixture_restart(&f, 16);
    for (int i = 0; i < 10; i++) {
        cr_assert_not(publisher_core_step(f.core));
        f.now_us += 6000000;
    }
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_FENCED);
    cr_assert_eq(f.stream->publishes, 50);
    fixture_close(&f);
}

Test(publisher_core, comes_back_from_fenced_when_the_stream_is_made_anew) {
    struct fixture f;
    fixture_open(&f, 50, 16);
    fixture_publish_to(&f, 50);
    f.log.newest = 40;
    fixture_restart(&f, 16);
    publisher_core_step(f.core);
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_FENCED);
    fixture_lose_tail(&f, 0);
    fixture_publish_to(&f, 40);
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_PUBLISHING);
    fixture_check_stream(&f, 1, 40);
    fixture_close(&f);
}

/* An event that was on its way when the stream was asked arrives after all, and then again. */
Test(publisher_core, looks_at_a_duplicate_before_it_takes_it_for_published) {
    struct fixture f;
    fixture_open(&f, 5, 16);
    f.stream->deduplicate = true;
    f.stream->hold_acks = true;
    publisher_core_step(f.core);
    f.stream->acks[0].duplicate = true;
    f.stream->hold_acks = false;
    fixture_steps(&f, 1);
    cr_assert_eq(f.stream->syncs, 2);
    cr_assert_eq(publisher_core_published(f.core), 5);
    cr_assert_eq(f.stream->publishes, 5);
    fixture_close(&f);
}

Test(publisher_core, fences_itself_when_a_twin_publishes_the_same_revision) {
    struct fixture f;
    fixture_open(&f, 20, 16);
    f.stream->deduplicate = true;
    fixture_publish_to(&f, 20);
    fake_store(f.stream, 21, bytes_of_string("b-21"));
    f.log.newest = 21;
    fixture_steps(&f, 5);
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_FENCED);
    cr_assert_eq(publisher_core_published(f.core), 20);
    fixture_close(&f);
}

/* A purge leaves the sequence and the ids: for a while the stream refuses to take the events
 * again, as duplicates of what is gone. */
Test(publisher_core, does_not_take_a_duplicate_elsewhere_for_published_and_does_not_spin) {
    struct fixture f;
    fixture_open(&f, 20, 16);
    f.stream->deduplicate = true;
    fixture_publish_to(&f, 20);
    for (int i = 1; i <= 20; i++) {
        f.stream->messages[i].revision = 0;
    }
    publisher_core_resync(f.core);
    for (int i = 0; i < 3000; i++) { /* 30 s */
        publisher_core_step(f.core);
        f.now_us += 10000;
    }
    cr_assert_lt(publisher_core_published(f.core), 20);
    cr_assert_lt(f.stream->syncs, 30);
    f.stream->deduplicate = false; /* the window is over */
    fixture_publish_to(&f, 20);
    fixture_check_stream(&f, 1, 20);
    fixture_close(&f);
}

Test(publisher_core, asks_less_and_less_often_while_the_stream_refuses) {
    struct fixture f;
    fixture_open(&f, 20, 4);
    f.stream->refuse = 1000000;
    for (int i = 0; i < 6000; i++) { /* a minute */
        publisher_core_step(f.core);
        f.now_us += 10000;
    }
    cr_assert_lt(f.stream->syncs, 40);
    cr_assert_eq(publisher_core_published(f.core), 0);
    f.stream->refuse = 0;
    fixture_publish_to(&f, 20);
    fixture_check_stream(&f, 1, 20);
    fixture_close(&f);
}

Test(publisher_core, waits_while_there_is_no_connection) {
    struct fixture f;
    fixture_open(&f, 20, 4);
    f.stream->connected = false;
    fixture_steps(&f, 10);
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_WAITING);
    cr_assert_eq(f.stream->syncs, 0);
    f.stream->connected = true;
    fixture_publish_to(&f, 20);
    fixture_check_stream(&f, 1, 20);
    fixture_close(&f);
}

Test(publisher_core, asks_again_when_asking_or_sending_fails) {
    struct fixture f;
    fixture_open(&f, 20, 4);
    f.stream->sync_fails = true;
    fixture_steps(&f, 10);
    cr_assert_leq(f.stream->syncs, 2);
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_WAITING);
    f.stream->sync_fails = false;
    f.stream->break_publishes = 2;
    fixture_publish_to(&f, 20);
    fixture_check_stream(&f, 1, 20);
    fixture_close(&f);
}

Test(publisher_core, publishes_nothing_from_a_log_that_cannot_be_read) {
    struct fixture f;
    fixture_open(&f, 20, 4);
    fixture_publish_to(&f, 20);
    f.log.broken = true;
    f.log.newest = 30;
    fixture_steps(&f, 10);
    cr_assert_eq(f.stream->publishes, 20);
    cr_assert_eq(publisher_core_state(f.core), PUBLISHER_WAITING);
    f.log.broken = false;
    fixture_publish_to(&f, 30);
    fixture_check_stream(&f, 1, 30);
    fixture_close(&f);
}

Test(publisher_core, knows_from_the_start_what_the_log_has_let_go) {
    struct fixture f;
    fixture_open(&f, 20, 4);
    f.log.oldest = 11;
    f.stream->connected = false;
    fixture_restart(&f, 4);
    cr_assert_eq(publisher_core_published(f.core), 10);
    fixture_close(&f);
}

/* Everything at once, from a seed: the end is always the same. */
Test(publisher_core, heals_from_random_trouble) {
    for (unsigned seed = 1; seed <= 200; seed++) {
        unsigned state = seed;
        struct fixture f;
        fixture_open(&f, 0, 1 + seed % 40);
        f.stream->deduplicate = true;
        for (int i = 0; i < 1500; i++) {
            unsigned dice = (unsigned)rand_r(&state) % 100;
            f.log.newest += f.log.newest < 1000 && dice < 60;
            f.log.oldest = f.log.newest > 0;
            f.stream->lose_acks += dice == 61;
            f.stream->lose_publishes += dice == 62;
            f.stream->refuse += dice == 63;
            f.stream->break_publishes += dice == 64;
            f.stream->reverse_acks = dice % 2 == 0;
            f.stream->hold_acks = dice > 90;
            if (dice == 65 && f.stream->last > 0) {
                fixture_lose_tail(&f, (uint64_t)rand_r(&state) % f.stream->last);
                publisher_core_resync(f.core);
            }
            if (dice == 66) {
                fixture_restart(&f, 1 + seed % 40);
            }
            publisher_core_step(f.core);
            f.now_us += 50000;
        }
        f.stream->lose_acks = f.stream->lose_publishes = f.stream->refuse = f.stream->break_publishes = 0;
        f.stream->hold_acks = false;
        publisher_core_resync(f.core);
        publisher_core_step(f.core);
        fixture_publish_to(&f, f.log.newest);
        fixture_check_stream(&f, 1, f.log.newest);
        cr_assert_eq(f.stream->last, (uint64_t)f.log.newest);
        fixture_close(&f);
    }
}
