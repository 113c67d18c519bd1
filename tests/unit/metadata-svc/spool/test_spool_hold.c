// rooms: metadata_spool test_support
#include "tests/unit/metadata-svc/spool/spool_fixture.h"

TestSuite(spool_hold);

enum { SIZE = 20 * KIB };

Test(spool_hold, released_payloads_can_be_read_until_it_ends) {
    struct spool_fixture fixture = fixture_start(1, 8);
    fixture_put(&fixture, 1, SIZE);
    fixture_put(&fixture, 2, SIZE);
    payload_spool_hold(fixture.spool);
    payload_spool_hold(fixture.spool);
    fixture_release(&fixture, 1);
    fixture_release(&fixture, 1);
    fixture_check(&fixture, 1, SIZE);
    payload_spool_let_go(fixture.spool);
    fixture_check(&fixture, 1, SIZE);
    payload_spool_let_go(fixture.spool);
    cr_assert_not(fixture_has(&fixture, 1));
    fixture_check(&fixture, 2, SIZE);
    fixture_release(&fixture, 2);
    cr_assert_not(fixture_has(&fixture, 2));
    cr_assert_eq(fixture_stats(&fixture).live_payloads, 0);
    fixture_end(&fixture);
}

Test(spool_hold, a_full_spool_does_not_wait_for_its_end) {
    struct spool_fixture fixture = fixture_start(1, 4);
    struct error error = {0};
    uint64_t count = 0;
    while (fixture_try_put(&fixture, count + 1, SIZE, SIZE, &error)) {
        count++;
    }
    cr_assert_str_eq(error.reason, "SPOOL_FULL");
    payload_spool_hold(fixture.spool);
    for (uint64_t i = 1; i <= count; i++) {
        fixture_release(&fixture, i);
        fixture_check(&fixture, i, SIZE);
    }
    fixture_put(&fixture, 100, SIZE);
    cr_assert_not(fixture_has(&fixture, 1));
    fixture_check(&fixture, 100, SIZE);
    /* The hold goes on for what is released from now on. */
    fixture_release(&fixture, 100);
    fixture_check(&fixture, 100, SIZE);
    payload_spool_let_go(fixture.spool);
    cr_assert_not(fixture_has(&fixture, 100));
    fixture_end(&fixture);
}

Test(spool_hold, a_full_table_does_not_wait_for_its_end) {
    struct spool_fixture fixture = fixture_start(1, 8);
    fixture_close(&fixture);
    fixture.options.max_payloads = 2;
    fixture_open(&fixture);
    fixture_put(&fixture, 1, 10);
    fixture_put(&fixture, 2, 10);
    payload_spool_hold(fixture.spool);
    fixture_release(&fixture, 1);
    fixture_put(&fixture, 3, 10);
    cr_assert_not(fixture_has(&fixture, 1));
    payload_spool_let_go(fixture.spool);
    fixture_end(&fixture);
}

Test(spool_hold, a_released_id_can_be_uploaded_again) {
    struct spool_fixture fixture = fixture_start(1, 8);
    fixture_put(&fixture, 1, 10);
    payload_spool_hold(fixture.spool);
    fixture_release(&fixture, 1);
    fixture_put(&fixture, 1, 5000);
    fixture_check(&fixture, 1, 5000);
    payload_spool_let_go(fixture.spool);
    fixture_check(&fixture, 1, 5000);
    fixture_end(&fixture);
}

Test(spool_hold, closing_with_held_releases_is_clean) {
    struct spool_fixture fixture = fixture_start(1, 8);
    fixture_put(&fixture, 1, SIZE);
    payload_spool_hold(fixture.spool);
    fixture_release(&fixture, 1);
    payload_spool_let_go(fixture.spool);
    fixture_put(&fixture, 2, SIZE);
    payload_spool_hold(fixture.spool);
    fixture_release(&fixture, 2);
    fixture_end(&fixture);
}
