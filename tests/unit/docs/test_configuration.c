// rooms: metadata_config object_config
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "metadata-svc/config.h"
#include "object-svc/config.h"

/* The whole page, from where this file lies in the source tree. */
static char *read_page(void) {
    char path[1024];
    const char *inside = strstr(__FILE__, "tests/unit/docs/");
    cr_assert_not_null(inside);
    snprintf(path, sizeof path, "%.*sdocs/configuration.md", (int)(inside - __FILE__), __FILE__);
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file, "%s cannot be opened", path);
    char *text = calloc(1, 1 << 20);
    cr_assert_lt(fread(text, 1, (1 << 20) - 1, file), (1 << 20) - 1);
    fclose(file);
    return text;
}

/* The page holds, between its markers, what the program would print. */
static void expect_table(const struct config_table *table) {
    char marker[96];
    snprintf(marker, sizeof marker, "<!-- printed by %s --print-config-docs -->\n", table->program);
    char *printed;
    size_t size;
    FILE *out = open_memstream(&printed, &size);
    config_print_docs(table, out);
    fclose(out);
    char *page = read_page();
    const char *start = strstr(page, marker);
    cr_assert_not_null(start, "docs/configuration.md has no line %s", marker);
    start += strlen(marker);
    const char *end = strstr(start, "<!-- end -->");
    cr_assert_not_null(end);
    cr_assert((size_t)(end - start) == size && memcmp(start, printed, size) == 0,
              "docs/configuration.md is not what `%s --print-config-docs` prints:\n%s", table->program, printed);
    free(page);
    free(printed);
}

Test(configuration_docs, tables_are_those_of_metadata_svc) {
    expect_table(&metadata_config_table);
}

Test(configuration_docs, tables_are_those_of_object_svc) {
    expect_table(&object_config_table);
}
