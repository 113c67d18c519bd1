/* A versitygw of a test's own, and a cold store in it. It keeps objects as plain files, so that the
 * suite finds them below `fixture.root`. It ends with the test, even if that crashes. */
#ifndef WAYBILL_TESTS_S3_FIXTURE_H
#define WAYBILL_TESTS_S3_FIXTURE_H

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "object-svc/cold/cold_s3.h"
#include "tests/unit/object-svc/cold/cold_fixture.h"
#include "tests/unit/object-svc/cold/s3/s3_test_options.h"

#define S3_FIXTURE_SECRET "testing-secret"

struct s3_fixture {
    char directory[64];
    char endpoint[64];
    char uploads[96];
    int port;
    pid_t server;
    struct cold_s3_options options; /* may be changed before s3_fixture_open */
};

/* Beside the source tree's build, or where a site has it; "" where it is not installed. */
static inline void s3_fixture_find(char path[1024]) {
    const char *inside = strstr(__FILE__, "tests/unit/");
    char command[2048];
    snprintf(command, sizeof command,
             "PATH=\"$PATH:%.*sbuild/tools:../../tools:/opt/tools:$HOME/go/bin\"; command -v versitygw",
             (int)(inside - __FILE__), __FILE__);
    FILE *found = popen(command, "r");
    path[0] = '\0';
    if (found != NULL && fgets(path, 1024, found) == NULL) {
        path[0] = '\0';
    }
    if (found != NULL) {
        pclose(found);
    }
    path[strcspn(path, "\n")] = '\0';
}

static inline int s3_fixture_bind(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    bool bound = bind(listener, (struct sockaddr *)&address, sizeof address) == 0;
    close(listener);
    return bound ? port : 0;
}

/* Below those that the system gives to outgoing connections. */
static inline int s3_fixture_free_port(void) {
    srand((unsigned)getpid() ^ (unsigned)time(NULL));
    int port = 0;
    while (port == 0) {
        port = s3_fixture_bind(10240 + rand() % 20000);
    }
    return port;
}

static inline bool s3_fixture_listens(const struct s3_fixture *self) {
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)self->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    bool there = connect(client, (struct sockaddr *)&address, sizeof address) == 0;
    close(client);
    return there;
}

static inline void s3_fixture_serve(struct s3_fixture *self, const char *program) {
    char address[32];
    char data[96];
    snprintf(address, sizeof address, "127.0.0.1:%d", self->port);
    snprintf(data, sizeof data, "%s/data", self->directory);
    self->server = fork();
    cr_assert(self->server >= 0);
    if (self->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, program, "--quiet", "--access", "testing-access", "--secret", S3_FIXTURE_SECRET, "--port",
              address, "posix", data, (char *)NULL);
        _exit(127);
    }
    for (int tries = 0; !s3_fixture_listens(self); tries++) {
        cr_assert(tries < 6000 && waitpid(self->server, NULL, WNOHANG) == 0, "versitygw does not start");
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

static inline void s3_fixture_stop_server(struct s3_fixture *self) {
    if (self->server > 0) {
        kill(self->server, SIGKILL);
        waitpid(self->server, NULL, 0);
    }
    self->server = 0;
}

static inline void s3_fixture_open(struct s3_fixture *self, struct cold_fixture *cold) {
    struct error error = {0};
    struct cold_store_options options = {
        .backend = "s3", .s3 = &self->options, .replica = "replica-0", .clock = &fixture_clock};
    cold->store = cold_store_open(&options, &error);
    cr_assert_not_null(cold->store, "%s", error.message);
}

/* Skips the test where there is no versitygw. */
static inline void s3_fixture_init(struct s3_fixture *self, struct cold_fixture *cold) {
    char program[1024];
    s3_fixture_find(program);
    if (program[0] == '\0') {
        /* Told to ctest, too, which counts the program as skipped. */
        fputs("versitygw is not installed (tests/install-tools makes it where Go is)\n", stderr);
        cr_skip_test("versitygw is not installed");
    }
    *self = (struct s3_fixture){.directory = "/tmp/waybill-cold-s3-XXXXXX", .port = s3_fixture_free_port()};
    cr_assert_not_null(mkdtemp(self->directory));
    fixture_shell("mkdir -p %s/data/tier%s", self->directory, "");
    snprintf(self->endpoint, sizeof self->endpoint, "http://127.0.0.1:%d", self->port);
    snprintf(self->uploads, sizeof self->uploads, "%s/uploads", self->directory);
    snprintf(cold->root, sizeof cold->root, "%.40s/data/tier/pre", self->directory);
    self->options = (struct cold_s3_options){
        .client = s3_test_options(self->endpoint, S3_FIXTURE_SECRET),
        .prefix = "pre",
        .part_bytes = 5 << 20,
        .parallel_parts = 3,
        .upload_bytes = 10 << 20,
        .ahead_bytes = 16 << 20,
        .uploads_directory = self->uploads,
    };
    self->options.client.connect_timeout_ms = 5000;
    self->options.client.stall_timeout_ms = 15000;
    self->options.client.connections = 8;
    cold->large_bytes = (UINT64_C(12) << 20) + 7;
    s3_fixture_serve(self, program);
    s3_fixture_open(self, cold);
}

static inline void s3_fixture_end(struct s3_fixture *self, struct cold_fixture *cold) {
    if (cold->store != NULL) {
        cold_store_close(cold->store);
    }
    s3_fixture_stop_server(self);
    if (self->directory[0] != '\0') {
        fixture_shell("rm -rf %s%s", self->directory, "");
    }
}

#endif
