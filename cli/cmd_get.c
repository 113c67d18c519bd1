/* waybill get: an object to a file or to standard output. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/partial_file.h"
#include "cli/progress.h"
#include "cli/values.h"

struct get_options {
    char *version, *range, *offset, *limit, *if_version;
};

struct getting {
    struct cli *cli;
    bool to_output;
    struct partial_file file;
    struct progress progress;
    int64_t done, total;
};

static bool begin(void *self, const Waybill__V1__Record *record, int64_t first, int64_t length, struct error *error) {
    (void)record;
    (void)first;
    (void)error;
    ((struct getting *)self)->total = length;
    return true;
}

static bool write_data(void *self, struct bytes data, struct error *error) {
    struct getting *getting = self;
    bool wrote = getting->to_output ? write_fully(fileno(getting->cli->streams.out), data, "standard output", error)
                                    : partial_file_write(&getting->file, data, error);
    getting->done += (int64_t)data.size;
    progress_advance(&getting->progress, getting->done, getting->total);
    return wrote;
}

static bool take_options(struct cli *cli, const struct get_options *given, struct waybill_read *read) {
    if (given->range != NULL && (given->offset != NULL || given->limit != NULL)) {
        cli_usage(cli, "--range excludes --offset and --limit");
        return false;
    }
    read->has_if_version_match = given->if_version != NULL;
    return value_integer(cli, "version", given->version, 1, INT64_MAX, &read->version) &&
           value_integer(cli, "offset", given->offset, INT64_MIN / 2, INT64_MAX, &read->offset) &&
           value_integer(cli, "limit", given->limit, 1, INT64_MAX, &read->limit) &&
           value_integer(cli, "if-version", given->if_version, 0, INT64_MAX, &read->if_version_match) &&
           value_range(cli, given->range, &read->offset, &read->limit);
}

/* The file's path: as given, or the key's last segment; inside, where that is a directory. */
static const char *find_path(struct cli *cli, const char *given, const char *key) {
    const char *name = value_base_name(key);
    struct stat status;
    if (given == NULL) {
        return name;
    }
    bool inside = stat(given, &status) == 0 && S_ISDIR(status.st_mode);
    return inside ? arena_printf(&cli->arena, "%s/%s", given, name) : given;
}

static void print_result(struct getting *getting, const struct waybill_read_result *result) {
    struct cli *cli = getting->cli;
    char source[OUTPUT_TEXT_BYTES];
    if (getting->to_output || (cli->quiet && !cli->json)) {
        return;
    }
    if (cli->json) {
        Waybill__V1__ReadObjectResponse response = WAYBILL__V1__READ_OBJECT_RESPONSE__INIT;
        response.record = result->record;
        response.source = result->source;
        output_message(cli, &response.base);
        return;
    }
    fprintf(cli->streams.out, "%s  version %lld  %lld bytes from %s%s\n", getting->file.path,
            (long long)result->record->version, (long long)result->bytes,
            output_enum(&waybill__v1__read_source__descriptor, (int)result->source, source),
            result->checked ? ", checksum right" : "");
}

static bool get(struct getting *getting, const struct waybill_read *read, const char *path, struct error *error) {
    struct cli *cli = getting->cli;
    struct waybill_sink sink = {begin, write_data, getting};
    struct waybill_read_result result;
    if (!getting->to_output && !partial_file_open(&getting->file, cli, path, error)) {
        return false;
    }
    progress_begin(&getting->progress, cli, read->key);
    bool ok = waybill_read_object(cli->client, read, &sink, &cli->arena, &result, error);
    progress_end(&getting->progress);
    if (!getting->to_output && ok) {
        ok = partial_file_finish(&getting->file, error);
    } else if (!getting->to_output) {
        partial_file_abandon(&getting->file);
    }
    if (ok) {
        print_result(getting, &result);
    }
    return ok;
}

int cmd_get(struct cli *cli, int argc, const char **argv) {
    struct get_options given = {0};
    const struct poptOption options[] = {
        OPTION_TEXT("version", &given.version, "N", "this version [the newest that can be read]"),
        OPTION_TEXT("range", &given.range, "RANGE", "only bytes FIRST-LAST, FIRST- or the last -COUNT"),
        OPTION_TEXT("offset", &given.offset, "N", "from this byte on; negative: so many from the end"),
        OPTION_TEXT("limit", &given.limit, "N", "at most so many bytes"),
        OPTION_TEXT("if-version", &given.if_version, "N", "only if the latest version is N"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct waybill_read read = {0};
    struct target target;
    if (!cli_parse(cli, options, argc, argv, 1, 2, &arguments) || !take_options(cli, &given, &read) ||
        !value_key(cli, arguments.items[0], &target) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    read.bucket = target.bucket;
    read.key = target.key;
    const char *file = arguments.count > 1 ? arguments.items[1] : NULL;
    struct getting getting = {.cli = cli, .to_output = file != NULL && strcmp(file, "-") == 0};
    struct error error;
    if (!get(&getting, &read, find_path(cli, file, target.key), &error)) {
        return output_error(cli, arguments.items[0], &error);
    }
    return CLI_OK;
}
