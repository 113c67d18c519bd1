// rooms: waybill_cli
#include <criterion/criterion.h>
#include <string.h>

#include "cli/progress.h"

TestSuite(progress);

enum { MIB = 1 << 20 };

Test(progress, shows_share_rate_and_time_left) {
    char line[PROGRESS_LINE_BYTES];
    progress_print(line, 100, "a.jpg", 25 * MIB, 100 * MIB, 0, 5000000);
    cr_assert_str_eq(line,
                     "a.jpg  25% [==========>                             ] 25.0 MiB / 100.0 MiB  5.0 MiB/s  "
                     "ETA 0:15",
                     "%s", line);
}

Test(progress, counts_the_rate_from_where_it_began) {
    char line[PROGRESS_LINE_BYTES];
    progress_print(line, 200, "a", 60 * MIB, 100 * MIB, 50 * MIB, 1000000);
    cr_assert_not_null(strstr(line, "10.0 MiB/s  ETA 0:04"), "%s", line);
}

Test(progress, without_a_length_shows_bytes_and_rate) {
    char line[PROGRESS_LINE_BYTES];
    progress_print(line, 80, "-", 3 * MIB, -1, 0, 1000000);
    cr_assert_str_eq(line, "-  3.0 MiB  3.0 MiB/s");
}

Test(progress, fits_every_width) {
    char line[PROGRESS_LINE_BYTES];
    for (int width = 1; width < 400; width++) {
        progress_print(line, width, "a-name-that-is-longer-than-any-terminal-would-like-it-to-be", INT64_MAX / 2,
                       INT64_MAX, 0, 1);
        cr_assert_leq(strlen(line), (size_t)width);
    }
}

Test(progress, empty_and_stalled_transfers_have_figures_too) {
    char line[PROGRESS_LINE_BYTES];
    progress_print(line, 100, "a", 0, 0, 0, 0);
    cr_assert_not_null(strstr(line, "100%"), "%s", line);
    progress_print(line, 100, "a", 0, MIB, 0, 1000000);
    cr_assert_not_null(strstr(line, "ETA --:--"), "%s", line);
}
