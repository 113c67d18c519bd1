// rooms: object_s3
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/object-svc/cold/s3/s3_test_options.h"

/* A server that answers each request with `answer`, or, where that is empty, never. */
static int listener;
static const char *answer;
static pthread_t server;
static pthread_barrier_t heard; /* of the first request */
static struct s3_client *client;
static atomic_bool all_given_up;

static void *serve(void *unused) {
    (void)unused;
    char request[4096];
    int connection = accept(listener, NULL, NULL);
    bool first = true;
    while (connection >= 0 && recv(connection, request, sizeof request, 0) > 0) {
        cr_assert_eq(send(connection, answer, strlen(answer), MSG_NOSIGNAL), (ssize_t)strlen(answer));
        if (first) {
            pthread_barrier_wait(&heard);
        }
        first = false;
    }
    close(connection);
    return NULL;
}

static void start(const char *with) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    struct error error = {0};
    char endpoint[64];
    answer = with;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 8), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", ntohs(address.sin_port));
    struct s3_options options = s3_test_options(endpoint, "testing-secret");
    options.connect_timeout_ms = 600000;
    options.stall_timeout_ms = 600000;
    options.connections = 2;
    options.given_up = &all_given_up;
    client = s3_client_new(&options, &error);
    cr_assert_not_null(client, "%s", error.message);
    pthread_barrier_init(&heard, NULL, 2);
    cr_assert_eq(pthread_create(&server, NULL, serve, NULL), 0);
}

static void end(void) {
    s3_client_free(client);
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(listener);
    pthread_barrier_destroy(&heard);
}

static atomic_bool given_up;

static void *ask(void *argument) {
    struct s3_request request = {.method = "GET", .key = "k", .query = "", .given_up = argument};
    struct s3_answer got;
    struct error error = {0};
    cr_assert_not(s3_client_do(client, &request, &got, &error));
    cr_assert_eq(error.code, ERROR_UNAVAILABLE);
    cr_assert_str_eq(error.reason, "DRAINING", "%s: %s", error.reason, error.message);
    s3_answer_free(&got);
    return NULL;
}

static pthread_t ask_beside(atomic_bool *gives_up) {
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, ask, gives_up), 0);
    pthread_barrier_wait(&heard);
    return thread;
}

Test(s3_client, given_up_it_ends_requests_that_hang_and_those_that_come, .timeout = 60) {
    start("");
    pthread_t thread = ask_beside(NULL);
    atomic_store(&all_given_up, true);
    pthread_join(thread, NULL);
    ask(NULL);
    end();
}

Test(s3_client, given_up_it_ends_the_wait_that_a_server_asks_for, .timeout = 60) {
    start("HTTP/1.1 503 Slow Down\r\nRetry-After: 4\r\nContent-Length: 0\r\n\r\n");
    pthread_t thread = ask_beside(NULL);
    atomic_store(&all_given_up, true);
    pthread_join(thread, NULL);
    end();
}

Test(s3_client, a_request_that_hangs_can_be_given_up, .timeout = 60) {
    start("");
    pthread_t thread = ask_beside(&given_up);
    atomic_store(&given_up, true);
    pthread_join(thread, NULL);
    end();
}
