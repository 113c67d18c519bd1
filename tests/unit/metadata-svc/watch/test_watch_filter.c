// rooms: metadata_watch
#include <criterion/criterion.h>

#include "metadata-svc/watch/watch_filter.h"

#define STORED WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STORED
#define DELETED WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_DELETED

static bool matches(struct watch_filter filter, const char *bucket, const char *key, Waybill__V1__ChangeType type) {
    struct change_subject change = {bucket, key, type};
    return watch_filter_matches(&filter, &change);
}

Test(watch_filter, an_empty_one_takes_everything) {
    cr_assert(matches((struct watch_filter){"", "", NULL, 0}, "photos", "cat", STORED));
    cr_assert(matches((struct watch_filter){"", "", NULL, 0}, "photos", "", DELETED));
}

Test(watch_filter, every_part_must_match) {
    static const Waybill__V1__ChangeType types[] = {STORED};
    struct watch_filter filter = {"photos", "cats/", types, 1};
    cr_assert(matches(filter, "photos", "cats/", STORED));
    cr_assert(matches(filter, "photos", "cats/tom", STORED));
    cr_assert_not(matches(filter, "photos", "cats", STORED));
    cr_assert_not(matches(filter, "photo", "cats/tom", STORED));
    cr_assert_not(matches(filter, "photos2", "cats/tom", STORED));
    cr_assert_not(matches(filter, "photos", "cats/tom", DELETED));
}

Test(watch_filter, a_change_of_a_bucket_has_its_name_and_no_key) {
    Waybill__V1__Bucket bucket = WAYBILL__V1__BUCKET__INIT;
    Waybill__V1__ChangeEvent event = WAYBILL__V1__CHANGE_EVENT__INIT;
    bucket.name = "photos";
    event.bucket = &bucket;
    struct change_subject change = change_subject_of(&event);
    cr_assert(watch_filter_matches(&(struct watch_filter){"photos", "", NULL, 0}, &change));
    cr_assert_not(watch_filter_matches(&(struct watch_filter){"photos", "c", NULL, 0}, &change));
    Waybill__V1__ChangeEvent neither = WAYBILL__V1__CHANGE_EVENT__INIT;
    change = change_subject_of(&neither);
    cr_assert_not(watch_filter_matches(&(struct watch_filter){"photos", "", NULL, 0}, &change));
}
