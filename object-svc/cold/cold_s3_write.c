/* Writing an object: small ones in one PUT, others in parts, several at once. The sidecar goes
 * first, since only bytes make an object. The server is told the CRC32C of each part and of the
 * whole, so that one that knows it (x-amz-checksum-crc32c) makes no object of other bytes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/cold/cold_s3_parts.h"
#include "object-svc/cold/s3/s3_answer.h"
#include "object-svc/cold/s3/s3_url.h"

enum { META_BYTES = 2048, HEADERS = 12 };

struct s3_writer {
    struct cold_writer base;
    struct cold_s3 *store;
    struct arena arena;
    struct provenance provenance;
    char key[COLD_S3_KEY_BYTES];
    char sidecar_key[COLD_S3_KEY_BYTES];
    struct block_sums sums;
    size_t part_bytes;
    struct buffer part; /* what was not handed over yet */

    char note[COLD_S3_NOTE_BYTES]; /* "": no multipart upload was begun */
    bool uncertain;                /* there may be another upload than the one we know */
    struct buffer upload_id;       /* escaped, with its end */
    struct s3_upload *upload;      /* NULL: none */
};

static struct s3_writer *self_of(struct cold_writer *writer) {
    return (struct s3_writer *)writer;
}

static bool check_conflict(struct cold_s3 *self, const struct provenance *provenance, struct error *error) {
    struct cold_name name = cold_object_name(provenance);
    struct cold_sidecar there;
    struct arena arena;
    struct error found = {0};
    arena_init(&arena);
    bool fine = true;
    if (cold_s3_load_sidecar(self, &name, &arena, &there, &found)) {
        fine = cold_object_check_conflict(&there.provenance, provenance, error);
    } else if (found.code != ERROR_NOT_FOUND && found.code != ERROR_DATA_LOSS) {
        *error = found;
        fine = false;
    }
    arena_free(&arena);
    return fine;
}

struct cold_writer *cold_s3_begin(struct cold_store *base, const struct provenance *provenance, struct error *error) {
    struct cold_s3 *store = cold_s3_of(base);
    struct cold_name name = cold_object_name(provenance);
    struct s3_writer *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    cold_s3_clear_uploads(store);
    if (!cold_s3_keys(store, &name, self->key, self->sidecar_key, error) || !check_conflict(store, provenance, error)) {
        free(self);
        return NULL;
    }
    self->base.ops = base->ops;
    self->store = store;
    arena_init(&self->arena);
    self->provenance = cold_object_copy(provenance, store->clock, &self->arena);
    block_sums_start(&self->sums, provenance->size_bytes, cold_sidecar_block_bytes(provenance->size_bytes));
    uint64_t least = provenance->size_bytes / S3_UPLOAD_PARTS_MAX + 1;
    self->part_bytes = (size_t)(least > store->part_bytes ? least : store->part_bytes);
    return &self->base;
}

static void free_writer(struct s3_writer *self) {
    buffer_free(&self->part);
    buffer_free(&self->upload_id);
    block_sums_free(&self->sums);
    arena_free(&self->arena);
    free(self);
}

/* ---- headers ---- */

static bool header_safe(const char *text) {
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

static const char *meta(struct s3_writer *self, const char *format, const char *value) {
    char line[META_BYTES];
    snprintf(line, sizeof line, format, value);
    return arena_strdup(&self->arena, line);
}

static const char *meta_number(struct s3_writer *self, const char *name, int64_t value) {
    char line[128];
    snprintf(line, sizeof line, "x-amz-meta-waybill-%s: %" PRId64, name, value);
    return arena_strdup(&self->arena, line);
}

/* What an S3 tool shows of the object. Returns how many there are. */
static size_t make_headers(struct s3_writer *self, const char *headers[HEADERS]) {
    const struct provenance *provenance = &self->provenance;
    size_t count = 0;
    char id[UUID_TEXT_BYTES];
    char crc[16];
    uuid_print(&provenance->payload_id, id);
    snprintf(crc, sizeof crc, "%08" PRIx32, provenance->crc32c);
    const char *type = provenance->content_type;
    headers[count++] =
        meta(self, "Content-Type: %s", *type != '\0' && header_safe(type) ? type : "application/octet-stream");
    headers[count++] = meta(self, "x-amz-meta-waybill-bucket: %s", provenance->bucket);
    headers[count++] = meta_number(self, "version", provenance->version);
    headers[count++] = meta(self, "x-amz-meta-waybill-payload-id: %s", id);
    headers[count++] = meta(self, "x-amz-meta-waybill-crc32c: %s", crc);
    headers[count++] = meta_number(self, "size", (int64_t)provenance->size_bytes);
    headers[count++] = meta_number(self, "commit-unix-us", provenance->commit_unix_us);
    headers[count++] = meta_number(self, "store-unix-us", provenance->store_unix_us);
    headers[count] = NULL;
    return count;
}

/* ---- parts ---- */

static bool missing(const struct s3_answer *answer, struct error *error) {
    return answer->status == 404 && !error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE",
                                               "the server does not know the upload any more: %s", answer->code);
}

static bool take_upload_id(struct s3_writer *self, const struct s3_answer *answer, struct error *error) {
    char *id = s3_answer_text(buffer_bytes(&answer->body), "InitiateMultipartUploadResult", "UploadId");
    if (id == NULL || *id == '\0') {
        free(id);
        return error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE", "the server gave no upload id");
    }
    s3_url_escape(&self->upload_id, id, false);
    buffer_append_u8(&self->upload_id, '\0');
    free(id);
    return true;
}

static bool begin_upload(struct s3_writer *self, struct error *error) {
    const char *headers[HEADERS];
    size_t count = make_headers(self, headers);
    headers[count++] = "x-amz-checksum-algorithm: CRC32C";
    headers[count++] = "x-amz-checksum-type: FULL_OBJECT";
    headers[count] = NULL;
    if (!cold_s3_note_upload(self->store, self->key, self->note, error)) {
        self->note[0] = '\0';
        return false;
    }
    struct s3_request request = {.method = "POST", .key = self->key, .query = "uploads=", .headers = headers};
    struct s3_answer answer;
    bool ok = s3_client_do(self->store->client, &request, &answer, error) && !missing(&answer, error) &&
              take_upload_id(self, &answer, error) && FAILPOINT("cold_s3.begin.after");
    /* An attempt whose answer was lost may have begun one as well. */
    self->uncertain = !ok || answer.attempts > 1;
    s3_answer_free(&answer);
    if (ok) {
        self->upload = s3_upload_new(self->store->sender, self->key, (const char *)self->upload_id.data);
    }
    return ok;
}

static bool send_part(struct s3_writer *self, struct error *error) {
    return (self->upload != NULL || begin_upload(self, error)) && s3_upload_send(self->upload, &self->part, error);
}

/* The room that the part at hand may need, at once: it is not to be moved while it grows. */
static void reserve_part(struct s3_writer *self) {
    uint64_t left = self->provenance.size_bytes - (self->sums.size - self->part.size);
    if (self->part.data == NULL) {
        buffer_reserve(&self->part, left < self->part_bytes ? (size_t)left : self->part_bytes);
    }
}

bool cold_s3_append(struct cold_writer *writer, struct bytes data, struct error *error) {
    struct s3_writer *self = self_of(writer);
    if (!cold_object_check_room(&self->provenance, &self->sums, data.size, error)) {
        return false;
    }
    while (data.size > 0) {
        /* A full part waits until there is more: the last one is sent by finish. */
        if (self->part.size == self->part_bytes && !send_part(self, error)) {
            return false;
        }
        reserve_part(self);
        size_t room = self->part_bytes - self->part.size;
        size_t now = data.size < room ? data.size : room;
        buffer_append(&self->part, data.data, now);
        block_sums_add(&self->sums, bytes_of(data.data, now));
        data = bytes_of(data.data + now, data.size - now);
    }
    return true;
}

/* ---- the end ---- */

static bool put_sidecar(struct s3_writer *self, struct error *error) {
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct cold_sidecar sidecar = {.provenance = self->provenance,
                                   .block_bytes = self->sums.block_bytes,
                                   .block_sums = block_sums_end(&self->sums)};
    struct buffer text = {0};
    bool ok = cold_sidecar_encode(&sidecar, &text, error);
    if (ok) {
        struct s3_request request = {
            .method = "PUT", .key = self->sidecar_key, .query = "", .headers = headers, .body = buffer_bytes(&text)};
        struct s3_answer answer;
        ok = FAILPOINT("cold_s3.sidecar.before") && s3_client_do(self->store->client, &request, &answer, error) &&
             !missing(&answer, error) && FAILPOINT("cold_s3.sidecar.after");
        s3_answer_free(&answer);
    }
    buffer_free(&text);
    return ok;
}

static bool put_whole(struct s3_writer *self, struct error *error) {
    const char *headers[HEADERS];
    make_headers(self, headers);
    struct s3_request request = {.method = "PUT",
                                 .key = self->key,
                                 .query = "",
                                 .headers = headers,
                                 .body = buffer_bytes(&self->part),
                                 .check = S3_CHECK_CRC32C};
    struct s3_answer answer;
    bool ok = FAILPOINT("cold_s3.put.before") && s3_client_do(self->store->client, &request, &answer, error) &&
              !missing(&answer, error) && FAILPOINT("cold_s3.put.after");
    s3_answer_free(&answer);
    return ok;
}

/* Whether the server has the object after all: the answer to an earlier attempt may be lost. */
static bool is_there(struct s3_writer *self) {
    struct s3_request request = {.method = "HEAD", .key = self->key, .query = ""};
    struct s3_answer answer;
    struct error ignored = {0};
    char id[UUID_TEXT_BYTES];
    uuid_print(&self->provenance.payload_id, id);
    bool there = s3_client_do(self->store->client, &request, &answer, &ignored) && answer.status == 200 &&
                 answer.content_length == self->provenance.size_bytes && strcmp(answer.payload_id, id) == 0;
    s3_answer_free(&answer);
    return there;
}

static bool make_list(struct s3_writer *self, struct buffer *list, struct error *error) {
    static const char begin[] = "<CompleteMultipartUpload>";
    static const char end[] = "</CompleteMultipartUpload>";
    buffer_append(list, begin, sizeof begin - 1);
    bool ok = s3_upload_finish(self->upload, list, error);
    buffer_append(list, end, sizeof end - 1);
    return ok;
}

static bool request_completion(struct s3_writer *self, struct bytes list, struct error *error) {
    char crc[S3_CRC32C_TEXT_BYTES];
    s3_crc32c(self->provenance.crc32c, crc);
    const char *headers[] = {"x-amz-checksum-type: FULL_OBJECT", meta(self, "x-amz-checksum-crc32c: %s", crc), NULL};
    char *query;
    if (asprintf(&query, "uploadId=%s", (const char *)self->upload_id.data) < 0) {
        abort();
    }
    struct s3_request request = {
        .method = "POST", .key = self->key, .query = query, .headers = headers, .body = list, .patient = true};
    struct s3_answer answer;
    bool ok = FAILPOINT("cold_s3.complete.before") && s3_client_do(self->store->client, &request, &answer, error) &&
              FAILPOINT("cold_s3.complete.after");
    if (ok && answer.status == 404) {
        ok = (answer.attempts > 1 && is_there(self)) || !missing(&answer, error);
    }
    s3_answer_free(&answer);
    free(query);
    return ok;
}

static bool complete_upload(struct s3_writer *self, struct error *error) {
    struct buffer list = {0};
    bool ok = make_list(self, &list, error) && put_sidecar(self, error) &&
              request_completion(self, buffer_bytes(&list), error);
    buffer_free(&list);
    return ok;
}

/* What is known to have ended needs no note; all else is aborted by its note. */
static void end_upload(struct s3_writer *self, bool completed) {
    s3_upload_free(self->upload);
    if (self->note[0] == '\0') {
        return;
    }
    if (completed && !self->uncertain) {
        cold_s3_drop_note(self->store, self->note);
    } else {
        cold_s3_leave_note(self->store, self->note, self->key);
    }
    /* Also of an earlier attempt: the server may have come back since this one began. */
    cold_s3_clear_uploads(self->store);
}

bool cold_s3_finish(struct cold_writer *writer, struct error *error) {
    struct s3_writer *self = self_of(writer);
    bool ok = cold_object_check_payload(&self->provenance, &self->sums, error) &&
              (self->upload == NULL ? put_sidecar(self, error) && put_whole(self, error)
                                    : send_part(self, error) && complete_upload(self, error));
    end_upload(self, ok);
    free_writer(self);
    return ok;
}

void cold_s3_abort(struct cold_writer *writer) {
    struct s3_writer *self = self_of(writer);
    end_upload(self, false);
    free_writer(self);
}
