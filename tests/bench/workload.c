#include "tests/bench/workload.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

/* ---- names ---- */

/* A permutation of the 64-bit numbers that leaves no order (the last step of splitmix64). */
static uint64_t scatter(uint64_t number) {
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

static char *put_hex(char *out, uint64_t value, unsigned digits) {
    for (unsigned i = digits; i > 0; i--) {
        out[i - 1] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
    return out + digits;
}

static void make_key(uint64_t number, char key[WORKLOAD_KEY_BYTES + 1]) {
    memcpy(key, "sensors/", 8);
    char *end = put_hex(key + 8, scatter(number), 16);
    *end++ = '/';
    end = put_hex(end, number, 15);
    *end = '\0';
}

static void make_request_id(uint64_t run, uint64_t number, char id[WORKLOAD_UUID_BYTES + 1]) {
    char *end = put_hex(id, run >> 32, 8);
    *end++ = '-';
    end = put_hex(end, run >> 16, 4);
    memcpy(end, "-4000-8", 7);
    end = put_hex(end + 7, run, 3);
    *end++ = '-';
    end = put_hex(end, number, 12);
    *end = '\0';
}

static uint64_t make_run(void) {
    uint64_t run;
    if (getrandom(&run, sizeof run, 0) != sizeof run) {
        load_die("getrandom", NULL);
    }
    return run;
}

static bool mentions(struct bytes response, const char *key) {
    return memmem(response.data, response.size, key, WORKLOAD_KEY_BYTES) != NULL;
}

/* ---- PutRecord ---- */

static void set_text(struct put_workload *put, size_t i, char *name, char *text) {
    put->entries[i].key = name;
    put->values[i].kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_STRING_VALUE;
    put->values[i].string_value = text;
}

static void set_number(struct put_workload *put, size_t i, char *name, int64_t number) {
    put->entries[i].key = name;
    put->values[i].kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_INT_VALUE;
    put->values[i].int_value = number;
}

void put_workload_init(struct put_workload *put, uint64_t first) {
    memset(put, 0, sizeof *put);
    put->first = first;
    put->run = make_run();
    waybill__v1__put_record_request__init(&put->message);
    for (size_t i = 0; i < WORKLOAD_ATTRIBUTES; i++) {
        waybill__v1__attribute_value__init(&put->values[i]);
        waybill__v1__put_record_request__attributes_entry__init(&put->entries[i]);
        put->entries[i].value = &put->values[i];
        put->attributes[i] = &put->entries[i];
    }
    set_text(put, 0, "instrument", "spectrometer-12 of the north tower");
    set_text(put, 1, "operator", "night shift, second crew");
    set_text(put, 2, "calibration", "2024-03-11/full/passed");
    set_text(put, 3, "site", "northern ridge, platform C");
    set_number(put, 4, "exposure_us", 1250000);
    put->message.bucket = WORKLOAD_BUCKET;
    put->message.key = put->key;
    put->message.content_type = "application/json";
    put->message.request_id = put->request_id;
    put->message.n_attributes = WORKLOAD_ATTRIBUTES;
    put->message.attributes = put->attributes;
    put->message.has_if_version_match_case = WAYBILL__V1__PUT_RECORD_REQUEST__HAS_IF_VERSION_MATCH_IF_VERSION_MATCH;
    put->message.if_version_match = 0;
    put_workload_request(put, 0);
    size_t size = protobuf_c_message_get_packed_size(&put->message.base);
    assert(size >= 290 && size <= 310);
}

const ProtobufCMessage *put_workload_request(void *self, uint64_t number) {
    struct put_workload *put = self;
    make_key(put->first + number, put->key);
    make_request_id(put->run, number, put->request_id);
    return &put->message.base;
}

bool put_workload_check(void *self, uint64_t number, struct bytes response) {
    struct put_workload *put = self;
    char key[WORKLOAD_KEY_BYTES + 1];
    make_key(put->first + number, key);
    return mentions(response, key);
}

/* ---- BatchPutRecords ---- */

void batch_workload_init(struct batch_workload *batch, uint64_t first, uint64_t records) {
    batch->first = first;
    batch->records = records;
    waybill__v1__batch_put_records_request__init(&batch->message);
    for (size_t i = 0; i < WORKLOAD_BATCH; i++) {
        put_workload_init(&batch->puts[i], first + i);
        batch->requests[i] = &batch->puts[i].message;
    }
    batch->message.requests = batch->requests;
}

uint64_t batch_workload_calls(const struct batch_workload *batch) {
    return (batch->records + WORKLOAD_BATCH - 1) / WORKLOAD_BATCH;
}

static size_t batch_size(const struct batch_workload *batch, uint64_t number) {
    uint64_t left = batch->records - number * WORKLOAD_BATCH;
    return left < WORKLOAD_BATCH ? (size_t)left : WORKLOAD_BATCH;
}

const ProtobufCMessage *batch_workload_request(void *self, uint64_t number) {
    struct batch_workload *batch = self;
    batch->message.n_requests = batch_size(batch, number);
    for (size_t i = 0; i < batch->message.n_requests; i++) {
        put_workload_request(&batch->puts[i], number * WORKLOAD_BATCH);
    }
    return &batch->message.base;
}

/* Each record is in the answer, in the order of the requests. */
bool batch_workload_check(void *self, uint64_t number, struct bytes response) {
    const struct batch_workload *batch = self;
    for (size_t i = 0; i < batch_size(batch, number); i++) {
        char key[WORKLOAD_KEY_BYTES + 1];
        make_key(batch->first + number * WORKLOAD_BATCH + i, key);
        const uint8_t *at = memmem(response.data, response.size, key, WORKLOAD_KEY_BYTES);
        if (at == NULL) {
            return false;
        }
        response.size -= (size_t)(at - response.data);
        response.data = at;
    }
    return true;
}

/* ---- GetRecord ---- */

void get_workload_init(struct get_workload *get, uint64_t count) {
    memset(get, 0, sizeof *get);
    get->count = count;
    get->run = make_run();
    waybill__v1__get_record_request__init(&get->message);
    get->message.bucket = WORKLOAD_BUCKET;
    get->message.key = get->key;
}

static void pick_key(const struct get_workload *get, uint64_t number, char key[WORKLOAD_KEY_BYTES + 1]) {
    make_key(scatter(get->run + number) % get->count, key);
}

const ProtobufCMessage *get_workload_request(void *self, uint64_t number) {
    struct get_workload *get = self;
    pick_key(get, number, get->key);
    return &get->message.base;
}

bool get_workload_check(void *self, uint64_t number, struct bytes response) {
    char key[WORKLOAD_KEY_BYTES + 1];
    pick_key(self, number, key);
    return mentions(response, key);
}

/* ---- etcd ---- */

void etcd_workload_init(struct etcd_workload *etcd) {
    memset(etcd, 0, sizeof *etcd);
    memset(etcd->value, 'x', sizeof etcd->value);
    etcdserverpb__put_request__init(&etcd->message);
    etcd->message.key = (ProtobufCBinaryData){WORKLOAD_KEY_BYTES, (uint8_t *)etcd->key};
    etcd->message.value = (ProtobufCBinaryData){sizeof etcd->value, etcd->value};
}

const ProtobufCMessage *etcd_workload_request(void *self, uint64_t number) {
    struct etcd_workload *etcd = self;
    make_key(number, etcd->key);
    return &etcd->message.base;
}

bool etcd_workload_check(void *self, uint64_t number, struct bytes response) {
    (void)self;
    (void)number;
    return response.size > 0; /* a header with the revision */
}

void etcd_workload_verify(struct etcd_workload *etcd, struct rpc_channel *channel, uint64_t number) {
    struct arena arena;
    struct error error;
    ProtobufCMessage *response;
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    arena_init(&arena);
    make_key(number, etcd->key);
    request.key = etcd->message.key;
    if (!rpc_channel_call(channel, "/etcdserverpb.KV/Range", NULL, &request.base,
                          &etcdserverpb__range_response__descriptor, &arena, &response, &error)) {
        load_die("etcd", &error);
    }
    const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)response;
    if (range->n_kvs != 1 || range->kvs[0]->value.len != WORKLOAD_VALUE_BYTES) {
        load_die("etcd does not have what was put", NULL);
    }
    arena_free(&arena);
}
