// rooms: waybill_cli
#include "cli_fixture.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

TestSuite(signals, .timeout = 120);

enum { MIB = 1 << 20 };

/* The command in a process of its own, with what main has around it. The process is this
 * program again, made by exec since neither gRPC nor the sanitizers survive a fork. */
struct child {
    pid_t pid;
    int out, err; /* to read */
};

#define COMMAND_LINE "WAYBILL_TEST_COMMAND_LINE"

/* Runs before main, which is the test runner's. */
__attribute__((constructor)) static void be_the_command(void) {
    const char *line = getenv(COMMAND_LINE);
    if (line == NULL) {
        return;
    }
    char text[4096];
    const char *argv[RUN_MAX_ARGUMENTS + 1] = {"waybill"};
    int argc = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL;) {
        argv[argc++] = word;
    }
    struct interrupt *interrupt = interrupt_start();
    struct cli_streams streams = {.in = -1, .out = stdout, .err = stderr};
    int status = cli_run(argc, argv, &streams, interrupt);
    interrupt_stop(interrupt);
    exit(status);
}

static struct child start_child(const char *line) {
    int out[2], err[2];
    cr_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    setenv(COMMAND_LINE, line, 1);
    unsetenv("BXFI_MAP"); /* tells the runner's library that this is a test */
    struct child child = {.out = out[0], .err = err[0]};
    char *argv[] = {"waybill", NULL};
    cr_assert_eq(posix_spawn(&child.pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    unsetenv(COMMAND_LINE);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    return child;
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
    struct cli_fixture fixture = cli_fixture_start();
    fake_add_object(fixture.fake, "photos", "a", bytes_of("x", 1));
    struct child child = start_child("watch photos --from 1");
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
    struct cli_fixture fixture = cli_fixture_start();
    fake_set(fixture.fake, watch_breaks_after, 2);
    for (int i = 0; i < 3; i++) {
        fake_add_object(fixture.fake, "photos", "a", bytes_of("x", 1));
    }
    struct child child = start_child("watch --json --from 1");
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
    struct cli_fixture fixture = cli_fixture_start();
    char err[4096];
    /* The object is larger than what is sent: the read waits for more. */
    static uint8_t data[4 * MIB];
    fake_add_object(fixture.fake, "photos", "a", bytes_of(data, sizeof data));
    fake_set(fixture.fake, stall_read_at, 2 * MIB);
    struct child child = start_child("get photos/a back");
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
    struct cli_fixture fixture = cli_fixture_start();
    char err[4096];
    /* Refused with a long delay, so that the retry is being waited for. */
    fake_fail(fixture.fake, FAKE_METADATA "PutRecord", 100, ERROR_UNAVAILABLE, "DRAINING");
    fake_set(fixture.fake, fail_error.retry_after_ms, 20000);
    struct child child = start_child("put --no-payload photos/a");
    while (fake_get(fixture.fake, attempts) == 0) {
        sched_yield();
    }
    kill(child.pid, SIGTERM);
    cr_assert_eq(join(&child, err), 128 + SIGTERM, "%s", err);
    cli_fixture_stop(&fixture);
}
