// rooms: waybill_cli
#include "cli_fixture.h"

#include <signal.h>
#include <sys/wait.h>

TestSuite(signals, .timeout = 120);

enum { MIB = 1 << 20 };

/* The command in a process of its own, with what main has around it. It is forked before the
 * services begin, since gRPC does not survive a fork, and told their address by a pipe. */
struct child {
    pid_t pid;
    int address;  /* to write */
    int out, err; /* to read */
};

static void be_child(int address, int out, int err, const char *line) {
    char text[4096];
    char where[32] = "";
    const char *argv[RUN_MAX_ARGUMENTS + 1] = {"waybill"};
    int argc = 1;
    ssize_t got = read(address, where, sizeof where - 1);
    if (got <= 0) {
        _exit(99);
    }
    setenv("WAYBILL_METADATA", where, 1);
    setenv("WAYBILL_BULK", where, 1);
    setenv("WAYBILL_OBJECT", where, 1);
    snprintf(text, sizeof text, "%s", line);
    for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL;) {
        argv[argc++] = word;
    }
    struct interrupt *interrupt = interrupt_start();
    struct cli_streams streams = {.in = -1, .out = fdopen(out, "w"), .err = fdopen(err, "w")};
    int status = cli_run(argc, argv, &streams, interrupt);
    interrupt_stop(interrupt);
    fflush(streams.err);
    _exit(status);
}

static struct child start_child(const char *line) {
    int address[2], out[2], err[2];
    cr_assert(pipe2(address, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    struct child child = {.pid = fork(), .address = address[1], .out = out[0], .err = err[0]};
    cr_assert_geq(child.pid, 0);
    if (child.pid == 0) {
        close(address[1]);
        be_child(address[0], out[1], err[1], line);
    }
    close(address[0]);
    close(out[1]);
    close(err[1]);
    return child;
}

static void let_go(struct child *child, const struct fake_services *fake) {
    size_t size = strlen(fake->address);
    cr_assert_eq(write(child->address, fake->address, size), (ssize_t)size);
    close(child->address);
}

/* The exit status, and what it wrote to standard error. */
static int join(struct child *child, char err[4096]) {
    size_t size = 0;
    for (ssize_t got; (got = read(child->err, err + size, 4095 - size)) > 0; size += (size_t)got) {
    }
    err[size] = '\0';
    int status;
    cr_assert_eq(waitpid(child->pid, &status, 0), child->pid);
    close(child->err);
    close(child->out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void read_line(int fd, char line[256]) {
    size_t size = 0;
    while (size < 255 && read(fd, line + size, 1) == 1 && line[size] != '\n') {
        size++;
    }
    line[size] = '\0';
}

Test(signals, a_watch_prints_changes_and_ends_well_on_sigint) {
    struct child child = start_child("watch photos --from 1");
    struct cli_fixture fixture = cli_fixture_start();
    fake_add_object(fixture.fake, "photos", "a", bytes_of("x", 1));
    let_go(&child, fixture.fake);
    char line[256];
    char err[4096];
    read_line(child.out, line);
    cr_assert_str_eq(line, "       1  -                         STAGED          photos/a  version 1  STAGED");
    fake_add_object(fixture.fake, "photos", "b", bytes_of("x", 1));
    read_line(child.out, line);
    cr_assert_not_null(strstr(line, "photos/b"), "%s", line);
    kill(child.pid, SIGINT);
    cr_assert_eq(join(&child, err), CLI_OK, "%s", err);
    cr_assert_str_eq(err, "");
    cli_fixture_stop(&fixture);
}

Test(signals, a_watch_connects_again_and_prints_json_lines) {
    struct child child = start_child("watch --json --from 1");
    struct cli_fixture fixture = cli_fixture_start();
    fixture.fake->watch_breaks_after = 2;
    for (int i = 0; i < 3; i++) {
        fake_add_object(fixture.fake, "photos", "a", bytes_of("x", 1));
    }
    let_go(&child, fixture.fake);
    for (int i = 1; i <= 3; i++) {
        char line[512];
        char expected[32];
        read_line(child.out, line);
        snprintf(expected, sizeof expected, "\"revision\":\"%d\"", i);
        cr_assert_not_null(strstr(line, expected), "%s", line);
    }
    char err[4096];
    kill(child.pid, SIGINT);
    cr_assert_eq(join(&child, err), CLI_OK, "%s", err);
    cli_fixture_stop(&fixture);
}

Test(signals, an_interrupted_get_leaves_no_file) {
    struct child child = start_child("get photos/a back");
    struct cli_fixture fixture = cli_fixture_start();
    char err[4096];
    /* The object is larger than what is sent: the read waits for more. */
    static uint8_t data[4 * MIB];
    fake_add_object(fixture.fake, "photos", "a", bytes_of(data, sizeof data));
    fixture.fake->stall_read_at = 2 * MIB;
    let_go(&child, fixture.fake);
    pthread_mutex_lock(&fixture.fake->lock);
    while (!fixture.fake->stalled) {
        pthread_cond_wait(&fixture.fake->changed, &fixture.fake->lock);
    }
    pthread_mutex_unlock(&fixture.fake->lock);
    kill(child.pid, SIGINT);
    cr_assert_eq(join(&child, err), CLI_INTERRUPTED, "%s", err);
    cr_assert_str_eq(err, "waybill: get: interrupted\n");
    cr_assert_eq(count_files(), 0);
    cli_fixture_stop(&fixture);
}

Test(signals, an_interrupted_wait_ends_at_once) {
    struct child child = start_child("put --no-payload photos/a");
    struct cli_fixture fixture = cli_fixture_start();
    char err[4096];
    /* Refused with a long delay, so that the retry is being waited for. */
    fake_fail(fixture.fake, FAKE_METADATA "PutRecord", 100, ERROR_UNAVAILABLE, "DRAINING");
    fixture.fake->fail_error.retry_after_ms = 20000;
    let_go(&child, fixture.fake);
    for (bool seen = false; !seen;) {
        pthread_mutex_lock(&fixture.fake->lock);
        seen = fixture.fake->attempts > 0;
        pthread_mutex_unlock(&fixture.fake->lock);
        sched_yield();
    }
    kill(child.pid, SIGTERM);
    cr_assert_eq(join(&child, err), 128 + SIGTERM, "%s", err);
    cli_fixture_stop(&fixture);
}
