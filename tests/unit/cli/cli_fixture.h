/* What the tests of the command line share: runs of it in this process against services in
 * memory, and in a process of its own where signals matter. */
#ifndef WAYBILL_TESTS_CLI_FIXTURE_H
#define WAYBILL_TESTS_CLI_FIXTURE_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "tests/unit/common/client/fake_services.h"

enum { RUN_MAX_ARGUMENTS = 32 };

struct run {
    int status;
    char *out, *err;
    size_t out_size, err_size;
};

__attribute__((unused)) static void run_free(struct run *run) {
    free(run->out);
    free(run->err);
}

/* Words separated by blanks, given as one format. No quoting. */
__attribute__((format(printf, 3, 0))) static inline int run_split(char *text, const char **argv, const char *format,
                                                                  va_list args) {
    int argc = 0;
    vsnprintf(text, 4096, format, args);
    argv[argc++] = "waybill";
    for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL;) {
        cr_assert_lt(argc, RUN_MAX_ARGUMENTS);
        if (word[0] != '\0') {
            argv[argc++] = word;
        }
    }
    argv[argc] = NULL;
    return argc;
}

__attribute__((unused, format(printf, 2, 3))) static struct run run_with_input(int in, const char *format, ...) {
    char text[4096];
    const char *argv[RUN_MAX_ARGUMENTS + 1];
    va_list args;
    va_start(args, format);
    int argc = run_split(text, argv, format, args);
    va_end(args);
    struct run run = {0};
    /* Files, not memory streams: some output goes around stdio. */
    FILE *out = tmpfile();
    FILE *err = tmpfile();
    struct cli_streams streams = {.in = in, .out = out, .err = err};
    run.status = cli_run(argc, argv, &streams, NULL);
    FILE *files[] = {out, err};
    char **texts[] = {&run.out, &run.err};
    size_t *sizes[] = {&run.out_size, &run.err_size};
    for (int i = 0; i < 2; i++) {
        fflush(files[i]);
        struct stat status;
        fstat(fileno(files[i]), &status);
        *sizes[i] = (size_t)status.st_size;
        *texts[i] = calloc(1, *sizes[i] + 1);
        cr_assert_eq(pread(fileno(files[i]), *texts[i], *sizes[i], 0), (ssize_t)*sizes[i]);
        fclose(files[i]);
    }
    return run;
}

#define run_waybill(...) run_with_input(-1, __VA_ARGS__)

/* A run whose output does not matter. */
#define run_status(...)                                                                                                \
    __extension__({                                                                                                    \
        struct run run_ = run_waybill(__VA_ARGS__);                                                                    \
        run_free(&run_);                                                                                               \
        run_.status;                                                                                                   \
    })

#define assert_run(run_, status_)                                                                                      \
    cr_assert_eq((run_).status, (status_), "status %d\n%s%s", (run_).status, (run_).out, (run_).err)

/* ---- services and files ---- */

struct cli_fixture {
    struct fake_services *fake;
    char directory[32]; /* a temporary one, the working directory */
};

__attribute__((unused)) static struct cli_fixture cli_fixture_start(void) {
    struct cli_fixture fixture = {.fake = fake_services_start(), .directory = "/tmp/waybill-cli-XXXXXX"};
    cr_assert_not_null(mkdtemp(fixture.directory));
    cr_assert_eq(chdir(fixture.directory), 0);
    setenv("WAYBILL_METADATA", fixture.fake->address, 1);
    setenv("WAYBILL_BULK", fixture.fake->address, 1);
    setenv("WAYBILL_OBJECT", fixture.fake->address, 1);
    fake_add_bucket(fixture.fake, "photos", -1);
    return fixture;
}

__attribute__((unused)) static void cli_fixture_stop(struct cli_fixture *fixture) {
    char command[64];
    cr_assert_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -r %s", fixture->directory);
    cr_assert_eq(system(command), 0);
    fake_services_stop(fixture->fake);
}

/* A file in the working directory whose n-th byte is n. */
__attribute__((unused)) static void make_file(const char *name, size_t size) {
    FILE *file = fopen(name, "we");
    cr_assert_not_null(file);
    for (size_t i = 0; i < size; i++) {
        putc((uint8_t)i, file);
    }
    cr_assert_eq(fclose(file), 0);
}

/* Whether the file holds just that. */
__attribute__((unused)) static bool file_is(const char *name, size_t first, size_t size) {
    FILE *file = fopen(name, "re");
    bool good = file != NULL;
    for (size_t i = 0; good && i < size; i++) {
        good = getc(file) == (uint8_t)(first + i);
    }
    good = good && getc(file) == EOF;
    if (file != NULL) {
        fclose(file);
    }
    return good;
}

/* Names in the working directory, without "." and "..". */
__attribute__((unused)) static unsigned count_files(void) {
    FILE *list = popen("ls -A | wc -l", "re");
    unsigned count = 0;
    cr_assert_eq(fscanf(list, "%u", &count), 1);
    pclose(list);
    return count;
}

#endif
