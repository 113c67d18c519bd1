// rooms: waybill_client
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/client/waybill_client.h"
#include "fake_services.h"

TestSuite(client, .timeout = 120);

enum { MIB = 1 << 20 };

/* The services with a bucket "photos", a client of them, and an arena for answers. */
struct fixture {
    struct fake_services *fake;
    struct waybill_client *client;
    struct arena arena;
    struct error error;
};

static struct fixture start(void) {
    struct fixture fixture = {.fake = fake_services_start()};
    const char *address = fixture.fake->address;
    struct waybill_client_options options = {.metadata = address, .bulk = address, .object = address};
    fixture.client = waybill_client_new(&options);
    arena_init(&fixture.arena);
    fake_add_bucket(fixture.fake, "photos", -1);
    return fixture;
}

static void stop(struct fixture *fixture) {
    arena_free(&fixture->arena);
    waybill_client_free(fixture->client);
    fake_services_stop(fixture->fake);
}

/* Bytes whose n-th is n. */
static struct bytes counting(size_t size) {
    uint8_t *data = malloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)i;
    }
    return bytes_of(data, size);
}

static void forget(struct bytes bytes) {
    free((void *)(uintptr_t)bytes.data);
}

static const struct waybill_put put_a = {.bucket = "photos", .key = "a"};

static Waybill__V1__Record *put(struct fixture *fixture, const struct waybill_put *what, struct bytes data) {
    Waybill__V1__Record *record = NULL;
    cr_assert(waybill_put_bytes(fixture->client, what, data, NULL, &fixture->arena, &record, &fixture->error), "%s: %s",
              fixture->error.reason, fixture->error.message);
    return record;
}

static void assert_error(const struct fixture *fixture, enum error_code code, const char *reason) {
    cr_assert_eq(fixture->error.code, code, "%s %s", error_code_name(fixture->error.code), fixture->error.message);
    cr_assert_str_eq(fixture->error.reason, reason, "%s", fixture->error.message);
}

/* ---- writing ---- */

Test(client, short_bytes_go_inline) {
    struct fixture fixture = start();
    struct bytes data = counting(WAYBILL_INLINE_MAX_BYTES);
    Waybill__V1__Record *record = put(&fixture, &put_a, data);
    cr_assert_eq(record->size, WAYBILL_INLINE_MAX_BYTES);
    cr_assert_eq(fake_get(fixture.fake, inline_puts), 1);
    cr_assert_eq(fake_get(fixture.fake, uploads), 0);
    forget(data);
    stop(&fixture);
}

Test(client, longer_bytes_are_streamed) {
    struct fixture fixture = start();
    struct bytes data = counting(3 * MIB + 17);
    Waybill__V1__Record *record = put(&fixture, &put_a, data);
    cr_assert_eq(record->crc32c, crc32c(data));
    cr_assert_eq(fake_get(fixture.fake, inline_puts), 0);
    cr_assert_eq(fake_get(fixture.fake, uploads), 1);
    forget(data);
    stop(&fixture);
}

Test(client, empty_payloads_are_payloads) {
    struct fixture fixture = start();
    Waybill__V1__Record *record = put(&fixture, &put_a, bytes_of("", 0));
    cr_assert_eq(record->state, WAYBILL__V1__RECORD_STATE__RECORD_STATE_STAGED);
    cr_assert(record->has_size_case != 0 && record->size == 0);
    stop(&fixture);
}

Test(client, a_bucket_that_takes_less_inline_gets_a_stream) {
    struct fixture fixture = start();
    fake_add_bucket(fixture.fake, "small", 10);
    struct waybill_put what = {.bucket = "small", .key = "a"};
    put(&fixture, &what, bytes_of("0123456789a", 11));
    cr_assert_eq(fake_get(fixture.fake, uploads), 1);
    stop(&fixture);
}

Test(client, attributes_of_every_kind_arrive) {
    struct fixture fixture = start();
    struct waybill_attribute attributes[] = {
        {.name = "s", .kind = WAYBILL_ATTRIBUTE_STRING, .text = "text"},
        {.name = "i", .kind = WAYBILL_ATTRIBUTE_INT, .number = -5},
        {.name = "d", .kind = WAYBILL_ATTRIBUTE_DOUBLE, .real = 0.25},
        {.name = "b", .kind = WAYBILL_ATTRIBUTE_BOOL, .truth = true},
        {.name = "t", .kind = WAYBILL_ATTRIBUTE_TIME, .time = {1767323045, 7}},
        {.name = "r", .kind = WAYBILL_ATTRIBUTE_BYTES, .raw = {(const uint8_t *)"\0x", 2}},
    };
    struct waybill_put what = {
        .bucket = "photos", .key = "a", .content_type = "x/y", .attributes = attributes, .attribute_count = 6};
    for (int streamed = 0; streamed < 2; streamed++) {
        struct bytes data = counting(streamed ? MIB : 1);
        Waybill__V1__Record *record = put(&fixture, &what, data);
        cr_assert_str_eq(record->content_type, "x/y");
        cr_assert_eq(record->n_attributes, 6);
        cr_assert_str_eq(record->attributes[0]->value->string_value, "text");
        cr_assert_eq(record->attributes[1]->value->int_value, -5);
        cr_assert_eq(record->attributes[2]->value->double_value, 0.25);
        cr_assert(record->attributes[3]->value->bool_value);
        cr_assert_eq(record->attributes[4]->value->timestamp_value->nanos, 7);
        cr_assert_eq(record->attributes[5]->value->bytes_value.len, 2);
        forget(data);
    }
    stop(&fixture);
}

Test(client, a_retried_write_keeps_its_request_id) {
    struct fixture fixture = start();
    fake_fail(fixture.fake, FAKE_METADATA "PutRecord", 2, ERROR_UNAVAILABLE, "DRAINING");
    put(&fixture, &put_a, bytes_of("x", 1));
    cr_assert_eq(fake_get(fixture.fake, request_count), 3);
    struct uuid id;
    cr_assert(uuid_parse_text(fake_request_id(fixture.fake, 0), &id));
    cr_assert_str_eq(fake_request_id(fixture.fake, 0), fake_request_id(fixture.fake, 1));
    cr_assert_str_eq(fake_request_id(fixture.fake, 0), fake_request_id(fixture.fake, 2));
    put(&fixture, &put_a, bytes_of("x", 1));
    cr_assert_str_neq(fake_request_id(fixture.fake, 0), fake_request_id(fixture.fake, 3));
    stop(&fixture);
}

Test(client, a_broken_upload_begins_again_under_its_request_id) {
    struct fixture fixture = start();
    fake_set(fixture.fake, fail_upload_at, 2 * MIB);
    struct bytes data = counting(4 * MIB);
    Waybill__V1__Record *record = put(&fixture, &put_a, data);
    cr_assert_eq(record->version, 1);
    cr_assert_eq(record->crc32c, crc32c(data));
    cr_assert_eq(fake_get(fixture.fake, uploads), 2);
    cr_assert_str_eq(fake_request_id(fixture.fake, 0), fake_request_id(fixture.fake, 1));
    forget(data);
    stop(&fixture);
}

Test(client, a_broken_put_goes_on_where_it_was) {
    struct fixture fixture = start();
    fake_set(fixture.fake, fail_upload_at, 3 * MIB);
    fake_set(fixture.fake, persisted, 2 * MIB + 5); /* the rest was lost with the connection */
    struct bytes data = counting(4 * MIB);
    Waybill__V1__Record *record = put(&fixture, &put_a, data);
    cr_assert_eq(record->crc32c, crc32c(data));
    cr_assert_eq(fake_get(fixture.fake, uploads), 2);
    cr_assert_eq(fake_get(fixture.fake, bytes_uploaded), 3 * MIB + 2 * MIB - 5);
    forget(data);
    stop(&fixture);
}

Test(client, a_put_under_a_known_request_id_asks_first_what_is_there) {
    struct fixture fixture = start();
    fake_set(fixture.fake, persisted, 3 * MIB);
    struct waybill_put what = put_a;
    what.request_id = "6f1c53d8-6a0c-4b2e-9e3a-0d1f3f6f2c11";
    struct bytes data = counting(4 * MIB);
    Waybill__V1__Record *record = put(&fixture, &what, data);
    cr_assert_eq(record->crc32c, crc32c(data));
    cr_assert_eq(fake_get(fixture.fake, bytes_uploaded), MIB);
    forget(data);
    stop(&fixture);
}

Test(client, an_upload_that_brings_nothing_more_is_given_up) {
    struct fixture fixture = start();
    fake_fail(fixture.fake, FAKE_PAYLOAD "UploadPayload", 1000, ERROR_UNAVAILABLE, "DRAINING");
    struct bytes data = counting(MIB);
    Waybill__V1__Record *record;
    cr_assert_not(waybill_put_bytes(fixture.client, &put_a, data, NULL, &fixture.arena, &record, &fixture.error));
    assert_error(&fixture, ERROR_UNAVAILABLE, "DRAINING");
    unsigned attempts = fake_get(fixture.fake, uploads);
    cr_assert(attempts > 1 && attempts <= WAYBILL_DEFAULT_ATTEMPTS);
    forget(data);
    stop(&fixture);
}

Test(client, the_callers_request_id_is_sent) {
    struct fixture fixture = start();
    struct waybill_put what = put_a;
    what.request_id = "6f1c53d8-6a0c-4b2e-9e3a-0d1f3f6f2c11";
    put(&fixture, &what, bytes_of("x", 1));
    cr_assert_str_eq(fake_request_id(fixture.fake, 0), what.request_id);
    stop(&fixture);
}

Test(client, attempts_end) {
    struct fixture fixture = start();
    fake_fail(fixture.fake, FAKE_METADATA "PutRecord", 100, ERROR_UNAVAILABLE, "DRAINING");
    Waybill__V1__Record *record;
    cr_assert_not(
        waybill_put_bytes(fixture.client, &put_a, bytes_of("x", 1), NULL, &fixture.arena, &record, &fixture.error));
    assert_error(&fixture, ERROR_UNAVAILABLE, "DRAINING");
    cr_assert_eq(fake_get(fixture.fake, attempts), WAYBILL_DEFAULT_ATTEMPTS);
    stop(&fixture);
}

Test(client, a_version_mismatch_tells_the_current_version) {
    struct fixture fixture = start();
    put(&fixture, &put_a, bytes_of("x", 1));
    struct waybill_put what = put_a;
    what.has_if_version_match = true;
    Waybill__V1__Record *record;
    cr_assert_not(
        waybill_put_bytes(fixture.client, &what, bytes_of("y", 1), NULL, &fixture.arena, &record, &fixture.error));
    assert_error(&fixture, ERROR_ABORTED, "VERSION_MISMATCH");
    cr_assert_str_eq(fixture.error.detail_key, "current_version");
    cr_assert_str_eq(fixture.error.detail_value, "1");
    stop(&fixture);
}

static void write_whole(int fd, struct bytes data) {
    while (data.size > 0) {
        ssize_t wrote = write(fd, data.data, data.size);
        cr_assert_gt(wrote, 0);
        data = bytes_of(data.data + wrote, data.size - (size_t)wrote);
    }
}

/* An unlinked temporary file that stands at its start. */
static int file_of(struct bytes data) {
    char path[] = "/tmp/waybill-test-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    unlink(path);
    write_whole(fd, data);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

struct seen_progress {
    int64_t done, total;
    bool backwards;
};

static void see_progress(void *self, int64_t done, int64_t total) {
    struct seen_progress *seen = self;
    seen->backwards |= done < seen->done;
    seen->done = done;
    seen->total = total;
}

Test(client, a_file_is_put_with_progress) {
    struct fixture fixture = start();
    struct bytes data = counting(2 * MIB + 5);
    struct seen_progress seen = {0};
    struct waybill_progress progress = {see_progress, &seen};
    Waybill__V1__Record *record;
    int fd = file_of(data);
    cr_assert(waybill_put_fd(fixture.client, &put_a, fd, &progress, &fixture.arena, &record, &fixture.error), "%s",
              fixture.error.message);
    close(fd);
    cr_assert_eq(record->crc32c, crc32c(data));
    cr_assert_eq(seen.done, (int64_t)data.size);
    cr_assert_eq(seen.total, (int64_t)data.size);
    cr_assert_not(seen.backwards);
    forget(data);
    stop(&fixture);
}

Test(client, a_pipe_is_streamed_to_its_end) {
    struct fixture fixture = start();
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    write_whole(ends[1], bytes_of("piped", 5));
    close(ends[1]);
    Waybill__V1__Record *record;
    cr_assert(waybill_put_fd(fixture.client, &put_a, ends[0], NULL, &fixture.arena, &record, &fixture.error), "%s",
              fixture.error.message);
    close(ends[0]);
    cr_assert_eq(record->size, 5);
    cr_assert_eq(fake_get(fixture.fake, uploads), 1);
    stop(&fixture);
}

Test(client, a_pipe_that_was_read_is_not_tried_again) {
    struct fixture fixture = start();
    fake_set(fixture.fake, fail_upload_at, 1);
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    write_whole(ends[1], bytes_of("piped", 5));
    close(ends[1]);
    Waybill__V1__Record *record;
    cr_assert_not(waybill_put_fd(fixture.client, &put_a, ends[0], NULL, &fixture.arena, &record, &fixture.error));
    assert_error(&fixture, ERROR_UNAVAILABLE, "DRAINING");
    cr_assert_eq(fake_get(fixture.fake, uploads), 1);
    close(ends[0]);
    stop(&fixture);
}

/* A source that says it is longer, or shorter, than it is. */
static int64_t read_zeros(void *self, void *out, size_t size, struct error *error) {
    (void)error;
    int64_t *left = self;
    int64_t take = *left < (int64_t)size ? *left : (int64_t)size;
    memset(out, 0, (size_t)take);
    *left -= take;
    return take;
}

Test(client, a_source_that_changes_its_length_makes_no_record) {
    struct fixture fixture = start();
    for (int more = 0; more < 2; more++) {
        int64_t left = 2 * MIB;
        struct waybill_source source = {.read = read_zeros, .size = more ? MIB : 3 * MIB, .self = &left};
        Waybill__V1__Record *record;
        cr_assert_not(
            waybill_put_source(fixture.client, &put_a, &source, NULL, &fixture.arena, &record, &fixture.error));
        assert_error(&fixture, ERROR_ABORTED, "SOURCE_CHANGED");
    }
    cr_assert_eq(fake_get(fixture.fake, version_count), 0);
    stop(&fixture);
}

Test(client, a_file_that_is_not_there_says_so) {
    struct fixture fixture = start();
    Waybill__V1__Record *record;
    cr_assert_not(
        waybill_put_file(fixture.client, &put_a, "/nonexistent", NULL, &fixture.arena, &record, &fixture.error));
    cr_assert_not_null(strstr(fixture.error.message, "/nonexistent: No such file"));
    cr_assert_not(waybill_put_file(fixture.client, &put_a, "/tmp", NULL, &fixture.arena, &record, &fixture.error));
    assert_error(&fixture, ERROR_INVALID_ARGUMENT, "BAD_PAYLOAD");
    stop(&fixture);
}

static void announce_and_upload(struct fixture *fixture, struct bytes data, Waybill__V1__Record **record) {
    struct waybill_announcement announcement = {.size = (int64_t)data.size};
    Waybill__V1__PutRecordResponse *response;
    cr_assert(waybill_announce(fixture->client, &put_a, &announcement, &fixture->arena, &response, &fixture->error));
    cr_assert_eq(response->record->state, WAYBILL__V1__RECORD_STATE__RECORD_STATE_AWAITING_PAYLOAD);
    int fd = file_of(data);
    cr_assert(
        waybill_upload_fd(fixture->client, response->upload_id, fd, NULL, &fixture->arena, record, &fixture->error),
        "%s", fixture->error.message);
    close(fd);
    cr_assert_eq((*record)->crc32c, crc32c(data));
}

Test(client, an_announced_payload_is_uploaded) {
    struct fixture fixture = start();
    fake_set(fixture.fake, persisted, -1); /* the server cannot tell */
    struct bytes data = counting(MIB + 1);
    Waybill__V1__Record *record;
    announce_and_upload(&fixture, data, &record);
    forget(data);
    stop(&fixture);
}

Test(client, an_announced_payload_goes_on_where_it_broke_off) {
    struct fixture fixture = start();
    fake_set(fixture.fake, persisted, MIB + 256);
    struct bytes data = counting(3 * MIB + 100);
    Waybill__V1__Record *record;
    announce_and_upload(&fixture, data, &record);
    cr_assert_eq(fake_get(fixture.fake, bytes_uploaded), 2 * MIB + 100 - 256);
    forget(data);
    stop(&fixture);
}

/* ---- records ---- */

Test(client, what_is_absent_is_not_found) {
    struct fixture fixture = start();
    Waybill__V1__Record *record;
    cr_assert_not(
        waybill_get_record(fixture.client, "photos", "no", 0, false, &fixture.arena, &record, &fixture.error));
    assert_error(&fixture, ERROR_NOT_FOUND, "RECORD_NOT_FOUND");
    stop(&fixture);
}

Test(client, a_delete_answers_with_the_tombstone) {
    struct fixture fixture = start();
    put(&fixture, &put_a, bytes_of("x", 1));
    struct waybill_delete what = {.bucket = "photos", .key = "a"};
    Waybill__V1__Record *record;
    cr_assert(waybill_delete(fixture.client, &what, &fixture.arena, &record, &fixture.error));
    cr_assert_eq(record->version, 2);
    cr_assert_eq(record->state, WAYBILL__V1__RECORD_STATE__RECORD_STATE_DELETED);
    cr_assert_str_neq(fake_request_id(fixture.fake, 1), "");
    stop(&fixture);
}

struct seen_pages {
    unsigned pages, records;
    unsigned most;
};

static bool see_page(void *context, const Waybill__V1__ListRecordsResponse *page) {
    struct seen_pages *seen = context;
    seen->records += (unsigned)page->n_records;
    return ++seen->pages < seen->most;
}

Test(client, lists_go_through_all_pages_until_told_to_stop) {
    struct fixture fixture = start();
    for (int i = 0; i < 7; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        fake_add_object(fixture.fake, "photos", key, bytes_of("x", 1));
    }
    struct waybill_list list = {.bucket = "photos", .paging = {.page_size = 3}};
    struct seen_pages all = {.most = 100};
    cr_assert(waybill_list_records(fixture.client, &list, see_page, &all, &fixture.error));
    cr_assert_eq(all.records, 7);
    struct seen_pages one = {.most = 1};
    cr_assert(waybill_list_records(fixture.client, &list, see_page, &one, &fixture.error));
    cr_assert_eq(one.records, 3);
    stop(&fixture);
}

Test(client, buckets_are_made_with_their_policy) {
    struct fixture fixture = start();
    struct waybill_bucket bucket = WAYBILL_BUCKET_INIT;
    bucket.name = "docs";
    bucket.storage_class = WAYBILL__V1__STORAGE_CLASS__STORAGE_CLASS_COLD;
    bucket.cold_after_ms = 30500;
    bucket.inline_max_bytes = 0;
    Waybill__V1__Bucket *made;
    cr_assert(waybill_create_bucket(fixture.client, &bucket, &fixture.arena, &made, &fixture.error));
    cr_assert(waybill_get_bucket(fixture.client, "docs", &fixture.arena, &made, &fixture.error));
    cr_assert_eq(made->storage->cold_after->seconds, 30);
    cr_assert_eq(made->storage->cold_after->nanos, 500000000);
    cr_assert(made->has_inline_max_bytes_case != 0);
    cr_assert_null(made->delete_retention);
    cr_assert_not(waybill_create_bucket(fixture.client, &bucket, &fixture.arena, &made, &fixture.error));
    assert_error(&fixture, ERROR_ALREADY_EXISTS, "BUCKET_EXISTS");
    stop(&fixture);
}

/* ---- waiting ---- */

Test(client, a_wait_ends_when_the_object_is_stored) {
    struct fixture fixture = start();
    put(&fixture, &put_a, bytes_of("x", 1));
    fake_set(fixture.fake, polls_until_stored, 3);
    Waybill__V1__Record *record;
    cr_assert(waybill_wait(fixture.client, "photos", "a", 1, WAYBILL_WAIT_STORED, 60000, &fixture.arena, &record,
                           &fixture.error));
    cr_assert_eq(record->state, WAYBILL__V1__RECORD_STATE__RECORD_STATE_STORED);
    stop(&fixture);
}

Test(client, a_wait_ends_when_the_payload_fails_or_time_is_up) {
    struct fixture fixture = start();
    put(&fixture, &put_a, bytes_of("x", 1));
    fake_set(fixture.fake, polls_until_stored, 1000000);
    Waybill__V1__Record *record;
    cr_assert_not(waybill_wait(fixture.client, "photos", "a", 1, WAYBILL_WAIT_STORED, 30, &fixture.arena, &record,
                               &fixture.error));
    assert_error(&fixture, ERROR_DEADLINE_EXCEEDED, "WAIT_TIMEOUT");
    fake_set(fixture.fake, polls_until_stored, 1);
    fake_set(fixture.fake, payloads_fail, true);
    cr_assert_not(waybill_wait(fixture.client, "photos", "a", 1, WAYBILL_WAIT_STORED, 0, &fixture.arena, &record,
                               &fixture.error));
    assert_error(&fixture, ERROR_FAILED_PRECONDITION, "PAYLOAD_FAILED");
    stop(&fixture);
}

/* Cancels once the call under test has reached the services. */
static void *cancel_later(void *argument) {
    struct fixture *fixture = argument;
    while (fake_get(fixture->fake, attempts) == 0) {
        sched_yield();
    }
    waybill_client_cancel(fixture->client);
    return NULL;
}

Test(client, cancel_ends_a_wait) {
    struct fixture fixture = start();
    put(&fixture, &put_a, bytes_of("x", 1));
    fake_set(fixture.fake, polls_until_stored, 1000000);
    fake_fail(fixture.fake, FAKE_METADATA "GetRecord", 0, ERROR_OK, "");
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_later, &fixture);
    Waybill__V1__Record *record;
    cr_assert_not(waybill_wait(fixture.client, "photos", "a", 1, WAYBILL_WAIT_STORED, 0, &fixture.arena, &record,
                               &fixture.error));
    assert_error(&fixture, ERROR_CANCELLED, "CLIENT_CANCELLED");
    pthread_join(thread, NULL);
    stop(&fixture);
}

/* ---- reading ---- */

struct collector {
    struct buffer got;
    int64_t first, length;
    unsigned begun;
    bool refuse;
};

static bool collect_begin(void *self, const Waybill__V1__Record *record, int64_t first, int64_t length,
                          struct error *error) {
    (void)record;
    (void)error;
    struct collector *collector = self;
    collector->first = first;
    collector->length = length;
    collector->begun++;
    return true;
}

static bool collect(void *self, struct bytes data, struct error *error) {
    struct collector *collector = self;
    if (collector->refuse) {
        return error_set(error, ERROR_CANCELLED, "ENOUGH", "enough");
    }
    buffer_append_bytes(&collector->got, data);
    return true;
}

static bool read_it(struct fixture *fixture, const struct waybill_read *read, struct collector *collector,
                    struct waybill_read_result *result) {
    struct waybill_sink sink = {collect_begin, collect, collector};
    return waybill_read_object(fixture->client, read, &sink, &fixture->arena, result, &fixture->error);
}

static const struct waybill_read read_a = {.bucket = "photos", .key = "a"};

Test(client, what_was_put_is_read_and_checked) {
    struct fixture fixture = start();
    size_t sizes[] = {0, 1, 65536, 65537, MIB, 2 * MIB + 3};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct bytes data = counting(sizes[i]);
        struct collector collector = {0};
        struct waybill_read_result result;
        put(&fixture, &put_a, data);
        cr_assert(read_it(&fixture, &read_a, &collector, &result), "%s", fixture.error.message);
        cr_assert(bytes_equal(buffer_bytes(&collector.got), data));
        cr_assert(result.checked);
        cr_assert_eq(result.source, WAYBILL__V1__READ_SOURCE__READ_SOURCE_HOT);
        cr_assert_eq(collector.begun, 1);
        buffer_free(&collector.got);
        forget(data);
    }
    stop(&fixture);
}

Test(client, ranges_give_just_their_bytes) {
    static const struct {
        int64_t offset, limit, first, length;
    } ranges[] = {{0, 10, 0, 10},     {5, 0, 5, 995},      {-10, 0, 990, 10},  {-10, 4, 990, 4},
                  {1000, 0, 1000, 0}, {990, 100, 990, 10}, {-5000, 0, 0, 1000}};
    struct fixture fixture = start();
    struct bytes data = counting(1000);
    put(&fixture, &put_a, data);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        struct collector collector = {0};
        struct waybill_read_result result;
        struct waybill_read read = read_a;
        read.offset = ranges[i].offset;
        read.limit = ranges[i].limit;
        cr_assert(read_it(&fixture, &read, &collector, &result), "%zu: %s", i, fixture.error.message);
        cr_assert_eq(collector.first, ranges[i].first);
        cr_assert_eq(collector.length, ranges[i].length);
        cr_assert(
            bytes_equal(buffer_bytes(&collector.got), bytes_of(data.data + ranges[i].first, (size_t)ranges[i].length)));
        buffer_free(&collector.got);
    }
    struct collector collector = {0};
    struct waybill_read_result result;
    struct waybill_read past = read_a;
    past.offset = 1001;
    cr_assert_not(read_it(&fixture, &past, &collector, &result));
    assert_error(&fixture, ERROR_OUT_OF_RANGE, "READ_PAST_END");
    forget(data);
    stop(&fixture);
}

Test(client, a_broken_read_goes_on_at_the_same_version) {
    struct fixture fixture = start();
    struct bytes data = counting(4 * MIB);
    put(&fixture, &put_a, data);
    fake_set(fixture.fake, fail_path, FAKE_OBJECT "ReadObject");
    fake_set(fixture.fake, break_read_at, 2 * MIB);
    struct collector collector = {0};
    struct waybill_read_result result;
    cr_assert(read_it(&fixture, &read_a, &collector, &result), "%s", fixture.error.message);
    cr_assert(bytes_equal(buffer_bytes(&collector.got), data));
    cr_assert(result.checked);
    cr_assert_eq(fake_get(fixture.fake, attempts), 2);
    cr_assert_eq(collector.begun, 1);
    buffer_free(&collector.got);
    forget(data);
    stop(&fixture);
}

Test(client, a_corrupt_chunk_is_data_loss_before_the_sink_sees_it) {
    struct fixture fixture = start();
    put(&fixture, &put_a, bytes_of("good", 4));
    fake_set(fixture.fake, corrupt_chunk, true);
    struct collector collector = {0};
    struct waybill_read_result result;
    cr_assert_not(read_it(&fixture, &read_a, &collector, &result));
    assert_error(&fixture, ERROR_DATA_LOSS, "CHECKSUM_MISMATCH");
    cr_assert_eq(collector.got.size, 0);
    stop(&fixture);
}

Test(client, an_object_that_is_not_its_records_is_data_loss) {
    struct fixture fixture = start();
    put(&fixture, &put_a, bytes_of("good", 4));
    fake_set(fixture.fake, corrupt_object, true);
    fake_set(fixture.fake, corrupt_chunk, true);
    struct collector collector = {0};
    struct waybill_read_result result;
    cr_assert_not(read_it(&fixture, &read_a, &collector, &result));
    assert_error(&fixture, ERROR_DATA_LOSS, "CHECKSUM_MISMATCH");
    fake_set(fixture.fake, corrupt_object, false);
    fake_set(fixture.fake, short_object, true);
    cr_assert_not(read_it(&fixture, &read_a, &collector, &result));
    assert_error(&fixture, ERROR_DATA_LOSS, "SIZE_MISMATCH");
    cr_assert_not(result.checked);
    buffer_free(&collector.got);
    stop(&fixture);
}

Test(client, the_sinks_error_ends_the_read) {
    struct fixture fixture = start();
    struct bytes data = counting(8 * MIB);
    put(&fixture, &put_a, data);
    struct collector collector = {.refuse = true};
    struct waybill_read_result result;
    cr_assert_not(read_it(&fixture, &read_a, &collector, &result));
    assert_error(&fixture, ERROR_CANCELLED, "ENOUGH");
    forget(data);
    stop(&fixture);
}

/* ---- watching ---- */

struct witness {
    int64_t revisions[FAKE_MOST];
    unsigned count, most, interruptions;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static bool see_change(void *self, const Waybill__V1__ChangeEvent *event) {
    struct witness *witness = self;
    witness->revisions[witness->count++] = event->revision;
    return witness->count < witness->most;
}

static void see_interruption(void *self, const struct error *why) {
    (void)why;
    ((struct witness *)self)->interruptions++;
}

Test(client, a_watch_goes_on_after_the_last_revision_seen) {
    struct fixture fixture = start();
    for (int i = 0; i < 7; i++) {
        fake_add_object(fixture.fake, "photos", "a", bytes_of("x", 1));
    }
    fake_set(fixture.fake, watch_breaks_after, 3);
    struct witness witness = {.most = 6};
    struct waybill_watch watch = {.bucket = "photos", .start_revision = 2};
    struct waybill_watcher watcher = {see_change, see_interruption, &witness};
    cr_assert(waybill_watch(fixture.client, &watch, &watcher, &fixture.error), "%s", fixture.error.message);
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(witness.revisions[i], i + 2);
    }
    cr_assert_eq(witness.interruptions, 1);
    cr_assert_eq(fake_get(fixture.fake, watch_starts[1]), 5);
    stop(&fixture);
}

static void *watch_one(void *argument) {
    struct fixture *fixture = argument;
    static struct witness witness;
    witness.most = 1;
    struct waybill_watch watch = {0};
    struct waybill_watcher watcher = {see_change, NULL, &witness};
    bool ok = waybill_watch(fixture->client, &watch, &watcher, &fixture->error);
    return ok && witness.revisions[0] == 2 ? fixture : NULL;
}

Test(client, a_watch_from_now_on_misses_nothing_when_it_is_refused_at_first) {
    struct fixture fixture = start();
    fake_add_object(fixture.fake, "photos", "a", bytes_of("x", 1));
    fake_fail(fixture.fake, FAKE_METADATA "WatchChanges", 2, ERROR_UNAVAILABLE, "DRAINING");
    pthread_t thread;
    pthread_create(&thread, NULL, watch_one, &fixture);
    while (fake_get(fixture.fake, watch_count) == 0) {
        sched_yield();
    }
    fake_add_object(fixture.fake, "photos", "b", bytes_of("x", 1)); /* revision 2 */
    void *good;
    pthread_join(thread, &good);
    cr_assert_not_null(good);
    stop(&fixture);
}

Test(client, cancel_ends_a_watch) {
    struct fixture fixture = start();
    pthread_t thread;
    fake_fail(fixture.fake, FAKE_METADATA "WatchChanges", 0, ERROR_OK, "");
    pthread_create(&thread, NULL, cancel_later, &fixture);
    struct witness witness = {.most = 1};
    struct waybill_watch watch = {.start_revision = 1};
    struct waybill_watcher watcher = {see_change, NULL, &witness};
    cr_assert_not(waybill_watch(fixture.client, &watch, &watcher, &fixture.error));
    assert_error(&fixture, ERROR_CANCELLED, "CLIENT_CANCELLED");
    pthread_join(thread, NULL);
    stop(&fixture);
}

Test(client, a_watch_that_cannot_be_mended_ends) {
    struct fixture fixture = start();
    fake_fail(fixture.fake, FAKE_METADATA "WatchChanges", 1, ERROR_OUT_OF_RANGE, "REVISION_TRIMMED");
    struct witness witness = {.most = 1};
    struct waybill_watch watch = {.start_revision = 1};
    struct waybill_watcher watcher = {see_change, NULL, &witness};
    cr_assert_not(waybill_watch(fixture.client, &watch, &watcher, &fixture.error));
    assert_error(&fixture, ERROR_OUT_OF_RANGE, "REVISION_TRIMMED");
    stop(&fixture);
}

Test(client, a_server_that_is_not_there_is_unavailable) {
    struct waybill_client_options options = {.metadata = "127.0.0.1:1", .max_attempts = 2};
    struct fixture fixture = {.client = waybill_client_new(&options)};
    arena_init(&fixture.arena);
    Waybill__V1__GetStatusResponse *status;
    cr_assert_not(
        waybill_get_status(fixture.client, WAYBILL_SERVICE_METADATA, &fixture.arena, &status, &fixture.error));
    cr_assert_eq(fixture.error.code, ERROR_UNAVAILABLE);
    waybill_client_free(fixture.client);
}
