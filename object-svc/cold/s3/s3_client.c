#include "object-svc/cold/s3/s3_client.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#include "object-svc/cold/s3/s3_answer.h"
#include "object-svc/cold/s3/s3_url.h"

enum {
    ANSWER_MAX_BYTES = 64 * 1024 * 1024, /* of what is held in memory: sidecars, listings */
    BACKOFF_MS = 100,
    SECRET_MAX_BYTES = 4096,
};

struct s3_client {
    char *bucket;
    char *region;
    char *access_key_file;
    char *secret_key_file;
    char *session_token_file;
    char *ca_file;
    char *signing; /* CURLOPT_AWS_SIGV4 */
    char base[512];
    int64_t connect_timeout_ms;
    int64_t stall_timeout_ms;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t freed;
    CURL *idle[S3_CONNECTIONS_MAX];
    size_t idle_count;
};

struct credentials {
    char access_key[SECRET_MAX_BYTES];
    char secret_key[SECRET_MAX_BYTES];
    char session_token[SECRET_MAX_BYTES];
};

/* One try of a request. */
struct transfer {
    CURL *curl;
    const struct s3_request *request;
    struct s3_answer *answer;
    size_t sent;
    size_t got; /* bytes of the range */
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
    self->connect_timeout_ms = options->connect_timeout_ms;
    self->stall_timeout_ms = options->stall_timeout_ms;
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

/* ---- credentials ---- */

/* From the file, or where none is named from the environment. */
static bool read_secret(const char *file, const char *field, const char *variable, bool required,
                        char out[SECRET_MAX_BYTES], struct error *error) {
    out[0] = '\0';
    if (*file == '\0') {
        const char *value = getenv(variable);
        snprintf(out, SECRET_MAX_BYTES, "%s", value == NULL ? "" : value);
    } else {
        FILE *in = fopen(file, "re");
        if (in == NULL) {
            error_set(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS", "%s: cannot open %s: %m", field,
                      file);
            snprintf(error->field, sizeof error->field, "%s", field);
            return false;
        }
        if (fgets(out, SECRET_MAX_BYTES, in) == NULL) {
            out[0] = '\0';
        }
        fclose(in);
        out[strcspn(out, " \t\r\n")] = '\0';
    }
    if (out[0] == '\0' && required) {
        error_set(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS",
                  "%s: the file is empty, or not named and %s is not set", field, variable);
        snprintf(error->field, sizeof error->field, "%s", field);
        return false;
    }
    return true;
}

static bool read_credentials(const struct s3_client *self, struct credentials *out, struct error *error) {
    return read_secret(self->access_key_file, "s3_access_key_file", "AWS_ACCESS_KEY_ID", true, out->access_key,
                       error) &&
           read_secret(self->secret_key_file, "s3_secret_key_file", "AWS_SECRET_ACCESS_KEY", true, out->secret_key,
                       error) &&
           read_secret(self->session_token_file, "s3_session_token_file", "AWS_SESSION_TOKEN", false,
                       out->session_token, error);
}

/* ---- one try ---- */

static size_t send_body(char *out, size_t size, size_t count, void *context) {
    struct transfer *self = context;
    size_t left = self->request->body.size - self->sent;
    size_t now = size * count < left ? size * count : left;
    if (now > 0) {
        memcpy(out, self->request->body.data + self->sent, now);
    }
    self->sent += now;
    return now;
}

/* libcurl goes back to the begin where a connection that it kept proves to be closed. */
static int seek_body(void *context, curl_off_t offset, int origin) {
    struct transfer *self = context;
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > self->request->body.size) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    self->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t take_body(char *data, size_t size, size_t count, void *context) {
    struct transfer *self = context;
    size_t now = size * count;
    long status = 0;
    curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &status);
    if (self->request->into != NULL && status == 206) {
        if (now > self->request->size - self->got) {
            return 0;
        }
        memcpy(self->request->into + self->got, data, now);
        self->got += now;
        return now;
    }
    /* The whole object, where a server does not know ranges, is not to be held in memory. */
    size_t most = self->request->into != NULL ? 64 * 1024 : ANSWER_MAX_BYTES;
    if (now > most - self->answer->body.size) {
        return 0;
    }
    buffer_append(&self->answer->body, data, now);
    return now;
}

static void take_value(const char *line, size_t size, const char *name, char *out, size_t room) {
    size_t length = strlen(name);
    if (size <= length || strncasecmp(line, name, length) != 0 || line[length] != ':') {
        return;
    }
    const char *value = line + length + 1;
    const char *end = line + size;
    while (value < end && *value == ' ') {
        value++;
    }
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
    if ((size_t)(end - value) < room) {
        memcpy(out, value, (size_t)(end - value));
        out[end - value] = '\0';
    }
}

static size_t take_header(char *line, size_t size, size_t count, void *context) {
    struct s3_answer *answer = ((struct transfer *)context)->answer;
    take_value(line, size * count, "etag", answer->etag, sizeof answer->etag);
    take_value(line, size * count, "x-amz-meta-waybill-payload-id", answer->payload_id, sizeof answer->payload_id);
    return size * count;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *format, const char *value) {
    char *line;
    if (asprintf(&line, format, value) < 0) {
        abort();
    }
    struct curl_slist *longer = curl_slist_append(list, line);
    free(line);
    if (longer == NULL) {
        abort();
    }
    return longer;
}

static struct curl_slist *make_headers(const struct s3_request *request, const struct credentials *credentials) {
    char sha256[S3_SHA256_TEXT_BYTES];
    char md5[S3_MD5_TEXT_BYTES];
    if (!s3_sha256(request->body, sha256) || !s3_md5(request->body, md5)) {
        abort();
    }
    struct curl_slist *headers = add_header(NULL, "x-amz-content-sha256: %s", sha256);
    if (request->body.size > 0) {
        headers = add_header(headers, "Content-MD5: %s", md5);
    }
    if (credentials->session_token[0] != '\0') {
        headers = add_header(headers, "x-amz-security-token: %s", credentials->session_token);
    }
    if (request->into != NULL) {
        char range[64];
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, request->offset, request->offset + request->size - 1);
        headers = add_header(headers, "Range: bytes=%s", range);
    }
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        headers = add_header(headers, "%s", request->headers[i]);
    }
    return add_header(headers, "%s", "Expect:");
}

static void set_url(const struct s3_client *self, CURL *curl, const struct s3_request *request) {
    struct buffer url = {0};
    buffer_append(&url, self->base, strlen(self->base));
    buffer_append_u8(&url, '/');
    s3_url_escape(&url, request->key, true);
    if (*request->query != '\0') {
        buffer_append_u8(&url, '?');
        buffer_append(&url, request->query, strlen(request->query));
    }
    buffer_append_u8(&url, '\0');
    curl_easy_setopt(curl, CURLOPT_URL, (const char *)url.data);
    buffer_free(&url);
}

static void set_method(struct transfer *transfer) {
    const struct s3_request *request = transfer->request;
    CURL *curl = transfer->curl;
    bool sends = strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0;
    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (sends) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body.size);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, send_body);
        curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, seek_body);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, transfer);
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    } else {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

static void set_options(const struct s3_client *self, struct transfer *transfer,
                        const struct credentials *credentials) {
    CURL *curl = transfer->curl;
    long stall_seconds = (long)((self->stall_timeout_ms + 999) / 1000);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, self->signing);
    curl_easy_setopt(curl, CURLOPT_USERNAME, credentials->access_key);
    curl_easy_setopt(curl, CURLOPT_PASSWORD, credentials->secret_key);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)self->connect_timeout_ms);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, stall_seconds);
    if (*self->ca_file != '\0') {
        curl_easy_setopt(curl, CURLOPT_CAINFO, self->ca_file);
    }
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
}

static void clear_answer(struct s3_answer *answer) {
    int attempts = answer->attempts;
    s3_answer_free(answer);
    *answer = (struct s3_answer){.attempts = attempts};
}

static CURLcode try_once(struct s3_client *self, const struct s3_request *request,
                         const struct credentials *credentials, struct s3_answer *answer) {
    struct transfer transfer = {.curl = take_handle(self), .request = request, .answer = answer};
    clear_answer(answer);
    answer->attempts++;
    struct curl_slist *headers = make_headers(request, credentials);
    set_url(self, transfer.curl, request);
    set_options(self, &transfer, credentials);
    set_method(&transfer);
    curl_easy_setopt(transfer.curl, CURLOPT_HTTPHEADER, headers);
    CURLcode result = curl_easy_perform(transfer.curl);
    curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_off_t length = -1;
    curl_easy_getinfo(transfer.curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    answer->content_length = length < 0 ? UINT64_MAX : (uint64_t)length;
    if (result == CURLE_OK && request->into != NULL && answer->status / 100 == 2 && transfer.got != request->size) {
        result = CURLE_PARTIAL_FILE;
    }
    curl_slist_free_all(headers);
    give_handle(self, transfer.curl);
    return result;
}

/* ---- what came of it ---- */

static bool blame(struct error *error, enum error_code code, const char *reason, const char *field,
                  const struct s3_client *self, const struct s3_answer *answer, const char *message) {
    error_set(error, code, reason, "%s: bucket %s answered %ld %s: %s", field, self->bucket, answer->status,
              answer->code, message);
    snprintf(error->field, sizeof error->field, "%s", field);
    return false;
}

static bool refuse(const struct s3_client *self, const struct s3_answer *answer, const char *message,
                   struct error *error) {
    static const struct {
        const char *code;
        const char *field;
    } credentials[] = {
        {"InvalidAccessKeyId", "s3_access_key_file"},    {"XAdminUserNotFound", "s3_access_key_file"}, /* versitygw */
        {"SignatureDoesNotMatch", "s3_secret_key_file"}, {"ExpiredToken", "s3_session_token_file"},
        {"InvalidToken", "s3_session_token_file"},       {"AuthorizationHeaderMalformed", "s3_region"}};
    for (size_t i = 0; i < sizeof credentials / sizeof credentials[0]; i++) {
        if (strcmp(answer->code, credentials[i].code) == 0) {
            return blame(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS", credentials[i].field, self, answer,
                         message);
        }
    }
    if (strcmp(answer->code, "NoSuchBucket") == 0) {
        return blame(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_BUCKET_MISSING", "s3_bucket", self, answer, message);
    }
    if (answer->status == 401 || answer->status == 403) {
        return blame(error, ERROR_PERMISSION_DENIED, "COLD_STORE_ACCESS_DENIED", "s3_access_key_file", self, answer,
                     message);
    }
    return error_set(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_REFUSED", "bucket %s answered %ld %s: %s",
                     self->bucket, answer->status, answer->code, message);
}

static bool unavailable(const struct s3_client *self, const struct s3_answer *answer, CURLcode result,
                        struct error *error) {
    if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE) {
        error_set(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_TLS", "s3_ca_file: %s", curl_easy_strerror(result));
        snprintf(error->field, sizeof error->field, "s3_ca_file");
        return false;
    }
    if (result != CURLE_OK) {
        return error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE", "%s: %s, %d attempts", self->base,
                         curl_easy_strerror(result), answer->attempts);
    }
    return error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE", "%s: answered %ld %s, %d attempts", self->base,
                     answer->status, answer->code, answer->attempts);
}

/* No answer, or one that asks to come back. */
static bool worth_another(CURLcode result, const struct s3_answer *answer) {
    if (result != CURLE_OK) {
        return result != CURLE_PEER_FAILED_VERIFICATION && result != CURLE_SSL_CACERT_BADFILE;
    }
    return answer->status >= 500 || answer->status == 429 || strcmp(answer->code, "RequestTimeout") == 0 ||
           strcmp(answer->code, "SlowDown") == 0 || strcmp(answer->code, "InternalError") == 0;
}

/* A 404 may also be about the bucket, or an unknown access key. HEAD is answered without a code. */
static bool tells_missing(const char *code) {
    return *code == '\0' || strcmp(code, "NoSuchKey") == 0 || strcmp(code, "NoSuchUpload") == 0;
}

static void wait_before(int attempt) {
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) {
        random = 0;
    }
    int64_t most_ms = (int64_t)BACKOFF_MS << attempt;
    int64_t wait_ms = most_ms / 2 + random % (most_ms / 2);
    struct timespec wait = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
    nanosleep(&wait, NULL);
}

bool s3_client_do(struct s3_client *self, const struct s3_request *request, struct s3_answer *answer,
                  struct error *error) {
    struct credentials credentials;
    struct s3_error refusal = {0};
    CURLcode result = CURLE_OK;
    *answer = (struct s3_answer){0};
    if (!read_credentials(self, &credentials, error)) {
        return false;
    }
    for (int attempt = 0;; attempt++) {
        result = try_once(self, request, &credentials, answer);
        /* Also after 200: CompleteMultipartUpload answers before it is done. */
        bool ranged = request->into != NULL && answer->status == 206;
        if (!ranged && s3_answer_error(buffer_bytes(&answer->body), &refusal)) {
            snprintf(answer->code, sizeof answer->code, "%s", refusal.code);
        }
        if (!worth_another(result, answer) || attempt + 1 == S3_ATTEMPTS) {
            break;
        }
        wait_before(attempt);
    }
    explicit_bzero(&credentials, sizeof credentials);
    if (result != CURLE_OK || worth_another(result, answer)) {
        return unavailable(self, answer, result, error);
    }
    bool missing = answer->status == 404 && *request->key != '\0' && tells_missing(answer->code);
    bool done = answer->status / 100 == 2 && answer->code[0] == '\0';
    return done || missing || refuse(self, answer, refusal.message, error);
}

void s3_answer_free(struct s3_answer *answer) {
    buffer_free(&answer->body);
}
