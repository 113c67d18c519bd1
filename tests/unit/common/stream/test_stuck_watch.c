// rooms: waybill_stream
#include <criterion/criterion.h>

#include "common/stream/stuck_watch.h"

static enum stuck_verdict look_often(struct stuck_watch *watch, unsigned times, uint64_t delivered, uint64_t waiting,
                                     bool room) {
    enum stuck_verdict verdict = STUCK_NOT;
    for (unsigned i = 0; i < times; i++) {
        verdict = stuck_watch_look(watch, delivered, waiting, room);
    }
    return verdict;
}

Test(stuck_watch, one_that_delivers_nothing_of_what_it_has_is_renewed_and_then_remade) {
    struct stuck_watch watch = {0};
    stuck_watch_look(&watch, 7, 1, true);
    cr_assert_eq(look_often(&watch, STUCK_RENEW_LOOKS - 1, 7, 1, true), STUCK_NOT);
    cr_assert_eq(stuck_watch_look(&watch, 7, 1, true), STUCK_RENEW);
    cr_assert_eq(look_often(&watch, STUCK_REMAKE_LOOKS - STUCK_RENEW_LOOKS - 1, 7, 1, true), STUCK_NOT);
    cr_assert_eq(stuck_watch_look(&watch, 7, 1, true), STUCK_REMAKE);
    cr_assert_eq(look_often(&watch, STUCK_RENEW_LOOKS, 7, 1, true), STUCK_RENEW, "from the start again");
}

Test(stuck_watch, one_that_delivers_to_anybody_is_not_stuck) {
    struct stuck_watch watch = {0};
    for (uint64_t delivered = 1; delivered < 100; delivered++) {
        cr_assert_eq(stuck_watch_look(&watch, delivered, 1, true), STUCK_NOT);
    }
}

Test(stuck_watch, one_without_messages_or_without_room_is_not_stuck) {
    struct stuck_watch watch = {0};
    cr_assert_eq(look_often(&watch, 100, 7, 0, true), STUCK_NOT);
    cr_assert_eq(look_often(&watch, 100, 7, 5, false), STUCK_NOT);
}
