#include "cli/times.h"

#include <string.h>
#include <time.h>

#include "cli/values.h"
#include "common/base/clock.h"

/* ".25" as nanoseconds; moves on behind it. */
static bool take_fraction(const char **at, int32_t *nanos) {
    *nanos = 0;
    if (**at != '.') {
        return true;
    }
    int digits = 0;
    for ((*at)++; **at >= '0' && **at <= '9'; (*at)++, digits++) {
        *nanos = digits < 9 ? *nanos * 10 + (**at - '0') : *nanos;
    }
    for (int i = digits; i < 9; i++) {
        *nanos *= 10;
    }
    return digits > 0;
}

/* "Z" or "+01:00" at the end, as seconds east of UTC. */
static bool take_zone(const char *at, int64_t *east) {
    *east = 0;
    if (strcmp(at, "Z") == 0) {
        return true;
    }
    unsigned hours;
    unsigned minutes;
    int used = 0;
    bool good = (at[0] == '+' || at[0] == '-') && sscanf(at + 1, "%2u:%2u%n", &hours, &minutes, &used) == 2 &&
                used == 5 && at[6] == '\0' && hours < 24 && minutes < 60;
    if (good) {
        *east = (at[0] == '-' ? -1 : 1) * (int64_t)(hours * 3600 + minutes * 60);
    }
    return good;
}

bool time_parse(const char *text, struct waybill_time *time) {
    struct tm parts = {0};
    int64_t east;
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (at == NULL || !take_fraction(&at, &time->nanos) || !take_zone(at, &east)) {
        return false;
    }
    struct tm real = parts; /* timegm makes the 30th of February another day */
    time->seconds = (int64_t)timegm(&real) - east;
    return real.tm_mday == parts.tm_mday || parts.tm_sec == 60;
}

static bool take_expire_time(struct cli *cli, const char *text, bool takes_never, struct waybill_time *expires) {
    bool never = takes_never && strcmp(text, "never") == 0;
    if (!never && (!time_parse(text, expires) || expires->seconds <= 0)) {
        cli_usage(cli, "--expire-time: \"%s\" is no time like 2030-12-31T23:59:59Z%s", text,
                  takes_never ? ", nor never" : "");
        return false;
    }
    return true;
}

static bool take_expire_after(struct cli *cli, const char *text, struct waybill_time *expires) {
    int64_t after_ms = 0;
    if (!value_duration(cli, "expire-after", text, &after_ms)) {
        return false;
    }
    if (after_ms == 0) {
        cli_usage(cli, "--expire-after: nothing expires at once: waybill rm deletes");
        return false;
    }
    int64_t then_us = clock_unix_us(&system_clock) + after_ms * 1000;
    *expires = (struct waybill_time){then_us / 1000000, (int32_t)(then_us % 1000000) * 1000};
    return true;
}

bool value_expiry(struct cli *cli, const struct expiry_options *given, bool takes_never, const char *request_id,
                  const struct waybill_time **expires) {
    if (given->time == NULL && given->after == NULL) {
        return true;
    }
    if (given->time != NULL && given->after != NULL) {
        cli_usage(cli, "--expire-time and --expire-after exclude each other");
        return false;
    }
    if (given->after != NULL && request_id != NULL) {
        cli_usage(cli, "--expire-after is another time at each run: with --request-id goes --expire-time");
        return false;
    }
    struct waybill_time *time = arena_zalloc(&cli->arena, sizeof *time);
    *expires = time;
    return given->time != NULL ? take_expire_time(cli, given->time, takes_never, time)
                               : take_expire_after(cli, given->after, time);
}
