// rooms: waybill_observe
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/observe/admin_http.h"
#include "common/observe/metrics.h"

/* ---- a service with two paths, one of which can be broken ---- */

struct fixture {
    struct metrics *metrics;
    struct admin_http *admin;
    atomic_bool events_down;
    atomic_bool stuck;
};

static bool always(void *self, struct error *error) {
    (void)self;
    (void)error;
    return true;
}

static bool events_up(void *self, struct error *error) {
    struct fixture *fixture = self;
    return !fixture->events_down || error_set(error, ERROR_UNAVAILABLE, "NATS_DOWN", "not <connected>\nto NATS");
}

static bool moving(void *self, struct error *error) {
    struct fixture *fixture = self;
    return !fixture->stuck || error_set(error, ERROR_INTERNAL, "STUCK", "committer stands still");
}

static void fixture_start(struct fixture *fixture, const char *listen) {
    *fixture = (struct fixture){.metrics = metrics_new()};
    counter_add(metrics_counter(fixture->metrics, "a_total", "A.", METRIC_LABELS({"b", "<c>"})), 3);
    histogram_observe(metrics_histogram(fixture->metrics, "h", "H.", NULL, &metric_buckets_count), 1);
    struct admin_check live[] = {{"committer", moving, fixture}};
    struct admin_check ready[] = {{"metadata.write", always, NULL}, {"events", events_up, fixture}};
    struct admin_http_options options = {
        .listen = listen,
        .service = "waybill-<test>",
        .write_metrics = admin_http_registry,
        .metrics_self = fixture->metrics,
        .live = live,
        .live_count = 1,
        .ready = ready,
        .ready_count = 2,
    };
    struct error error;
    fixture->admin = admin_http_start(&options, &error);
    cr_assert_not_null(fixture->admin, "%s", error.message);
}

static void fixture_stop(struct fixture *fixture) {
    admin_http_stop(fixture->admin);
    metrics_free(fixture->metrics);
}

/* ---- a client on plain sockets ---- */

static int dial(const struct fixture *fixture) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)admin_http_port(fixture->admin)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0, "%s", strerror(errno));
    struct timeval patience = {.tv_sec = 30};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    return fd;
}

static void say(int fd, const char *text) {
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

struct reply {
    char text[16384]; /* status line, headers, body */
    const char *body;
};

/* Reads until the server closes. */
static void hear(int fd, struct reply *reply) {
    size_t used = 0;
    ssize_t got;
    while ((got = recv(fd, reply->text + used, sizeof reply->text - 1 - used, 0)) > 0) {
        used += (size_t)got;
    }
    cr_assert_eq(got, 0, "the server did not answer and close: %s", strerror(errno));
    reply->text[used] = '\0';
    const char *blank = strstr(reply->text, "\r\n\r\n");
    reply->body = blank != NULL ? blank + 4 : reply->text + used;
    close(fd);
}

static void ask(const struct fixture *fixture, const char *method, const char *path, struct reply *reply) {
    int fd = dial(fixture);
    char request[256];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
    say(fd, request);
    hear(fd, reply);
}

static int status(const struct reply *reply) {
    int code = -1;
    sscanf(reply->text, "HTTP/1.%*d %d", &code);
    return code;
}

static void expect_status(const struct fixture *fixture, const char *method, const char *path, int expected) {
    struct reply reply;
    ask(fixture, method, path, &reply);
    cr_assert_eq(status(&reply), expected, "%s %s: %s", method, path, reply.text);
}

/* ---- the promises ---- */

Test(admin_http, metrics_are_the_registry_in_prometheus_text) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    struct reply reply;
    ask(&fixture, "GET", "/metrics", &reply);
    cr_assert_eq(status(&reply), 200);
    cr_assert_not_null(strstr(reply.text, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    struct buffer expected = {0};
    metrics_write(fixture.metrics, &expected);
    buffer_append_u8(&expected, '\0');
    cr_assert_str_eq(reply.body, (char *)expected.data);
    buffer_free(&expected);
    fixture_stop(&fixture);
}

Test(admin_http, readyz_names_every_path_and_is_503_while_one_fails) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    struct reply reply;
    ask(&fixture, "GET", "/readyz", &reply);
    cr_assert_eq(status(&reply), 200);
    cr_assert_str_eq(reply.body, "ok metadata.write\nok events\nall ok\n");
    fixture.events_down = true;
    ask(&fixture, "GET", "/readyz?verbose", &reply);
    cr_assert_eq(status(&reply), 503);
    cr_assert_str_eq(reply.body, "ok metadata.write\nfail events: not <connected> to NATS\nnot ok\n");
    expect_status(&fixture, "GET", "/livez", 200);
    fixture.events_down = false;
    expect_status(&fixture, "GET", "/readyz", 200);
    fixture_stop(&fixture);
}

Test(admin_http, livez_is_503_while_the_process_stands_still) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    expect_status(&fixture, "GET", "/livez", 200);
    fixture.stuck = true;
    struct reply reply;
    ask(&fixture, "GET", "/livez", &reply);
    cr_assert_eq(status(&reply), 503);
    cr_assert_str_eq(reply.body, "fail committer: committer stands still\nnot ok\n");
    expect_status(&fixture, "GET", "/readyz", 200);
    fixture_stop(&fixture);
}

Test(admin_http, the_status_page_shows_checks_and_figures_escaped) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    fixture.events_down = true;
    struct reply reply;
    ask(&fixture, "GET", "/", &reply);
    cr_assert_eq(status(&reply), 200);
    cr_assert_not_null(strstr(reply.text, "Content-Type: text/html; charset=utf-8\r\n"));
    cr_assert_not_null(strstr(reply.body, "<h1>waybill-&lt;test&gt;</h1>"));
    cr_assert_not_null(strstr(reply.body, "<td>metadata.write</td><td class=ok>ok</td>"));
    cr_assert_not_null(strstr(reply.body, "<td>events</td><td class=fail>fail</td><td>not &lt;connected&gt;"));
    cr_assert_not_null(strstr(reply.body, "<tr><td>a_total{b=&quot;&lt;c&gt;&quot;}</td><td class=n>3</td></tr>"));
    cr_assert_not_null(strstr(reply.body, "<td>h_count</td>"));
    cr_assert_null(strstr(reply.body, "h_bucket"));
    fixture_stop(&fixture);
}

Test(admin_http, head_is_get_without_the_body) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    struct reply reply;
    ask(&fixture, "HEAD", "/readyz", &reply);
    cr_assert_eq(status(&reply), 200);
    cr_assert_not_null(strstr(reply.text, "Content-Length: 35\r\n"));
    cr_assert_str_eq(reply.body, "");
    fixture.events_down = true;
    expect_status(&fixture, "HEAD", "/readyz", 503);
    fixture_stop(&fixture);
}

Test(admin_http, other_methods_get_405_and_other_paths_404) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    struct reply reply;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        ask(&fixture, methods[i], "/metrics", &reply);
        cr_assert_eq(status(&reply), 405, "%s", methods[i]);
        cr_assert_not_null(strstr(reply.text, "Allow: GET, HEAD\r\n"));
    }
    static const char *const paths[] = {"/metrics/", "/x", "//", "/metrics/../livez", "/METRICS"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        expect_status(&fixture, "GET", paths[i], 404);
    }
    fixture_stop(&fixture);
}

Test(admin_http, a_body_is_refused_before_it_is_read) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    static const struct {
        const char *request;
        int status;
    } requests[] = {
        {"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", 413},
        {"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 413},
        {"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", 405},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        int fd = dial(&fixture);
        say(fd, requests[i].request);
        struct reply reply;
        hear(fd, &reply);
        cr_assert_eq(status(&reply), requests[i].status, "%s", reply.text);
    }
    fixture_stop(&fixture);
}

Test(admin_http, one_connection_may_ask_again) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    int fd = dial(&fixture);
    say(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
            "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    struct reply reply;
    hear(fd, &reply);
    cr_assert_not_null(strstr(reply.text, "ok committer\nall ok\nHTTP/1.1 200"));
    cr_assert_not_null(strstr(reply.text, "ok events\nall ok\n"));
    fixture_stop(&fixture);
}

Test(admin_http, random_bytes_do_no_harm) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    unsigned seed = 7;
    for (int round = 0; round < 300; round++) {
        char noise[1500];
        for (size_t i = 0; i < sizeof noise; i++) {
            seed = seed * 1103515245u + 12345u;
            noise[i] = (char)(seed >> 16);
        }
        if (round % 3 == 0) {
            memcpy(noise, "GET /metrics HTTP/1.1\r\n", 23); /* noise as headers */
        }
        int fd = dial(&fixture);
        /* The server may hang up in the middle. */
        ssize_t sent = send(fd, noise, sizeof noise, MSG_NOSIGNAL);
        (void)sent;
        shutdown(fd, SHUT_WR);
        char answer[4096];
        while (recv(fd, answer, sizeof answer, 0) > 0) {
        }
        close(fd);
    }
    expect_status(&fixture, "GET", "/livez", 200);
    fixture_stop(&fixture);
}

Test(admin_http, headers_without_end_are_cut_off) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    int fd = dial(&fixture);
    say(fd, "GET /metrics HTTP/1.1\r\n");
    char line[1026];
    memset(line, 'a', sizeof line);
    memcpy(line, "X: ", 3);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    int lines = 0;
    while (lines < 100000 && send(fd, line, sizeof line, MSG_NOSIGNAL) > 0) {
        lines++;
    }
    cr_assert_lt(lines, 100000, "100 MB of headers were taken");
    close(fd);
    expect_status(&fixture, "GET", "/livez", 200);
    fixture_stop(&fixture);
}

/* Whether the server hangs up, within the client's patience. */
static bool is_dropped(int fd) {
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

Test(admin_http, one_address_gets_half_of_the_connections_and_the_rest_is_closed_at_once) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    enum { ALLOWED = ADMIN_HTTP_MAX_CONNECTIONS / 2, MORE = 16 };
    int open[ALLOWED];
    for (size_t i = 0; i < ALLOWED; i++) {
        open[i] = dial(&fixture);
    }
    for (size_t i = 0; i < MORE; i++) {
        int fd = dial(&fixture);
        cr_assert(is_dropped(fd), "a connection beyond the bound was kept");
        close(fd);
    }
    struct reply reply;
    say(open[0], "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    hear(open[0], &reply);
    cr_assert_eq(status(&reply), 200);
    for (size_t i = 1; i < ALLOWED; i++) {
        close(open[i]);
    }
    fixture_stop(&fixture);
}

Test(admin_http, a_connection_that_says_nothing_is_dropped) {
    struct admin_http_options options = {.listen = "127.0.0.1:0", .service = "bare", .idle_seconds = 1};
    struct error error;
    struct fixture fixture = {.admin = admin_http_start(&options, &error)};
    cr_assert_not_null(fixture.admin);
    int fd = dial(&fixture);
    cr_assert(is_dropped(fd));
    close(fd);
    admin_http_stop(fixture.admin);
}

struct asker {
    struct fixture *fixture;
    int good;
};

static void *ask_often(void *argument) {
    struct asker *asker = argument;
    static const char *const paths[] = {"/", "/metrics", "/livez", "/readyz"};
    for (int i = 0; i < 50; i++) {
        struct reply reply;
        ask(asker->fixture, "GET", paths[i % 4], &reply);
        asker->good += status(&reply) == 200;
    }
    return NULL;
}

Test(admin_http, many_may_ask_at_once_while_the_service_counts) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    struct counter *counter = metrics_counter(fixture.metrics, "a_total", "A.", METRIC_LABELS({"b", "<c>"}));
    struct asker askers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        askers[i] = (struct asker){&fixture, 0};
        cr_assert_eq(pthread_create(&threads[i], NULL, ask_often, &askers[i]), 0);
    }
    for (int i = 0; i < 100000; i++) {
        counter_add(counter, 1);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_eq(askers[i].good, 50);
    }
    fixture_stop(&fixture);
}

Test(admin_http, an_address_that_cannot_be_had_is_an_error) {
    struct fixture fixture;
    fixture_start(&fixture, "127.0.0.1:0");
    char taken[32];
    snprintf(taken, sizeof taken, "127.0.0.1:%d", admin_http_port(fixture.admin));
    struct admin_http_options options = {.listen = taken, .service = "x"};
    struct error error;
    cr_assert_null(admin_http_start(&options, &error));
    cr_assert_eq(error.code, ERROR_UNAVAILABLE);
    cr_assert_str_eq(error.reason, "ADDRESS_IN_USE");
    cr_assert_not_null(strstr(error.message, taken));
    static const char *const bad[] = {"", "127.0.0.1", ":1", "127.0.0.1:http", "no such host:1", "[::1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options.listen = bad[i];
        cr_assert_null(admin_http_start(&options, &error), "\"%s\"", bad[i]);
        cr_assert_str_eq(error.reason, "BAD_ADDRESS");
    }
    fixture_stop(&fixture);
}

Test(admin_http, without_metrics_and_checks_it_still_answers) {
    struct admin_http_options options = {.listen = "127.0.0.1:0", .service = "bare"};
    struct error error;
    struct fixture fixture = {.admin = admin_http_start(&options, &error)};
    cr_assert_not_null(fixture.admin);
    static const char *const paths[] = {"/", "/metrics", "/livez", "/readyz"};
    for (size_t i = 0; i < 4; i++) {
        expect_status(&fixture, "GET", paths[i], 200);
    }
    admin_http_stop(fixture.admin);
    admin_http_stop(NULL);
}
