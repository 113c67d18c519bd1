// rooms: waybill_base
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/config.h"

enum color { COLOR_RED, COLOR_GREEN };

struct thing {
    char *name;
    char *derived;
    int64_t threads;
    int64_t spool_bytes;
    int64_t wait_ms;
    bool eager;
    enum color color;
};

static const char *const colors[] = {"red", "green", NULL};

static const struct config_entry entries[] = {
    CONFIG_STRING(struct thing, name, "name", .initial = "n0", .format = &config_format_token, .help = "A name"),
    CONFIG_STRING(struct thing, derived, "derived", .initial = "", .derived = "<name>/x",
                  .format = &config_format_optional_path, .help = "A path"),
    CONFIG_INT(struct thing, threads, "threads", .initial = "4", .min = -2, .max = 64, .unit = "threads",
               .help = "How many"),
    CONFIG_SIZE(struct thing, spool_bytes, "spool_bytes", .initial = "8KiB", .min = 1, .max = 1LL << 40, .help = "Big"),
    CONFIG_DURATION(struct thing, wait_ms, "wait", .initial = "1s", .min = 0, .max = 86400000, .help = "Long"),
    CONFIG_BOOL(struct thing, eager, "eager", .initial = "false", .help = "Whether | or not"),
    CONFIG_ENUM(struct thing, color, "color", .initial = "green", .choices = colors, .help = "Which"),
};

static bool complete(void *values, struct error *error) {
    struct thing *thing = values;
    if (strcmp(thing->name, "forbidden") == 0) {
        return error_set_field(error, "name", "BAD_CONFIG", "name: forbidden");
    }
    if (*thing->derived == '\0') {
        char path[64];
        snprintf(path, sizeof path, "%s/x", thing->name);
        config_set_string(&thing->derived, path);
    }
    return true;
}

static const struct config_table table = {
    .program = "thing",
    .summary = "Does things.",
    .entries = entries,
    .count = sizeof entries / sizeof entries[0],
    .complete = complete,
};

static const char *const no_variables[] = {NULL};
static char file_path[64];

/* A configuration file that the test's end removes. */
static const char *write_file(const void *text, size_t size) {
    strcpy(file_path, "/tmp/waybill-config-XXXXXX");
    int fd = mkstemp(file_path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, size), (ssize_t)size);
    close(fd);
    return file_path;
}

static void remove_file(void) {
    if (*file_path != '\0') {
        unlink(file_path);
    }
}

TestSuite(config, .fini = remove_file);

struct outcome {
    bool ok;
    struct thing thing;
    enum config_action action;
    struct error error;
};

/* Loads with a NULL-ended list of flags. */
static struct outcome load(const char *const *variables, const char *const *flags) {
    const char *argv[16] = {"thing"};
    int argc = 1;
    while (flags[argc - 1] != NULL) {
        argv[argc] = flags[argc - 1];
        argc++;
    }
    struct outcome outcome = {0};
    outcome.ok = config_load(&table, argc, argv, variables, &outcome.thing, NULL, &outcome.action, &outcome.error);
    return outcome;
}

#define FLAGS(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define VARIABLES(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct outcome load_text(const char *text) {
    return load(no_variables, FLAGS("--config", write_file(text, strlen(text))));
}

static void expect_error(const struct outcome *outcome, const char *part) {
    cr_assert_not(outcome->ok, "expected an error with: %s", part);
    cr_assert_not_null(strstr(outcome->error.message, part), "\"%s\" is not in \"%s\"", part, outcome->error.message);
    cr_assert_eq(outcome->error.code, ERROR_INVALID_ARGUMENT);
    cr_assert_str_eq(outcome->error.reason, "BAD_CONFIG");
    cr_assert_null(outcome->thing.name, "nothing is left to free");
}

Test(config, without_sources_every_key_has_its_default) {
    struct outcome outcome = load(no_variables, FLAGS());
    cr_assert(outcome.ok);
    cr_assert_eq(outcome.action, CONFIG_RUN);
    cr_assert_str_eq(outcome.thing.name, "n0");
    cr_assert_str_eq(outcome.thing.derived, "n0/x");
    cr_assert_eq(outcome.thing.threads, 4);
    cr_assert_eq(outcome.thing.spool_bytes, 8192);
    cr_assert_eq(outcome.thing.wait_ms, 1000);
    cr_assert_not(outcome.thing.eager);
    cr_assert_eq(outcome.thing.color, COLOR_GREEN);
    config_free(&table, &outcome.thing);
}

Test(config, flags_win_over_variables_over_file_over_defaults) {
    const char *path = write_file("name: f\nthreads: 1\nwait: 1m\n", 28);
    struct outcome outcome =
        load(VARIABLES("WAYBILL_NAME=e", "WAYBILL_THREADS=2"), FLAGS("--config", path, "--name", "a"));
    cr_assert(outcome.ok, "%s", outcome.error.message);
    cr_assert_str_eq(outcome.thing.name, "a");
    cr_assert_eq(outcome.thing.threads, 2);
    cr_assert_eq(outcome.thing.wait_ms, 60000);
    cr_assert_eq(outcome.thing.spool_bytes, 8192);
    config_free(&table, &outcome.thing);
}

Test(config, the_file_may_be_named_by_a_variable) {
    char variable[96];
    snprintf(variable, sizeof variable, "WAYBILL_CONFIG=%s", write_file("name: f\n", 8));
    struct outcome outcome = load(VARIABLES(variable), FLAGS());
    cr_assert(outcome.ok, "%s", outcome.error.message);
    cr_assert_str_eq(outcome.thing.name, "f");
    config_free(&table, &outcome.thing);
}

Test(config, a_flag_may_join_its_value_and_the_last_one_counts) {
    struct outcome outcome =
        load(no_variables, FLAGS("--spool-bytes=64KiB", "--spool-bytes", "1MiB", "--threads", "-2"));
    cr_assert(outcome.ok, "%s", outcome.error.message);
    cr_assert_eq(outcome.thing.spool_bytes, 1 << 20);
    cr_assert_eq(outcome.thing.threads, -2);
    config_free(&table, &outcome.thing);
}

Test(config, sizes_take_binary_units) {
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"1", 1},           {"512", 512},           {"7B", 7},
                {"3KiB", 3072},     {"64 MiB", 64LL << 20}, {"8GiB", 8LL << 30},
                {"1TiB", 1LL << 40}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct outcome outcome = load(no_variables, FLAGS("--spool-bytes", good[i].text));
        cr_assert(outcome.ok, "%s", outcome.error.message);
        cr_assert_eq(outcome.thing.spool_bytes, good[i].bytes, "%s", good[i].text);
        config_free(&table, &outcome.thing);
    }
    static const char *const bad[] = {"",
                                      "0",
                                      "-1",
                                      "x",
                                      "1.5GiB",
                                      "3KB",
                                      "3kib",
                                      "3 K iB",
                                      "0x10",
                                      "1TiB1",
                                      "+1",
                                      " 1",
                                      "2TiB",
                                      "9223372036854775807GiB",
                                      "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct outcome outcome = load(no_variables, FLAGS("--spool-bytes", bad[i]));
        expect_error(&outcome, "--spool-bytes: found \"");
        expect_error(&outcome, "allowed: a size from 1 to 1TiB, such as");
    }
}

Test(config, durations_take_units_and_need_one) {
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0}, {"0s", 0}, {"250ms", 250}, {"10s", 10000}, {"5m", 300000}, {"24h", 86400000}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct outcome outcome = load(no_variables, FLAGS("--wait", good[i].text));
        cr_assert(outcome.ok, "%s", outcome.error.message);
        cr_assert_eq(outcome.thing.wait_ms, good[i].ms, "%s", good[i].text);
        config_free(&table, &outcome.thing);
    }
    static const char *const bad[] = {"10", "1d", "25h", "-1s", "1h30m", "s", "0x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct outcome outcome = load(no_variables, FLAGS("--wait", bad[i]));
        expect_error(&outcome, "--wait: found \"");
        expect_error(&outcome, "allowed: a duration from 0 to 24h");
    }
}

Test(config, wrong_types_say_where_what_and_what_is_allowed) {
    struct outcome outcome = load(no_variables, FLAGS("--threads", "many"));
    expect_error(&outcome, "--threads: found \"many\"; allowed: a whole number of threads from -2 to 64");
    cr_assert_str_eq(outcome.error.field, "threads");
    outcome = load(VARIABLES("WAYBILL_SPOOL_BYTES=1Gb"), FLAGS());
    expect_error(&outcome, "WAYBILL_SPOOL_BYTES: found \"1Gb\"; allowed: a size");
    outcome = load_text("name: a\n\ncolor: blue\n");
    char place[160];
    snprintf(place, sizeof place, "%s:3: color: found \"blue\"; allowed: red or green", file_path);
    expect_error(&outcome, place);
    outcome = load(no_variables, FLAGS("--eager", "yes"));
    expect_error(&outcome, "--eager: found \"yes\"; allowed: true or false");
    outcome = load(no_variables, FLAGS("--name", "a b"));
    expect_error(&outcome, "--name: found \"a b\"; allowed: 1 to 32 of");
}

Test(config, a_range_ends_where_it_says) {
    static const char *const good[] = {"-2", "64", "007"};
    for (size_t i = 0; i < 3; i++) {
        struct outcome outcome = load(no_variables, FLAGS("--threads", good[i]));
        cr_assert(outcome.ok, "%s", good[i]);
        config_free(&table, &outcome.thing);
    }
    static const char *const bad[] = {"-3", "65", "9223372036854775808", "1KiB", "1 threads", "-"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct outcome outcome = load(no_variables, FLAGS("--threads", bad[i]));
        expect_error(&outcome, "--threads: found");
    }
}

Test(config, a_bad_value_is_an_error_even_where_a_higher_source_overrides_it) {
    struct outcome outcome = load(VARIABLES("WAYBILL_THREADS=x"), FLAGS("--threads", "1"));
    expect_error(&outcome, "WAYBILL_THREADS: found \"x\"");
}

Test(config, unknown_keys_and_flags_are_errors_with_the_nearest_name) {
    struct outcome outcome = load_text("name: a\nspool_byte: 1\n");
    expect_error(&outcome, ":2: spool_byte: unknown key; did you mean spool_bytes?");
    outcome = load(no_variables, FLAGS("--spool-byte=3"));
    expect_error(&outcome, "--spool-byte=3: unknown flag; did you mean --spool-bytes?");
    outcome = load(no_variables, FLAGS("--spool", "3"));
    expect_error(&outcome, "--spool: unknown flag");
    outcome = load(no_variables, FLAGS("--nothing-like-any-of-them"));
    cr_assert_null(strstr(outcome.error.message, "did you mean"));
    outcome = load(no_variables, FLAGS("--threads"));
    expect_error(&outcome, "--threads: has no value behind it");
    outcome = load(no_variables, FLAGS("start"));
    expect_error(&outcome, "start: not a flag");
}

Test(config, unknown_variables_are_warned_of_but_service_links_are_not) {
    cr_redirect_stderr();
    struct outcome outcome = load(VARIABLES("WAYBILL_TYPO=1", "WAYBILL_METADATA_SERVICE_HOST=10.0.0.1",
                                            "WAYBILL_METADATA_PORT_7070_TCP=tcp://10.0.0.1:7070",
                                            "WAYBILL_METADATA_PORT=tcp://10.0.0.1:7070", "WAYBILL_NAME=known"),
                                  FLAGS());
    cr_assert(outcome.ok);
    fflush(stderr);
    FILE *written = cr_get_redirected_stderr();
    char text[1024] = "";
    size_t size = fread(text, 1, sizeof text - 1, written);
    text[size] = '\0';
    cr_assert_not_null(strstr(text, "\"WAYBILL_TYPO\""));
    cr_assert_null(strstr(text, "WAYBILL_METADATA"));
    cr_assert_null(strstr(text, "WAYBILL_NAME"));
    config_free(&table, &outcome.thing);
}

Test(config, what_the_keys_mean_together_is_checked) {
    struct outcome outcome = load(no_variables, FLAGS("--name", "forbidden"));
    expect_error(&outcome, "name: forbidden");
}

Test(config, control_characters_and_broken_utf8_are_refused) {
    static const char *const bad[] = {"a\nb", "a\x7f", "a\xff", "a\xc2\x9b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct outcome outcome = load(no_variables, FLAGS("--derived", bad[i]));
        expect_error(&outcome, "--derived: found \"a?");
    }
    struct outcome outcome = load(no_variables, FLAGS("--derived", "/sp ace/\xc3\xbc"));
    cr_assert(outcome.ok, "%s", outcome.error.message);
    config_free(&table, &outcome.thing);
}

Test(config, actions_are_told_and_help_wins) {
    cr_assert_eq(load(no_variables, FLAGS("--version")).action, CONFIG_VERSION);
    cr_assert_eq(load(no_variables, FLAGS("--help", "--check-config")).action, CONFIG_HELP);
    cr_assert_eq(load(no_variables, FLAGS("--print-config-docs")).action, CONFIG_DOCS);
    struct outcome outcome = load(no_variables, FLAGS("--check-config", "--threads", "3"));
    cr_assert_eq(outcome.action, CONFIG_CHECK);
    cr_assert_eq(outcome.thing.threads, 3);
    config_free(&table, &outcome.thing);
}

/* ---- printing ---- */

static char *print_yaml(const struct thing *thing) {
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    config_print_yaml(&table, thing, NULL, out);
    fclose(out);
    return text;
}

Test(config, what_check_config_prints_reads_back_as_the_same) {
    struct outcome first = load(no_variables, FLAGS("--derived", "/a \"b\" \\ #c: \xc3\xbc", "--spool-bytes", "1536",
                                                    "--wait", "90s", "--eager", "true", "--color", "red"));
    cr_assert(first.ok, "%s", first.error.message);
    char *text = print_yaml(&first.thing);
    struct outcome second = load_text(text);
    cr_assert(second.ok, "%s in\n%s", second.error.message, text);
    char *again = print_yaml(&second.thing);
    cr_assert_str_eq(text, again);
    cr_assert_str_eq(second.thing.derived, first.thing.derived);
    cr_assert_not_null(strstr(text, "wait: 90s\n"));
    cr_assert_not_null(strstr(text, "spool_bytes: 1536\n"));
    free(text);
    free(again);
    config_free(&table, &first.thing);
    config_free(&table, &second.thing);
}

Test(config, check_config_prints_each_value_with_its_source_and_exits_0) {
    setenv("WAYBILL_THREADS", "9", 1);
    char *argv[] = {"thing", "--config", (char *)write_file("wait: 5s\n", 9), "--check-config", "--name", "me", NULL};
    struct thing thing;
    int status = -1;
    cr_redirect_stdout();
    cr_assert_not(config_start(&table, 6, argv, &thing, &status));
    cr_assert_eq(status, 0);
    cr_assert_stdout_eq_str("name: \"me\"  # --name\n"
                            "derived: \"me/x\"  # default\n"
                            "threads: 9  # WAYBILL_THREADS\n"
                            "spool_bytes: 8KiB  # default\n"
                            "wait: 5s  # line 1 of the file\n"
                            "eager: false  # default\n"
                            "color: green  # default\n");
}

Test(config, a_bad_configuration_exits_2_and_says_why) {
    char *argv[] = {"thing", "--threads", "x", NULL};
    struct thing thing;
    int status = -1;
    cr_redirect_stderr();
    cr_assert_not(config_start(&table, 3, argv, &thing, &status));
    cr_assert_eq(status, 2);
    cr_assert_stderr_eq_str("thing: --threads: found \"x\"; allowed: a whole number of threads from -2 to 64\n"
                            "thing: see --help for every key\n");
}

Test(config, help_names_every_key_and_exits_0) {
    char *argv[] = {"thing", "--help", NULL};
    struct thing thing;
    int status = -1;
    cr_redirect_stdout();
    cr_assert_not(config_start(&table, 2, argv, &thing, &status));
    cr_assert_eq(status, 0);
    fflush(stdout);
    char text[8192] = "";
    size_t size = fread(text, 1, sizeof text - 1, cr_get_redirected_stdout());
    text[size] = '\0';
    static const char *const flags[] = {
        "--name=",  "--derived=", "--threads=",     "--spool-bytes=", "--wait=", "--eager=",
        "--color=", "--config=",  "--check-config", "--version",      "--help",  "Does things."};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        cr_assert_not_null(strstr(text, flags[i]), "%s is missing in\n%s", flags[i], text);
    }
}

Test(config, docs_have_one_row_a_key_with_bars_escaped) {
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    config_print_docs(&table, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "| `derived` | `<name>/x` | a path of at most 1024 bytes, or empty | A path |\n"));
    cr_assert_not_null(strstr(text, "| `eager` | `false` | true or false | Whether \\| or not |\n"));
    free(text);
}

/* ---- the file's form ---- */

Test(config, nested_mappings_mean_joined_keys) {
    struct outcome outcome = load_text("spool:\n  bytes: 2KiB\nthreads: '3'\n");
    cr_assert(outcome.ok, "%s", outcome.error.message);
    cr_assert_eq(outcome.thing.spool_bytes, 2048);
    cr_assert_eq(outcome.thing.threads, 3);
    config_free(&table, &outcome.thing);
}

Test(config, an_empty_file_changes_nothing) {
    static const char *const texts[] = {"", "# only words\n", "---\n", "{}\n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct outcome outcome = load_text(texts[i]);
        cr_assert(outcome.ok, "%s", outcome.error.message);
        cr_assert_str_eq(outcome.thing.name, "n0");
        config_free(&table, &outcome.thing);
        remove_file();
    }
}

Test(config, what_is_no_flat_yaml_is_refused_with_its_line) {
    static const struct {
        const char *text;
        const char *problem;
    } bad[] = {
        {"name: a\nname: b\n", ":2: name: given twice, first in line 1"},
        {"spool_bytes: 1\nspool: {bytes: 2}\n", ":2: spool_bytes: given twice, first in line 1"},
        {"name:\n", ":1: name: has no value"},
        {"name: null\n", ":1: name: has no value"},
        {"threads: [1, 2]\n", ":1: threads: found a list"},
        {"- name\n", ":1: found no mapping"},
        {"just words\n", ":1: found no mapping"},
        {"name: a\n---\nname: b\n", ":2: found a second document"},
        {"name: &x a\n", ":1: name: anchors"},
        {"derived: *x\n", ":1: derived: found a list or an alias"},
        {"name: \"a\\0b\"\n", ":1: name: anchors and NUL"},
        {"a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}\n", ":1: nested too deeply"},
        {"name: a\n}: 3\n", ":2: not YAML: "},
        {"name: \"a\n", "not YAML: "},
        {"name: a\n\x01", "not YAML: "},
        {"name: a\nt\xff: 1\n", "not YAML: "},
        {"? [a]\n: 1\n", ":1: found a key that is not a name"},
        {"\"a\\e[31m\": 1\n", ":1: found a key that is not a name"},
        {"a_key_that_goes_on_and_on_and_on_and_on_and_on_and_on_and_on_and_on_and_on: 1\n",
         ":1: found a key that is longer"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct outcome outcome = load_text(bad[i].text);
        expect_error(&outcome, bad[i].problem);
        remove_file();
    }
}

Test(config, a_file_that_cannot_be_read_is_named) {
    struct outcome outcome = load(no_variables, FLAGS("--config", "/nonexistent/waybill.yaml"));
    expect_error(&outcome, "/nonexistent/waybill.yaml: No such file");
    outcome = load(no_variables, FLAGS("--config", "/tmp"));
    expect_error(&outcome, "/tmp: Is a directory");
}

Test(config, an_endless_file_is_not_read_to_its_end) {
    struct outcome outcome = load(no_variables, FLAGS("--config", "/dev/zero"));
    expect_error(&outcome, "/dev/zero: longer than 1 MiB");
}

Test(config, a_damaged_file_is_read_or_refused_but_never_worse) {
    static const char good[] = "name: a\nspool:\n  bytes: \"2KiB\"\nwait: 5s # c\ncolor: red\neager: true\n";
    unsigned seed = 1;
    for (int round = 0; round < 2000; round++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        for (int change = 0; change < 3; change++) {
            seed = seed * 1103515245u + 12345u;
            text[(seed >> 16) % (sizeof good - 1)] = (char)(seed >> 8);
        }
        struct outcome outcome = load(no_variables, FLAGS("--config", write_file(text, sizeof good - 1)));
        remove_file();
        if (outcome.ok) {
            config_free(&table, &outcome.thing);
        } else {
            cr_assert(strncmp(outcome.error.message, file_path, strlen(file_path)) == 0, "%s", outcome.error.message);
        }
    }
}

/* ---- forms of strings ---- */

static void expect_format(const struct config_format *format, bool fits, const char *text) {
    cr_assert_eq(format->matches(text), fits, "\"%s\" should%s be %s", text, fits ? "" : " not", format->allowed);
}

Test(config, formats_tell_good_from_bad) {
    static const char *const addresses[] = {"127.0.0.1:0", "localhost:65535", "[::1]:80", "a-b.c_d:1"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        expect_format(&config_format_address, true, addresses[i]);
        expect_format(&config_format_target, true, addresses[i]);
    }
    static const char *const no_addresses[] = {"",       ":1",    "a",     "a:",    "a:65536", "a:-1",   "a:b",
                                               "::1:80", "[]:80", "[::1]", "a b:1", "a:1 ",    "[g::]:1"};
    for (size_t i = 0; i < sizeof no_addresses / sizeof no_addresses[0]; i++) {
        expect_format(&config_format_address, false, no_addresses[i]);
        expect_format(&config_format_target, false, no_addresses[i]);
    }
    expect_format(&config_format_optional_address, true, "");
    expect_format(&config_format_optional_address, false, "x");
    expect_format(&config_format_target, true, "dns:///metadata:7070");
    expect_format(&config_format_target, true, "unix:/run/x");
    expect_format(&config_format_target, false, "dns:");
    expect_format(&config_format_target, false, "http://x:1");
    expect_format(&config_format_token, true, "aA0_-aA0_-aA0_-aA0_-aA0_-aA0_-aA");
    expect_format(&config_format_token, false, "aA0_-aA0_-aA0_-aA0_-aA0_-aA0_-aAx");
    expect_format(&config_format_token, false, "a.b");
    expect_format(&config_format_token, false, "");
    expect_format(&config_format_host_name, true, "object-svc-0.waybill");
    expect_format(&config_format_host_name, false, "");
    expect_format(&config_format_nats_urls, true, "nats://127.0.0.1:4222");
    expect_format(&config_format_nats_urls, true, "nats://u:p@a:4222,tls://b:4222");
    expect_format(&config_format_nats_urls, false, "127.0.0.1:4222");
    expect_format(&config_format_nats_urls, false, "nats://a,");
    expect_format(&config_format_nats_urls, false, "nats://");
    expect_format(&config_format_path, false, "");
}
