#include "object-svc/cold/cold_s3_sender.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/thread_crew.h"
#include "common/checksum/crc32c.h"
#include "object-svc/cold/s3/s3_url.h"

/* A part that waits for a thread, or is being sent. */
struct s3_part {
    struct s3_part *next;
    struct s3_upload *upload;
    int number; /* from 1 */
    struct buffer bytes;
};

struct s3_sender {
    struct s3_client *client;
    uint64_t max_bytes;
    struct thread_crew crew;

    pthread_mutex_t lock; /* of what follows, and of what uploads say is under it */
    pthread_cond_t queued;
    pthread_cond_t sent;
    struct s3_part *first;
    struct s3_part *last;
    uint64_t bytes; /* waiting or being sent */
    bool stopping;
};

/* What CompleteMultipartUpload is to be told of a part. */
struct sent_part {
    char etag[128];
    char crc32c[S3_CRC32C_TEXT_BYTES];
};

struct s3_upload {
    struct s3_sender *sender;
    char *key;
    char *id;
    int parts; /* handed over */

    /* under the sender's lock */
    struct sent_part *sent; /* all parts, by number */
    int capacity;
    int under_way;
    bool failed;
    struct error failure; /* of the first part that failed */
};

/* ---- one part ---- */

static bool send_part(struct s3_client *client, const struct s3_part *part, struct sent_part *sent,
                      struct error *error) {
    char *query;
    if (asprintf(&query, "partNumber=%d&uploadId=%s", part->number, part->upload->id) < 0) {
        abort();
    }
    struct s3_request request = {.method = "PUT",
                                 .key = part->upload->key,
                                 .query = query,
                                 .body = buffer_bytes(&part->bytes),
                                 .check = S3_CHECK_CRC32C};
    struct s3_answer answer;
    bool ok = FAILPOINT("cold_s3.part.before") && s3_client_do(client, &request, &answer, error) &&
              FAILPOINT("cold_s3.part.after") &&
              (answer.status != 404 || error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE",
                                                 "the server does not know the upload any more: %s", answer.code));
    snprintf(sent->etag, sizeof sent->etag, "%s", answer.etag);
    s3_crc32c(crc32c(buffer_bytes(&part->bytes)), sent->crc32c);
    s3_answer_free(&answer);
    free(query);
    return ok;
}

static struct s3_part *take_part(struct s3_sender *self) {
    while (self->first == NULL && !self->stopping) {
        pthread_cond_wait(&self->queued, &self->lock);
    }
    struct s3_part *part = self->first;
    if (part != NULL) {
        self->first = part->next;
    }
    return part;
}

static void *sender_loop(void *argument) {
    struct s3_sender *self = argument;
    struct s3_part *part;
    pthread_mutex_lock(&self->lock);
    while ((part = take_part(self)) != NULL) {
        struct s3_upload *upload = part->upload;
        struct error error = {0};
        struct sent_part sent = {0};
        bool wanted = !upload->failed;
        pthread_mutex_unlock(&self->lock);
        bool ok = !wanted || send_part(self->client, part, &sent, &error);
        uint64_t size = part->bytes.size;
        buffer_free(&part->bytes);
        pthread_mutex_lock(&self->lock);
        if (!ok && !upload->failed) {
            upload->failed = true;
            upload->failure = error;
        }
        upload->sent[part->number - 1] = sent;
        upload->under_way--;
        self->bytes -= size;
        pthread_cond_broadcast(&self->sent);
        free(part);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* ---- the sender ---- */

struct s3_sender *s3_sender_new(struct s3_client *client, int64_t threads, uint64_t max_bytes) {
    struct s3_sender *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->client = client;
    self->max_bytes = max_bytes;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->queued, NULL);
    pthread_cond_init(&self->sent, NULL);
    int64_t count = threads < S3_SENDER_THREADS_MAX ? threads : S3_SENDER_THREADS_MAX;
    thread_crew_start(&self->crew, (unsigned)count, "cold-part", sender_loop, self);
    return self;
}

void s3_sender_free(struct s3_sender *self) {
    if (self == NULL) {
        return;
    }
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_broadcast(&self->queued);
    pthread_mutex_unlock(&self->lock);
    thread_crew_join(&self->crew);
    pthread_cond_destroy(&self->sent);
    pthread_cond_destroy(&self->queued);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

/* ---- uploads ---- */

struct s3_upload *s3_upload_new(struct s3_sender *sender, const char *key, const char *upload_id) {
    struct s3_upload *self = calloc(1, sizeof *self);
    if (self == NULL || (self->key = strdup(key)) == NULL || (self->id = strdup(upload_id)) == NULL) {
        abort();
    }
    self->sender = sender;
    return self;
}

static void make_room(struct s3_upload *self) {
    if (self->parts < self->capacity) {
        return;
    }
    self->capacity = self->capacity == 0 ? 16 : 2 * self->capacity;
    self->sent = realloc(self->sent, (size_t)self->capacity * sizeof *self->sent);
    if (self->sent == NULL) {
        abort();
    }
}

static void enqueue(struct s3_upload *self, struct s3_part *part) {
    struct s3_sender *sender = self->sender;
    make_room(self);
    part->number = ++self->parts;
    self->under_way++;
    sender->bytes += part->bytes.size;
    if (sender->first == NULL) {
        sender->first = part;
    } else {
        sender->last->next = part;
    }
    sender->last = part;
    pthread_cond_signal(&sender->queued);
}

bool s3_upload_send(struct s3_upload *self, struct buffer *bytes, struct error *error) {
    struct s3_sender *sender = self->sender;
    struct s3_part *part = calloc(1, sizeof *part);
    if (part == NULL) {
        abort();
    }
    part->upload = self;
    part->bytes = *bytes;
    *bytes = (struct buffer){0};
    pthread_mutex_lock(&sender->lock);
    while (!self->failed && sender->bytes > 0 && sender->bytes + part->bytes.size > sender->max_bytes) {
        pthread_cond_wait(&sender->sent, &sender->lock);
    }
    bool ok = !self->failed;
    if (ok) {
        enqueue(self, part);
    } else {
        *error = self->failure;
        buffer_free(&part->bytes);
        free(part);
    }
    pthread_mutex_unlock(&sender->lock);
    return ok;
}

static void wait_sent(struct s3_upload *self) {
    while (self->under_way > 0) {
        pthread_cond_wait(&self->sender->sent, &self->sender->lock);
    }
}

bool s3_upload_finish(struct s3_upload *self, struct buffer *list, struct error *error) {
    pthread_mutex_lock(&self->sender->lock);
    wait_sent(self);
    bool ok = !self->failed;
    if (!ok) {
        *error = self->failure;
    }
    pthread_mutex_unlock(&self->sender->lock);
    for (int i = 0; ok && i < self->parts; i++) {
        char line[256];
        int size =
            snprintf(line, sizeof line,
                     "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><ChecksumCRC32C>%s</ChecksumCRC32C></Part>",
                     i + 1, self->sent[i].etag, self->sent[i].crc32c);
        buffer_append(list, line, (size_t)size);
    }
    return ok;
}

void s3_upload_free(struct s3_upload *self) {
    if (self == NULL) {
        return;
    }
    pthread_mutex_lock(&self->sender->lock);
    self->failed = true; /* what waits is not sent any more */
    wait_sent(self);
    pthread_mutex_unlock(&self->sender->lock);
    free(self->sent);
    free(self->key);
    free(self->id);
    free(self);
}
