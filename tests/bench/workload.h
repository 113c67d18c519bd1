/* The small writes and reads that are measured, each message about 300 bytes on the wire.
 *
 * Record number n always has the same 40-byte key; numbers that follow one another lie far
 * apart in key order, as the keys of independent writers do. */
#ifndef WAYBILL_BENCH_WORKLOAD_H
#define WAYBILL_BENCH_WORKLOAD_H

#include "tests/bench/etcd.pb-c.h"
#include "tests/bench/load.h"
#include "waybill/v1/metadata_service.pb-c.h"

enum {
    WORKLOAD_KEY_BYTES = 40,
    WORKLOAD_VALUE_BYTES = 260, /* of a peer's value: with the key as many as one of our requests */
    WORKLOAD_UUID_BYTES = 36,
    WORKLOAD_ATTRIBUTES = 5,
    WORKLOAD_BATCH = 100, /* requests of a batch */
};

#define WORKLOAD_BUCKET "bench"

/* PutRecord of a new key: attributes but no payload, a request_id, if_version_match 0. */
struct put_workload {
    uint64_t first; /* call n writes record first + n */
    uint64_t run;   /* makes the request ids of two runs differ */
    char key[WORKLOAD_KEY_BYTES + 1];
    char request_id[WORKLOAD_UUID_BYTES + 1];
    Waybill__V1__PutRecordRequest message;
    Waybill__V1__AttributeValue values[WORKLOAD_ATTRIBUTES];
    Waybill__V1__PutRecordRequest__AttributesEntry entries[WORKLOAD_ATTRIBUTES];
    Waybill__V1__PutRecordRequest__AttributesEntry *attributes[WORKLOAD_ATTRIBUTES];
};

#define PUT_PATH "/waybill.v1.MetadataService/PutRecord"
/* The workload points into itself: it must not move. */
void put_workload_init(struct put_workload *put, uint64_t first);
const ProtobufCMessage *put_workload_request(void *put, uint64_t number);
bool put_workload_check(void *put, uint64_t number, struct bytes response);

/* BatchPutRecords of so many of them, the last batch as many as are left. */
struct batch_workload {
    uint64_t first;
    uint64_t records; /* of all batches together */
    struct put_workload puts[WORKLOAD_BATCH];
    Waybill__V1__PutRecordRequest *requests[WORKLOAD_BATCH];
    Waybill__V1__BatchPutRecordsRequest message;
};

#define BATCH_PATH "/waybill.v1.MetadataService/BatchPutRecords"
void batch_workload_init(struct batch_workload *batch, uint64_t first, uint64_t records);
uint64_t batch_workload_calls(const struct batch_workload *batch);
const ProtobufCMessage *batch_workload_request(void *batch, uint64_t number);
bool batch_workload_check(void *batch, uint64_t number, struct bytes response);

/* GetRecord of records picked evenly at random from numbers 0 to count - 1. */
struct get_workload {
    uint64_t count;
    uint64_t run;
    char key[WORKLOAD_KEY_BYTES + 1];
    Waybill__V1__GetRecordRequest message;
};

#define GET_PATH "/waybill.v1.MetadataService/GetRecord"
void get_workload_init(struct get_workload *get, uint64_t count);
const ProtobufCMessage *get_workload_request(void *get, uint64_t number);
bool get_workload_check(void *get, uint64_t number, struct bytes response);

/* etcd's Put of a new key. */
struct etcd_workload {
    char key[WORKLOAD_KEY_BYTES + 1];
    uint8_t value[WORKLOAD_VALUE_BYTES];
    Etcdserverpb__PutRequest message;
};

#define ETCD_PUT_PATH "/etcdserverpb.KV/Put"
void etcd_workload_init(struct etcd_workload *etcd);
const ProtobufCMessage *etcd_workload_request(void *etcd, uint64_t number);
bool etcd_workload_check(void *etcd, uint64_t number, struct bytes response);
/* Reads the record back: ends the program if it is not what was put. */
void etcd_workload_verify(struct etcd_workload *etcd, struct rpc_channel *channel, uint64_t number);

#endif
