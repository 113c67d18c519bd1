// rooms: waybill_cli
#include "cli_fixture.h"

#include <regex.h>

TestSuite(cli_docs);

/* docs/cli.md, from where this file lies in the source tree. */
static char *read_page(void) {
    char path[1024];
    const char *inside = strstr(__FILE__, "tests/unit/cli/");
    cr_assert_not_null(inside);
    snprintf(path, sizeof path, "%.*sdocs/cli.md", (int)(inside - __FILE__), __FILE__);
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file, "%s cannot be opened", path);
    char *text = calloc(1, 1 << 20);
    cr_assert_lt(fread(text, 1, (1 << 20) - 1, file), (1 << 20) - 1);
    fclose(file);
    return text;
}

/* The page's section on a command; NULL where there is none with this usage. */
static char *section(const char *page, const struct cli_command *command) {
    char heading[256];
    snprintf(heading, sizeof heading, "\n## waybill %s%s%s\n", command->name, command->arguments[0] ? " " : "",
             command->arguments);
    const char *start = strstr(page, heading);
    if (start == NULL) {
        return NULL;
    }
    const char *end = strstr(start + 2, "\n## ");
    return end != NULL ? strndup(start, (size_t)(end - start)) : strdup(start);
}

/* Appends the options that lines of the text begin with, as "--name=ARG\n". */
static void find_options(const char *text, const char *pattern, char *out, size_t room) {
    regex_t regex;
    regmatch_t found[4];
    cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NEWLINE), 0);
    out[0] = '\0';
    while (regexec(&regex, text, 4, found, 0) == 0) {
        size_t used = strlen(out);
        snprintf(out + used, room - used, "%.*s\n", (int)(found[2].rm_eo - found[2].rm_so), text + found[2].rm_so);
        /* popt leaves a blank before the argument of repeatable options. */
        for (char *c = out + used; *c != '\0'; c++) {
            *c = *c == ' ' ? '=' : *c;
        }
        text += found[0].rm_eo;
    }
    regfree(&regex);
}

Test(cli_docs, every_command_is_described_with_its_options) {
    char *page = read_page();
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        char *described = section(page, command);
        cr_assert_not_null(described, "docs/cli.md has no section \"waybill %s %s\"", command->name,
                           command->arguments);
        struct run run = run_waybill("help %s", command->name);
        assert_run(run, CLI_OK);
        cr_assert_not_null(strstr(run.out, command->summary));
        char *globals = strstr(run.out, "Options of every command:");
        cr_assert_not_null(globals);
        *globals = '\0';
        char documented[2048];
        char real[2048];
        find_options(described, "^\\| (`-[a-z]`, )?`(--[^`]+)`", documented, sizeof documented);
        find_options(run.out, "^  (   |-[a-z],) (--[a-z-]+([= ][A-Z][^ ]*)?)", real, sizeof real);
        cr_assert_str_eq(documented, real, "waybill %s: docs/cli.md has\n%shelp has\n%s", command->name, documented,
                         real);
        run_free(&run);
        free(described);
    }
    free(page);
}

Test(cli_docs, no_section_describes_what_is_not_there) {
    char *page = read_page();
    unsigned sections = 0;
    unsigned commands = 0;
    for (const char *at = page; (at = strstr(at, "\n## waybill ")) != NULL; at++) {
        sections++;
    }
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        commands++;
    }
    cr_assert_eq(sections, commands);
    free(page);
}

Test(cli_docs, options_of_every_command_are_described) {
    char *page = read_page();
    char *end = strstr(page, "\n## ");
    cr_assert_not_null(end);
    *end = '\0';
    struct run run = run_waybill("help version");
    char documented[2048];
    char real[2048];
    find_options(page, "^\\| (`-[a-z]`, )?`(--[^`]+)`", documented, sizeof documented);
    find_options(run.out, "^  (   |-[a-z],) (--[a-z-]+([= ][A-Z][^ ]*)?)", real, sizeof real);
    cr_assert_str_eq(documented, real, "docs/cli.md has\n%shelp has\n%s", documented, real);
    run_free(&run);
    free(page);
}

Test(cli_docs, exit_statuses_agree_with_help) {
    char *page = read_page();
    struct run run = run_waybill("help");
    for (const struct cli_exit_code *code = cli_exit_codes; code->meaning != NULL; code++) {
        char row[256];
        snprintf(row, sizeof row, "\n| %d | %s |\n", code->status, code->meaning);
        cr_assert_not_null(strstr(page, row), "docs/cli.md has no row %s", row);
        snprintf(row, sizeof row, "  %3d  %s\n", code->status, code->meaning);
        cr_assert_not_null(strstr(run.out, row), "%s", run.out);
    }
    run_free(&run);
    free(page);
}
