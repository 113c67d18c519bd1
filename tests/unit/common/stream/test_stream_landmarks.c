// rooms: waybill_stream
#include <criterion/criterion.h>

#include "common/stream/stream_landmarks.h"

static void note(struct stream_landmarks *landmarks, uint64_t era, uint64_t sequence) {
    struct stream_landmark landmark = {.era = era, .sequence = sequence};
    stream_landmarks_note(landmarks, &landmark);
}

Test(stream_landmarks, the_furthest_of_an_era_is_kept) {
    struct stream_landmarks landmarks = {0};
    cr_assert_eq(stream_landmarks_furthest(&landmarks), 0);
    note(&landmarks, 0, 7);
    note(&landmarks, 0, 9);
    note(&landmarks, 0, 3);
    cr_assert_eq(landmarks.count, 1);
    cr_assert_eq(stream_landmarks_furthest(&landmarks), 9);
}

Test(stream_landmarks, a_new_era_does_not_cover_up_an_older_one) {
    struct stream_landmarks landmarks = {0};
    note(&landmarks, 0, 50);
    note(&landmarks, 1, 100);
    note(&landmarks, 2, 120);
    cr_assert_eq(landmarks.count, 3);
    cr_assert_eq(landmarks.of[1].sequence, 100);
}

Test(stream_landmarks, settled_only_the_furthest_is_left) {
    struct stream_landmarks landmarks = {0};
    stream_landmarks_settle(&landmarks);
    cr_assert_eq(landmarks.count, 0);
    note(&landmarks, 0, 50);
    note(&landmarks, 1, 120);
    note(&landmarks, 2, 100);
    stream_landmarks_settle(&landmarks);
    cr_assert_eq(landmarks.count, 1);
    cr_assert_eq(landmarks.of[0].sequence, 120);
}

Test(stream_landmarks, many_eras_are_bounded_and_keep_the_oldest) {
    struct stream_landmarks landmarks = {0};
    for (uint64_t era = 0; era < 20; era++) {
        note(&landmarks, era, 100 + era);
    }
    cr_assert_eq(landmarks.count, LANDMARKS_MAX);
    cr_assert_eq(landmarks.of[0].sequence, 100);
    cr_assert_eq(stream_landmarks_furthest(&landmarks), 119);
}
