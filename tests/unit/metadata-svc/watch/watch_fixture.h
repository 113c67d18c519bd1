/* A change log in an array behind struct kv, which counts how often it is read. */
#ifndef WAYBILL_TESTS_WATCH_FIXTURE_H
#define WAYBILL_TESTS_WATCH_FIXTURE_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/arena.h"
#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/layout.h"
#include "waybill/v1/event.pb-c.h"

struct fake_log {
    struct kv base;
    pthread_mutex_t lock;
    int64_t oldest, newest; /* 1 and 0: empty */
    struct bytes *events;   /* by revision */
    int64_t room;
    unsigned reads;
    bool broken;
};

struct fake_cursor {
    struct kv_cursor base;
    struct fake_log *log;
    int64_t newest; /* of the snapshot */
    int64_t at;     /* 0: not valid */
    struct arena arena;
};

static inline struct kv_cursor *fake_cursor_open(struct kv *kv) {
    struct fake_cursor *cursor = calloc(1, sizeof *cursor);
    cursor->log = (struct fake_log *)kv;
    cursor->base.ops = kv->ops;
    arena_init(&cursor->arena);
    pthread_mutex_lock(&cursor->log->lock);
    cursor->newest = cursor->log->newest;
    cursor->log->reads++;
    pthread_mutex_unlock(&cursor->log->lock);
    return &cursor->base;
}

static inline void fake_cursor_go(struct fake_cursor *cursor, int64_t revision) {
    pthread_mutex_lock(&cursor->log->lock);
    cursor->at = revision >= cursor->log->oldest && revision <= cursor->newest ? revision : 0;
    pthread_mutex_unlock(&cursor->log->lock);
}

static inline void fake_cursor_seek(struct kv_cursor *base, struct bytes key) {
    struct fake_cursor *cursor = (struct fake_cursor *)base;
    int64_t revision = layout_number_of(key);
    fake_cursor_go(cursor, revision < cursor->log->oldest ? cursor->log->oldest : revision);
}

static inline void fake_cursor_seek_before(struct kv_cursor *base, struct bytes key) {
    fake_cursor_go((struct fake_cursor *)base, layout_number_of(key) - 1);
}

static inline void fake_cursor_next(struct kv_cursor *base) {
    struct fake_cursor *cursor = (struct fake_cursor *)base;
    fake_cursor_go(cursor, cursor->at + 1);
}

static inline bool fake_cursor_valid(const struct kv_cursor *base) {
    return ((const struct fake_cursor *)base)->at != 0;
}

static inline struct bytes fake_cursor_key(const struct kv_cursor *base) {
    struct fake_cursor *cursor = (struct fake_cursor *)base;
    return layout_change_key(&cursor->arena, cursor->at);
}

static inline struct bytes fake_cursor_value(const struct kv_cursor *base) {
    const struct fake_cursor *cursor = (const struct fake_cursor *)base;
    pthread_mutex_lock(&cursor->log->lock);
    struct bytes event = cursor->log->events[cursor->at];
    pthread_mutex_unlock(&cursor->log->lock);
    return event;
}

static inline bool fake_cursor_check(const struct kv_cursor *base, struct error *error) {
    struct fake_log *log = ((const struct fake_cursor *)base)->log;
    pthread_mutex_lock(&log->lock);
    bool broken = log->broken;
    pthread_mutex_unlock(&log->lock);
    return !broken || error_set(error, ERROR_INTERNAL, "RECORD_STORE_FAILED", "injected");
}

static inline void fake_cursor_close(struct kv_cursor *base) {
    arena_free(&((struct fake_cursor *)base)->arena);
    free(base);
}

static const struct kv_ops fake_log_ops = {
    .cursor_open = fake_cursor_open,
    .cursor_seek = fake_cursor_seek,
    .cursor_seek_before = fake_cursor_seek_before,
    .cursor_next = fake_cursor_next,
    .cursor_valid = fake_cursor_valid,
    .cursor_key = fake_cursor_key,
    .cursor_value = fake_cursor_value,
    .cursor_check = fake_cursor_check,
    .cursor_close = fake_cursor_close,
};

static inline void fake_log_init(struct fake_log *log) {
    *log = (struct fake_log){.base.ops = &fake_log_ops, .oldest = 1};
    pthread_mutex_init(&log->lock, NULL);
}

static inline void fake_log_free(struct fake_log *log) {
    for (int64_t i = 1; i <= log->newest; i++) {
        free((void *)log->events[i].data);
    }
    free(log->events);
    pthread_mutex_destroy(&log->lock);
}

/* Takes the bytes. */
static inline void fake_log_append(struct fake_log *log, uint8_t *wire, size_t size) {
    pthread_mutex_lock(&log->lock);
    if (log->newest + 1 >= log->room) {
        log->room = log->room * 2 + 1024;
        log->events = realloc(log->events, (size_t)log->room * sizeof *log->events);
    }
    log->events[++log->newest] = bytes_of(wire, size);
    pthread_mutex_unlock(&log->lock);
}

/* A change of the record, padded by a reason of so many bytes. */
static inline void fake_log_commit(struct fake_log *log, const char *bucket, const char *key,
                                   Waybill__V1__ChangeType type, size_t padding) {
    Waybill__V1__ChangeEvent event = WAYBILL__V1__CHANGE_EVENT__INIT;
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    char *text = malloc(padding + 1);
    memset(text, 'x', padding);
    text[padding] = '\0';
    event.revision = log->newest + 1;
    event.type = type;
    event.record = &record;
    event.request_id = text;
    record.bucket = (char *)bucket;
    record.key = (char *)key;
    size_t size = waybill__v1__change_event__get_packed_size(&event);
    uint8_t *wire = malloc(size);
    waybill__v1__change_event__pack(&event, wire);
    free(text);
    fake_log_append(log, wire, size);
}

static inline void fake_log_fill(struct fake_log *log, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        fake_log_commit(log, "photos", "cat", WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_COMMITTED, 0);
    }
}

static inline void fake_log_trim(struct fake_log *log, int64_t oldest) {
    pthread_mutex_lock(&log->lock);
    log->oldest = oldest;
    pthread_mutex_unlock(&log->lock);
}

static inline unsigned fake_log_reads(struct fake_log *log) {
    pthread_mutex_lock(&log->lock);
    unsigned reads = log->reads;
    pthread_mutex_unlock(&log->lock);
    return reads;
}

#endif
