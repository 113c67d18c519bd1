#include "object-svc/cold/s3/s3_transfer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/checksum/crc32c.h"
#include "object-svc/cold/s3/s3_url.h"

enum {
    ANSWER_MAX_BYTES = 64 * 1024 * 1024, /* of what is held in memory: sidecars, listings */
    REFUSAL_MAX_BYTES = 64 * 1024,       /* of the answer to a ranged GET that is no range */
    RETRY_AFTER_MAX_S = 24 * 60 * 60,
    PATIENCE = 8,                    /* times the usual stall */
    STALLED_BYTES_PER_SECOND = 1024, /* slower is as good as not at all */
    SLOWEST_BYTES_PER_MS = 16,       /* on the whole */
    UNKNOWN_BYTES = 1024 * 1024,     /* of an answer whose length nobody announced */
};

struct transfer {
    CURL *curl;
    const struct s3_server *server;
    const struct s3_request *request;
    struct s3_answer *answer;
    size_t sent;
    size_t got; /* bytes of the range */
};

/* ---- bytes ---- */

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
    size_t most = self->request->into != NULL ? REFUSAL_MAX_BYTES : ANSWER_MAX_BYTES;
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

static bool is_set(const atomic_bool *flag) {
    return flag != NULL && atomic_load(flag);
}

bool s3_transfer_is_to_end(const struct s3_server *server, const struct s3_request *request) {
    return is_set(server->given_up) || is_set(request->given_up);
}

/* Called for each piece, and every second while nothing comes. */
static int look_for_end(void *context, curl_off_t to_get, curl_off_t got, curl_off_t to_send, curl_off_t sent) {
    const struct transfer *self = context;
    (void)to_get;
    (void)got;
    (void)to_send;
    (void)sent;
    return s3_transfer_is_to_end(self->server, self->request);
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

static struct curl_slist *add_check(struct curl_slist *headers, const struct s3_request *request) {
    if (request->check == S3_CHECK_CRC32C) {
        char crc[S3_CRC32C_TEXT_BYTES];
        s3_crc32c(crc32c(request->body), crc);
        return add_header(headers, "x-amz-checksum-crc32c: %s", crc);
    }
    char md5[S3_MD5_TEXT_BYTES];
    if (!s3_md5(request->body, md5)) {
        abort();
    }
    return request->body.size > 0 ? add_header(headers, "Content-MD5: %s", md5) : headers;
}

static struct curl_slist *make_headers(const struct s3_request *request, const struct s3_credentials *credentials) {
    char sha256[S3_SHA256_TEXT_BYTES];
    if (!s3_sha256(request->body, sha256)) {
        abort();
    }
    struct curl_slist *headers = add_check(add_header(NULL, "x-amz-content-sha256: %s", sha256), request);
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
    return headers;
}

/* ---- options ---- */

static void set_url(const struct s3_server *server, CURL *curl, const struct s3_request *request) {
    struct buffer url = {0};
    buffer_append(&url, server->base, strlen(server->base));
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

/* Bounds how long it may take. A server that works before it answers may send a blank now and then. */
static void set_patience(const struct s3_server *server, CURL *curl, const struct s3_request *request) {
    int64_t stall_ms = server->stall_timeout_ms * (request->patient ? PATIENCE : 1);
    int64_t bytes = (int64_t)(request->body.size + request->size) + UNKNOWN_BYTES;
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)server->connect_timeout_ms);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, request->patient ? 1L : (long)STALLED_BYTES_PER_SECOND);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)((stall_ms + 999) / 1000));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(4 * stall_ms + bytes / SLOWEST_BYTES_PER_MS));
}

static void set_options(const struct s3_server *server, struct transfer *transfer,
                        const struct s3_credentials *credentials) {
    CURL *curl = transfer->curl;
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, server->signing);
    curl_easy_setopt(curl, CURLOPT_USERNAME, credentials->access_key);
    curl_easy_setopt(curl, CURLOPT_PASSWORD, credentials->secret_key);
    set_patience(server, curl, transfer->request);
    if (*server->ca_file != '\0') {
        curl_easy_setopt(curl, CURLOPT_CAINFO, server->ca_file);
    }
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_for_end);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
}

CURLcode s3_transfer_run(CURL *curl, const struct s3_server *server, const struct s3_request *request,
                         const struct s3_credentials *credentials, struct s3_answer *answer) {
    struct transfer transfer = {.curl = curl, .server = server, .request = request, .answer = answer};
    char why[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = make_headers(request, credentials);
    set_url(server, curl, request);
    set_options(server, &transfer, credentials);
    set_method(&transfer);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    CURLcode result = curl_easy_perform(curl);
    curl_off_t length = -1;
    curl_off_t retry_after_s = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after_s);
    answer->content_length = length < 0 ? UINT64_MAX : (uint64_t)length;
    answer->retry_after_ms = retry_after_s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S * 1000 : retry_after_s * 1000;
    if (result == CURLE_OK && request->into != NULL && answer->status / 100 == 2 && transfer.got != request->size) {
        result = CURLE_PARTIAL_FILE;
    }
    if (result != CURLE_OK) {
        snprintf(answer->message, sizeof answer->message, "%.255s", why[0] != '\0' ? why : curl_easy_strerror(result));
    }
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    return result;
}
