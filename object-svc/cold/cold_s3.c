#include "object-svc/cold/cold_s3.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/names.h"
#include "object-svc/cold/cold_s3_parts.h"
#include "object-svc/cold/s3/s3_answer.h"
#include "object-svc/cold/s3/s3_url.h"

bool cold_s3_keys(const struct cold_s3 *self, const struct cold_name *name, char key[COLD_S3_KEY_BYTES],
                  char sidecar[COLD_S3_KEY_BYTES], struct error *error) {
    char path[COLD_PATH_MAX_BYTES];
    char sidecar_path[COLD_SIDECAR_PATH_BYTES];
    if (!cold_object_path(name, path, error)) {
        return false;
    }
    cold_sidecar_path(path, sidecar_path);
    snprintf(key, COLD_S3_KEY_BYTES, "%s%s", self->prefix, path);
    snprintf(sidecar, COLD_S3_KEY_BYTES, "%s%s", self->prefix, sidecar_path);
    return strlen(sidecar) <= S3_KEY_MAX_BYTES ||
           error_set(error, ERROR_INVALID_ARGUMENT, "BAD_OBJECT_NAME",
                     "the object's name would have %zu bytes in S3, which allows %d", strlen(sidecar),
                     S3_KEY_MAX_BYTES);
}

/* ---- removing ---- */

static bool remove_key(struct cold_s3 *self, const char *key, struct error *error) {
    struct s3_request request = {.method = "DELETE", .key = key, .query = ""};
    struct s3_answer answer;
    bool ok = s3_client_do(self->client, &request, &answer, error);
    s3_answer_free(&answer);
    return ok;
}

/* Bytes first: they are what makes the object one. */
static bool cold_s3_remove(struct cold_store *store, const struct cold_name *name, struct error *error) {
    struct cold_s3 *self = cold_s3_of(store);
    char key[COLD_S3_KEY_BYTES];
    char sidecar[COLD_S3_KEY_BYTES];
    return cold_s3_keys(self, name, key, sidecar, error) && remove_key(self, key, error) &&
           remove_key(self, sidecar, error);
}

/* ---- listing ---- */

struct listing {
    struct cold_s3 *store;
    const char *key_prefix;
    cold_entry_visitor *visit;
    void *context;
    bool ended;
};

static bool visit_key(void *context, const char *s3_key, const char *size) {
    struct listing *listing = context;
    size_t prefix = strlen(listing->store->prefix);
    char bucket[64];
    char key[1025];
    struct cold_entry entry;
    if (s3_key == NULL || size == NULL || strlen(s3_key) < prefix ||
        !cold_path_parse(s3_key + prefix, bucket, key, &entry.name) ||
        strncmp(key, listing->key_prefix, strlen(listing->key_prefix)) != 0) {
        return true;
    }
    entry.size_bytes = strtoull(size, NULL, 10);
    listing->ended = !listing->visit(listing->context, &entry);
    return !listing->ended;
}

static void list_query(struct buffer *query, const char *token, const char *prefix) {
    static const char begin[] = "continuation-token=";
    static const char middle[] = "list-type=2&prefix=";
    buffer_clear(query);
    if (token != NULL) {
        buffer_append(query, begin, sizeof begin - 1);
        s3_url_escape(query, token, false);
        buffer_append_u8(query, '&');
    }
    buffer_append(query, middle, sizeof middle - 1);
    s3_url_escape(query, prefix, false);
    buffer_append_u8(query, '\0');
}

/* One page; `token` becomes that of the next, NULL after the last. */
static bool list_page(struct listing *listing, const char *prefix, char **token, struct error *error) {
    static const char root[] = "ListBucketResult";
    struct buffer query = {0};
    struct s3_answer answer;
    list_query(&query, *token, prefix);
    free(*token);
    *token = NULL;
    struct s3_request request = {.method = "GET", .key = "", .query = (const char *)query.data};
    bool ok = s3_client_do(listing->store->client, &request, &answer, error);
    if (ok && !s3_answer_each(buffer_bytes(&answer.body), root, "Contents", "Key", "Size", visit_key, listing)) {
        ok = error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE", "the server's listing cannot be read");
    }
    if (ok && !listing->ended) {
        *token = s3_answer_text(buffer_bytes(&answer.body), root, "NextContinuationToken");
        if (*token != NULL && **token == '\0') {
            free(*token);
            *token = NULL;
        }
    }
    s3_answer_free(&answer);
    buffer_free(&query);
    return ok;
}

/* The S3 prefix of all that may match; false where no key can. */
static bool listing_prefix(struct cold_s3 *self, const char *bucket, const char *key_prefix,
                           char prefix[COLD_S3_KEY_BYTES]) {
    struct error ignored;
    if (*bucket == '\0') {
        snprintf(prefix, COLD_S3_KEY_BYTES, "%s", self->prefix);
        return true;
    }
    if (!name_check_bucket(bucket, "bucket", &ignored) || strlen(key_prefix) > NAME_KEY_MAX_BYTES) {
        return false;
    }
    const char *slash = strrchr(key_prefix, '/');
    char head[NAME_KEY_MAX_BYTES + 1];
    char path[COLD_PATH_MAX_BYTES];
    snprintf(path, sizeof path, "%s", bucket);
    snprintf(head, sizeof head, "%.*s", slash == NULL ? 0 : (int)(slash - key_prefix), key_prefix);
    if (slash != NULL && !cold_path_directory(&(struct cold_name){.bucket = bucket, .key = head}, path)) {
        return false;
    }
    snprintf(prefix, COLD_S3_KEY_BYTES, "%s%s/", self->prefix, path);
    return strlen(prefix) <= S3_KEY_MAX_BYTES;
}

static bool cold_s3_list(struct cold_store *store, const char *bucket, const char *key_prefix,
                         cold_entry_visitor *visit, void *context, struct error *error) {
    struct listing listing = {.store = cold_s3_of(store), .key_prefix = key_prefix, .visit = visit, .context = context};
    char prefix[COLD_S3_KEY_BYTES];
    char *token = NULL;
    if (!listing_prefix(listing.store, bucket, key_prefix, prefix)) {
        return true;
    }
    bool ok;
    do {
        ok = list_page(&listing, prefix, &token, error);
    } while (ok && token != NULL);
    free(token);
    return ok;
}

/* ---- opening ---- */

static void cold_s3_close(struct cold_store *store) {
    struct cold_s3 *self = cold_s3_of(store);
    if (self->uploads >= 0) {
        close(self->uploads);
    }
    s3_ahead_free(self->ahead);
    s3_sender_free(self->sender);
    s3_client_free(self->client);
    buffer_free(&self->leftovers);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static const struct cold_store_ops cold_s3_ops = {
    .name = "s3",
    .begin = cold_s3_begin,
    .append = cold_s3_append,
    .finish = cold_s3_finish,
    .abort = cold_s3_abort,
    .open_object = cold_s3_open_object,
    .reader_provenance = cold_s3_reader_provenance,
    .read = cold_s3_read,
    .close_reader = cold_s3_close_reader,
    .verify = cold_s3_verify,
    .remove = cold_s3_remove,
    .list = cold_s3_list,
    .close = cold_s3_close,
};

/* A listing tells wrong credentials from a missing bucket, as HEAD does not. */
static bool check_server(struct cold_s3 *self, struct error *error) {
    struct error found = {0};
    struct s3_request request = {.method = "GET", .key = "", .query = "list-type=2&max-keys=1"};
    struct s3_answer answer;
    bool ok = s3_client_do(self->client, &request, &answer, &found);
    s3_answer_free(&answer);
    if (ok) {
        cold_s3_clear_uploads(self);
    } else if (found.code == ERROR_UNAVAILABLE && strcmp(found.reason, "DRAINING") != 0) {
        log_warn("cold_store_away", LOG_ERROR(&found));
        ok = true;
    } else {
        *error = found;
    }
    return ok;
}

static bool set_prefix(struct cold_s3 *self, const char *prefix, struct error *error) {
    size_t size = strlen(prefix);
    if (size > 200 || (size > 0 && (prefix[0] == '/' || prefix[size - 1] == '/'))) {
        return error_set_field(error, "s3_prefix", "BAD_CONFIG",
                               "s3_prefix has at most 200 bytes and no '/' at its ends");
    }
    snprintf(self->prefix, sizeof self->prefix, "%s%s", prefix, size > 0 ? "/" : "");
    return true;
}

static bool open_uploads(struct cold_s3 *self, const char *directory, struct error *error) {
    if (mkdir(directory, 0750) != 0 && errno != EEXIST) {
        return error_set_errno(error, errno, "making %s", directory);
    }
    self->uploads = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return self->uploads >= 0 || error_set_errno(error, errno, "opening %s", directory);
}

struct cold_store *cold_s3_open(const struct cold_store_options *options, struct error *error) {
    const struct cold_s3_options *s3 = options->s3;
    struct cold_s3 *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->base.ops = &cold_s3_ops;
    self->clock = options->clock;
    self->part_bytes = (uint64_t)s3->part_bytes;
    self->uploads = -1;
    pthread_mutex_init(&self->lock, NULL);
    if (set_prefix(self, s3->prefix, error) && (self->client = s3_client_new(&s3->client, error)) != NULL &&
        open_uploads(self, s3->uploads_directory, error) && cold_s3_find_notes(self, error) &&
        check_server(self, error)) {
        self->sender = s3_sender_new(self->client, s3->parallel_parts, (uint64_t)s3->upload_bytes);
        self->ahead = s3_ahead_new(self->client, (s3->client.connections + 1) / 2, (uint64_t)s3->ahead_bytes);
        return &self->base;
    }
    cold_s3_close(&self->base);
    return NULL;
}
