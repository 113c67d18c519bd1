#include "object-svc/cold/s3/s3_client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/base/clock.h"
#include "object-svc/cold/s3/s3_answer.h"
#include "object-svc/cold/s3/s3_transfer.h"
#include "object-svc/cold/s3/s3_url.h"
#include "object-svc/cold/s3/s3_verdict.h"

enum { LOOK_MS = 100 }; /* how often a pause looks whether it is to end */

struct s3_client {
    char *bucket;
    char *region;
    char *access_key_file;
    char *secret_key_file;
    char *session_token_file;
    char *ca_file;
    char *signing; /* CURLOPT_AWS_SIGV4 */
    char base[512];
    struct s3_server server; /* borrows from the above */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t freed;
    CURL *idle[S3_CONNECTIONS_MAX];
    size_t idle_count;
};

static char *copy(const char *text) {
    char *copied = strdup(text == NULL ? "" : text);
    if (copied == NULL) {
        abort();
    }
    return copied;
}

/* ---- opening ---- */

static void init_curl(void) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        abort();
    }
}

static bool check_bucket(const char *bucket, struct error *error) {
    size_t size = strlen(bucket);
    bool good = size >= 3 && size <= 63 && strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") == size;
    return good || error_set_field(error, "s3_bucket", "BAD_CONFIG",
                                   "s3_bucket is a bucket's name of 3 to 63 of a-z 0-9 . -; the bucket must be there");
}

struct s3_client *s3_client_new(const struct s3_options *options, struct error *error) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct s3_endpoint endpoint;
    if (!s3_endpoint_parse(options->endpoint, &endpoint, error) || !check_bucket(options->bucket, error)) {
        return NULL;
    }
    pthread_once(&once, init_curl);
    struct s3_client *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->bucket = copy(options->bucket);
    self->region = copy(options->region);
    self->access_key_file = copy(options->access_key_file);
    self->secret_key_file = copy(options->secret_key_file);
    self->session_token_file = copy(options->session_token_file);
    self->ca_file = copy(options->ca_file);
    if (asprintf(&self->signing, "aws:amz:%s:s3", self->region) < 0) {
        abort();
    }
    if (options->path_style) {
        snprintf(self->base, sizeof self->base, "%s://%s/%s", endpoint.scheme, endpoint.host, self->bucket);
    } else {
        snprintf(self->base, sizeof self->base, "%s://%s.%s", endpoint.scheme, self->bucket, endpoint.host);
    }
    self->server = (struct s3_server){.base = self->base,
                                      .signing = self->signing,
                                      .ca_file = self->ca_file,
                                      .connect_timeout_ms = options->connect_timeout_ms,
                                      .stall_timeout_ms = options->stall_timeout_ms,
                                      .given_up = options->given_up};
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->freed, NULL);
    for (int64_t i = 0; i < options->connections && i < S3_CONNECTIONS_MAX; i++) {
        CURL *curl = curl_easy_init();
        if (curl == NULL) {
            abort();
        }
        self->idle[self->idle_count++] = curl;
    }
    return self;
}

void s3_client_free(struct s3_client *self) {
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->idle_count; i++) {
        curl_easy_cleanup(self->idle[i]);
    }
    pthread_cond_destroy(&self->freed);
    pthread_mutex_destroy(&self->lock);
    free(self->bucket);
    free(self->region);
    free(self->access_key_file);
    free(self->secret_key_file);
    free(self->session_token_file);
    free(self->ca_file);
    free(self->signing);
    free(self);
}

/* ---- the end ---- */

static bool set_given_up(struct error *error) {
    return error_set(error, ERROR_UNAVAILABLE, "DRAINING",
                     "the request to the cold store was given up: the service is shutting down") ||
           error_retry_after(error, ERROR_RETRY_DRAINING_MS);
}

/* ---- connections ---- */

/* Those who have one end soon when all are to. */
static CURL *take_handle(struct s3_client *self) {
    pthread_mutex_lock(&self->lock);
    while (self->idle_count == 0) {
        pthread_cond_wait(&self->freed, &self->lock);
    }
    CURL *curl = self->idle[--self->idle_count];
    pthread_mutex_unlock(&self->lock);
    return curl;
}

static void give_handle(struct s3_client *self, CURL *curl) {
    curl_easy_reset(curl); /* keeps the connection */
    pthread_mutex_lock(&self->lock);
    self->idle[self->idle_count++] = curl;
    pthread_cond_signal(&self->freed);
    pthread_mutex_unlock(&self->lock);
}

/* ---- requests ---- */

static void clear_answer(struct s3_answer *answer) {
    int attempts = answer->attempts;
    s3_answer_free(answer);
    *answer = (struct s3_answer){.attempts = attempts};
}

static enum s3_verdict try_once(struct s3_client *self, const struct s3_request *request,
                                const struct s3_credentials *credentials, struct s3_answer *answer, CURLcode *result) {
    CURL *curl = take_handle(self);
    struct s3_error refusal;
    clear_answer(answer);
    answer->attempts++;
    *result = s3_transfer_run(curl, &self->server, request, credentials, answer);
    give_handle(self, curl);
    /* Also after 200: CompleteMultipartUpload answers before it is done. */
    bool ranged = request->into != NULL && answer->status == 206;
    if (!ranged && s3_answer_error(buffer_bytes(&answer->body), &refusal)) {
        snprintf(answer->code, sizeof answer->code, "%s", refusal.code);
        snprintf(answer->message, sizeof answer->message, "%s", refusal.message);
    }
    return s3_verdict_of(*result, request, answer);
}

static void pause_for(const struct s3_client *self, const struct s3_request *request, int64_t wait_ms) {
    for (; wait_ms > 0 && !s3_transfer_is_to_end(&self->server, request); wait_ms -= LOOK_MS) {
        int64_t now_ms = wait_ms < LOOK_MS ? wait_ms : LOOK_MS;
        struct timespec wait = {.tv_nsec = now_ms * 1000000};
        nanosleep(&wait, NULL);
    }
}

/* False where another try would begin too late, or not at all. */
static bool pause_before(const struct s3_client *self, const struct s3_request *request, int attempt,
                         const struct s3_answer *answer, int64_t until_us) {
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) {
        random = 0;
    }
    int64_t wait_ms = s3_verdict_wait_ms(attempt, answer->retry_after_ms, random);
    if (wait_ms < 0 || clock_monotonic_us(&system_clock) + wait_ms * 1000 > until_us) {
        return false;
    }
    pause_for(self, request, wait_ms);
    return !s3_transfer_is_to_end(&self->server, request);
}

bool s3_client_do(struct s3_client *self, const struct s3_request *request, struct s3_answer *answer,
                  struct error *error) {
    struct s3_credential_files files = {self->access_key_file, self->secret_key_file, self->session_token_file};
    struct s3_credentials credentials;
    CURLcode result = CURLE_OK;
    enum s3_verdict verdict;
    int64_t until_us = clock_monotonic_us(&system_clock) + (int64_t)S3_TRY_AGAIN_MS * 1000;
    *answer = (struct s3_answer){0};
    if (s3_transfer_is_to_end(&self->server, request)) {
        return set_given_up(error);
    }
    if (!s3_credentials_read(&files, &credentials, error)) {
        return false;
    }
    for (int attempt = 0;; attempt++) {
        verdict = try_once(self, request, &credentials, answer, &result);
        bool again = (verdict == S3_TRANSIENT || verdict == S3_THROTTLED) && attempt + 1 < S3_ATTEMPTS;
        if (!again || !pause_before(self, request, attempt, answer, until_us)) {
            break;
        }
    }
    s3_credentials_wipe(&credentials);
    if (verdict != S3_DONE && s3_transfer_is_to_end(&self->server, request)) {
        return set_given_up(error);
    }
    return verdict == S3_DONE || s3_verdict_error(verdict, result, answer, self->server.base, self->bucket, error);
}

void s3_answer_free(struct s3_answer *answer) {
    buffer_free(&answer->body);
}
