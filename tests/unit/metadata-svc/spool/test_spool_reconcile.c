// rooms: metadata_spool test_support
#include "metadata-svc/spool/spool_reconcile.h"

#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_store.h"
#include "tests/unit/metadata-svc/spool/spool_fixture.h"

struct place {
    struct spool_fixture spool;
    char root[64];
    struct kv *kv;
};

static struct place start(void) {
    struct place place = {.spool = fixture_start(1, 8), .root = "/tmp/waybill-reconcile-XXXXXX"};
    struct leveldb_kv_options options = {.cache_bytes = MIB, .write_buffer_bytes = MIB};
    struct error error = {0};
    cr_assert_not_null(mkdtemp(place.root));
    place.kv = leveldb_kv_open(place.root, &options, &error);
    cr_assert_not_null(place.kv, "%s", error.message);
    return place;
}

static void end(struct place *place) {
    char command[96];
    place->kv->ops->close(place->kv);
    fixture_end(&place->spool);
    snprintf(command, sizeof command, "rm -r %s", place->root);
    cr_assert_eq(system(command), 0);
}

static void want(struct place *place, uint64_t number, int where, uint64_t size) {
    struct uuid id = fixture_id(number);
    uint8_t *data = malloc(size + 1);
    fixture_fill(number, 0, data, size);
    struct payload_entry entry = {
        .bucket = "pictures", .key = "k", .version = 1, .size = (int64_t)size, .crc32c = crc32c(bytes_of(data, size))};
    entry.place = where;
    struct arena arena;
    struct kv_batch batch = {0};
    struct error error = {0};
    arena_init(&arena);
    kv_batch_put(&batch, layout_payload_key(&arena, &id), record_store_payload_value(&entry, &arena));
    cr_assert(place->kv->ops->write(place->kv, &batch, true, &error), "%s", error.message);
    kv_batch_free(&batch);
    arena_free(&arena);
    free(data);
}

Test(spool_reconcile, keeps_what_a_record_wants_and_releases_the_rest) {
    struct place place = start();
    struct error error = {0};
    for (uint64_t i = 1; i <= 5; i++) {
        fixture_put(&place.spool, i, 1000 * i);
    }
    want(&place, 1, PAYLOAD_SPOOLED, 1000);
    want(&place, 3, PAYLOAD_AWAITED, 3000); /* finished, but the commit never came */
    want(&place, 4, PAYLOAD_SPOOLED, 3999); /* other bytes than these */
    want(&place, 5, PAYLOAD_SPOOLED, 5000);
    want(&place, 6, PAYLOAD_SPOOLED, 6000); /* lost: that is logged, and no reason not to start */
    cr_assert(spool_reconcile(place.spool.spool, place.kv, &error), "%s", error.message);
    fixture_check(&place.spool, 1, 1000);
    fixture_check(&place.spool, 5, 5000);
    cr_assert_eq(fixture_stats(&place.spool).live_payloads, 2);
    end(&place);
}

Test(spool_reconcile, keeps_a_damaged_payload_that_is_wanted) {
    struct place place = start();
    struct error error = {0};
    fixture_put(&place.spool, 1, 100000); /* two segments */
    fixture_put(&place.spool, 2, 100);
    want(&place, 1, PAYLOAD_SPOOLED, 100000);
    want(&place, 2, PAYLOAD_SPOOLED, 100);
    fixture_close(&place.spool);
    fixture_flip(&place.spool, 1, 4096 + 128 + 20, 1); /* the header of its first DATA frame */
    fixture_open(&place.spool);
    cr_assert(spool_reconcile(place.spool.spool, place.kv, &error), "%s", error.message);
    cr_assert_not(fixture_try_read(place.spool.spool, 1, 0, 100, &error));
    cr_assert_str_eq(error.reason, "PAYLOAD_CORRUPT");
    cr_assert(fixture_try_read(place.spool.spool, 1, 60000, 40000, &error), "%s", error.message);
    fixture_check(&place.spool, 2, 100);
    end(&place);
}

/* ---- uploads that broke off, or were finished and not committed ---- */

static struct uuid request_of(uint64_t number) {
    struct uuid id = {{0x70}};
    put_be64(id.raw + 8, number);
    return id;
}

static void upload_part(struct place *place, uint64_t number, bool announced, uint64_t size, bool finishes) {
    struct error error = {0};
    struct upload_start start = {.upload_id = announced ? fixture_id(number) : request_of(number),
                                 .payload_id = fixture_id(number),
                                 .bucket = "pictures",
                                 .key = "k"};
    struct payload_upload *upload = payload_upload_open(place->spool.spool, &start, &error);
    cr_assert_not_null(upload, "%s", error.message);
    cr_assert(fixture_append(upload, number, size, 30000, &error), "%s", error.message);
    if (finishes) {
        cr_assert(payload_upload_finish(upload, &error), "%s", error.message);
    } else {
        payload_upload_suspend(upload);
    }
}

static void remember_request(struct place *place, uint64_t number) {
    struct uuid id = request_of(number);
    struct request_entry entry = {.revision = 1};
    struct arena arena;
    struct kv_batch batch = {0};
    struct error error = {0};
    arena_init(&arena);
    kv_batch_put(&batch, layout_request_key(&arena, &id), record_store_request_value(&entry, &arena));
    cr_assert(place->kv->ops->write(place->kv, &batch, true, &error), "%s", error.message);
    kv_batch_free(&batch);
    arena_free(&arena);
}

static bool goes_on(struct place *place, const struct uuid *upload_id, uint64_t at) {
    struct upload_info info;
    return payload_spool_find_upload(place->spool.spool, upload_id, &info) && !info.in_progress &&
           info.persisted_bytes == at;
}

Test(spool_reconcile, uploads_go_on_as_long_as_their_payload_is_wanted) {
    for (int finishes = 0; finishes < 2; finishes++) {
        struct place place = start();
        struct error error = {0};
        for (uint64_t i = 1; i <= 4; i++) {
            upload_part(&place, i, i <= 2, 50000, finishes != 0);
        }
        want(&place, 1, PAYLOAD_AWAITED, 0);
        remember_request(&place, 4); /* it took effect, and what is here is of another try */
        fixture_lose_power(&place.spool, FAULTY_DROP);
        cr_assert(spool_reconcile(place.spool.spool, place.kv, &error), "%s", error.message);
        for (uint64_t i = 1; i <= 4; i++) {
            struct uuid upload_id = i <= 2 ? fixture_id(i) : request_of(i);
            bool wanted = i == 1 || i == 3;
            cr_assert_eq(goes_on(&place, &upload_id, 50000), wanted, "upload %d, finished %d", (int)i, finishes);
            cr_assert_not(fixture_has(&place.spool, i));
        }
        cr_assert_eq(fixture_stats(&place.spool).live_bytes, 100000);
        end(&place);
    }
}
