#include "common/observe/admin_http.h"

#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/observe/admin_page.h"
#include "common/observe/listen_socket.h"
#include "common/observe/metrics.h"

enum {
    CONNECTION_MEMORY_BYTES = 32 * 1024, /* bounds the request's headers */
    /* One address may be a proxy for all scrapers, but must not take every connection. */
    MAX_CONNECTIONS_PER_ADDRESS = ADMIN_HTTP_MAX_CONNECTIONS / 2,
    BACKLOG = 64,
};

struct admin_http {
    struct admin_http_options options; /* checks and texts owned here */
    struct MHD_Daemon *daemon;
    int port;
};

struct answer {
    unsigned status;
    const char *type;
    struct buffer body;
};

static const char plain_text[] = "text/plain; charset=utf-8";

void admin_http_registry(void *metrics, struct buffer *out) {
    metrics_write(metrics, out);
}

/* ---- what is asked ---- */

static void answer_text(struct answer *answer, unsigned status, const char *text) {
    answer->status = status;
    answer->type = plain_text;
    buffer_append(&answer->body, text, strlen(text));
}

static void answer_checks(struct answer *answer, const struct admin_check *checks, size_t count) {
    bool all = admin_page_checks(checks, count, &answer->body);
    answer_text(answer, all ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, all ? "all ok\n" : "not ok\n");
}

static void answer_path(struct admin_http *admin, const char *path, struct answer *answer) {
    const struct admin_http_options *options = &admin->options;
    if (strcmp(path, "/metrics") == 0) {
        answer->status = MHD_HTTP_OK;
        answer->type = "text/plain; version=0.0.4; charset=utf-8";
        if (options->write_metrics != NULL) {
            options->write_metrics(options->metrics_self, &answer->body);
        }
    } else if (strcmp(path, "/livez") == 0) {
        answer_checks(answer, options->live, options->live_count);
    } else if (strcmp(path, "/readyz") == 0) {
        answer_checks(answer, options->ready, options->ready_count);
    } else if (strcmp(path, "/") == 0) {
        answer->status = MHD_HTTP_OK;
        answer->type = "text/html; charset=utf-8";
        admin_page_status(options, &answer->body);
    } else {
        answer_text(answer, MHD_HTTP_NOT_FOUND, "not found; there are /, /metrics, /livez, /readyz\n");
    }
}

/* ---- HTTP ---- */

/* Takes the answer's body. */
static enum MHD_Result queue_answer(struct MHD_Connection *connection, struct answer *answer) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->body.size, answer->body.data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        buffer_free(&answer->body);
        return MHD_NO;
    }
    bool ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type) == MHD_YES &&
              MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES &&
              MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES &&
              MHD_add_response_header(response, "Content-Security-Policy",
                                      "default-src 'none'; style-src 'unsafe-inline'") == MHD_YES;
    if (ok && answer->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        ok = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES;
    }
    /* For HEAD, libmicrohttpd leaves the body out by itself. */
    enum MHD_Result result = ok ? MHD_queue_response(connection, answer->status, response) : MHD_NO;
    MHD_destroy_response(response);
    return result;
}

static bool has_body(struct MHD_Connection *connection) {
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *encoding = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    return encoding != NULL || (length != NULL && strcmp(length, "0") != 0);
}

/* Called once when the headers are in and again when the body is over. What is refused is
 * refused at once, so that no body is ever read; libmicrohttpd then closes the connection.
 * The rest waits for the second call, which keeps the connection. */
static enum MHD_Result handle(void *self, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **state) {
    (void)version;
    (void)upload;
    (void)upload_size;
    struct admin_http *admin = self;
    struct answer answer = {0};
    if (*state == NULL) {
        bool known = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
        if (!known) {
            answer_text(&answer, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            return queue_answer(connection, &answer);
        }
        if (has_body(connection)) {
            answer_text(&answer, MHD_HTTP_CONTENT_TOO_LARGE, "no body, please\n");
            return queue_answer(connection, &answer);
        }
        *state = admin;
        return MHD_YES;
    }
    answer_path(admin, url, &answer);
    return queue_answer(connection, &answer);
}

static void log_problem(void *self, const char *format, va_list args) {
    (void)self;
    char text[256];
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug("admin_http_problem", LOG_STR("problem", text));
}

/* ---- life ---- */

static struct admin_check *copy_checks(const struct admin_check *checks, size_t count) {
    struct admin_check *copy = calloc(count + 1, sizeof *copy);
    if (copy == NULL) {
        abort();
    }
    if (count > 0) {
        memcpy(copy, checks, count * sizeof *copy);
    }
    return copy;
}

static void admin_free(struct admin_http *admin) {
    free((struct admin_check *)admin->options.live);
    free((struct admin_check *)admin->options.ready);
    free((char *)admin->options.service);
    free(admin);
}

static struct admin_http *admin_new(const struct admin_http_options *options) {
    struct admin_http *admin = calloc(1, sizeof *admin);
    char *service = strdup(options->service);
    if (admin == NULL || service == NULL) {
        abort();
    }
    admin->options = *options;
    admin->options.listen = NULL; /* not needed again */
    admin->options.service = service;
    admin->options.live = copy_checks(options->live, options->live_count);
    admin->options.ready = copy_checks(options->ready, options->ready_count);
    return admin;
}

struct admin_http *admin_http_start(const struct admin_http_options *options, struct error *error) {
    struct admin_http *admin = admin_new(options);
    int socket_fd = listen_socket_open(options->listen, BACKLOG, &admin->port, error);
    if (socket_fd < 0) {
        admin_free(admin);
        return NULL;
    }
    /* poll, not epoll: with epoll, libmicrohttpd 0.9.75 now and then misses that a client which sent
     * nonsense has hung up, and keeps the connection for the idle time. */
    unsigned idle_seconds = options->idle_seconds != 0 ? options->idle_seconds : (unsigned)ADMIN_HTTP_IDLE_SECONDS;
    admin->daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, admin,
        /* first, so that it sees the problems of the other options */
        MHD_OPTION_EXTERNAL_LOGGER, log_problem, NULL, MHD_OPTION_LISTEN_SOCKET, socket_fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)ADMIN_HTTP_MAX_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS_PER_ADDRESS,
        MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_END);
    if (admin->daemon == NULL) {
        error_set_errno(error, errno, "cannot start the admin server on %s", options->listen);
        close(socket_fd);
        admin_free(admin);
        return NULL;
    }
    return admin;
}

int admin_http_port(const struct admin_http *admin) {
    return admin->port;
}

void admin_http_stop(struct admin_http *admin) {
    if (admin == NULL) {
        return;
    }
    /* We opened the socket and close it: a descriptor that a library closes out of ThreadSanitizer's sight
     * looks like a race to it once another thread opens a file under the same number. */
    MHD_socket socket_fd = MHD_quiesce_daemon(admin->daemon);
    MHD_stop_daemon(admin->daemon);
    if (socket_fd != MHD_INVALID_SOCKET) {
        close(socket_fd);
    }
    admin_free(admin);
}
