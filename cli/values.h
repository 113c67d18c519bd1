/* What option values and arguments mean. Each tells of a bad one and returns false; then the
 * command returns cli->usage_status. */
#ifndef WAYBILL_CLI_VALUES_H
#define WAYBILL_CLI_VALUES_H

#include "cli/cli.h"

/* NULL text leaves the value alone. Durations "250ms", "10s", "5m", "24h"; sizes "4096",
 * "64KiB", "1GiB". */
bool value_duration(struct cli *cli, const char *option, const char *text, int64_t *ms);
bool value_size(struct cli *cli, const char *option, const char *text, int64_t *bytes);
/* "true" or "false". */
bool value_bool(struct cli *cli, const char *option, const char *text, bool *value);
bool value_integer(struct cli *cli, const char *option, const char *text, int64_t min, int64_t max, int64_t *number);

/* "photos/2026/a.jpg" as "photos" and "2026/a.jpg", checked. A leading "/" or "waybill://" is
 * not taken. */
struct target {
    const char *bucket;
    const char *key; /* "" where nothing follows the bucket */
};
bool value_target(struct cli *cli, const char *text, struct target *target);
/* A bucket's name alone. */
bool value_bucket(struct cli *cli, const char *text);
/* The same for a whole key. */
bool value_key(struct cli *cli, const char *text, struct target *target);

/* "name=value" and "name:type=value", types string, int, double, bool, time (RFC 3339), bytes
 * (base64); NULL for none. */
bool value_attributes(struct cli *cli, const char *option, char **texts, const struct waybill_attribute **attributes,
                      size_t *count);

/* "0-99" and "100-" and "-500" (the last 500) as offset and limit. */
bool value_range(struct cli *cli, const char *text, int64_t *offset, int64_t *limit);

/* The value with this name in lower case, without the prefix that all names have and with '-'
 * for '_': "hot-and-cold". */
bool value_enum(struct cli *cli, const char *option, const ProtobufCEnumDescriptor *type, const char *text, int *value);

/* The last segment of a path or key. */
const char *value_base_name(const char *path);
/* The media type that a file name's extension stands for, or "". */
const char *value_content_type(const char *name);

#endif
