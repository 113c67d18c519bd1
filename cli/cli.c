#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"

const struct cli_command cli_commands[] = {
    {"bucket create", "NAME", "create a bucket", "", cmd_bucket_create},
    {"bucket list", "", "list the buckets", "", cmd_bucket_list},
    {"bucket get", "NAME", "show a bucket and its policy", "", cmd_bucket_get},
    {"bucket update", "NAME", "change a bucket's policy", "What no option names stays.", cmd_bucket_update},
    {"bucket delete", "NAME", "delete an empty bucket",
     "A bucket is empty when the retention of its last deleted record is over.", cmd_bucket_delete},
    {"put", "FILE... BUCKET/KEY", "store files",
     "One file is stored under the key; with several, or where the key is empty or ends in '/', the file's\n"
     "name is appended to it. FILE '-' is standard input. The answer comes when the bytes are durable.",
     cmd_put},
    {"upload", "[FILE] UPLOAD-ID", "bring the payload that put --announce promised",
     "An upload that broke off goes on where it was. With --cancel it is given up. FILE '-' is standard input.",
     cmd_upload},
    {"get", "BUCKET/KEY [FILE]", "read an object",
     "FILE is by default the last segment of the key, '-' is standard output. The file appears under its\n"
     "name only when it is whole and its checksum is right.",
     cmd_get},
    {"stat", "BUCKET/KEY", "show a record", "", cmd_stat},
    {"ls", "[BUCKET[/PREFIX]]", "list records, or the buckets", "", cmd_ls},
    {"update", "BUCKET/KEY...", "change what is said of records",
     "Each gets a version with the payload of the one before; what no option names stays.", cmd_update},
    {"versions", "BUCKET/KEY", "list the versions of a record",
     "Newest first: version, state, size, time, and the reason where there is one.", cmd_versions},
    {"rm", "BUCKET/KEY...", "delete records", "", cmd_rm},
    {"undelete", "BUCKET/KEY...", "bring deleted records back",
     "Each gets a version with the content of an older one. With --version a record that lives goes back to\n"
     "what it was, too.",
     cmd_undelete},
    {"watch", "[BUCKET[/PREFIX]]", "print changes as they come",
     "Goes on until interrupted, which is its good end; when the service goes away it connects again after\n"
     "the last revision seen.",
     cmd_watch},
    {"status", "", "show how the services are doing", "", cmd_status},
    {"failed list", "[BUCKET]", "list payloads that were given up",
     "Payload id, time, reason, attempts, size, whether it can be tried again, version, record; then the dead letters "
     "of "
     "object-svc.",
     cmd_failed_list},
    {"failed show", "PAYLOAD-ID", "show a payload that was given up", "", cmd_failed_show},
    {"failed retry", "[PAYLOAD-ID...]", "try payloads again that were given up", "", cmd_failed_retry},
    {"failed cancel", "PAYLOAD-ID...", "give payloads up, or forget them",
     "One that is in flight fails; one that has failed is forgotten, and its bytes are released; a dead letter of "
     "object-svc is dropped.",
     cmd_failed_cancel},
    {"verify", "[BUCKET]", "hold all objects to their records, both ways",
     "Asks one object-svc: its hot volumes, and the cold store. Nothing is changed without --repair or\n"
     "--quarantine. Status 6 where copies are damaged or missing, 1 where others are not as they ought.",
     cmd_verify},
    {"promote", "BUCKET/KEY...", "bring cold objects back to hot",
     "The cold copy stays. Waits until it is done; interrupted, the move goes on in the service.", cmd_promote},
    {"demote", "BUCKET/KEY...", "move hot objects to the cold store now",
     "The hot copies go once the cold one is verified and committed, whatever the bucket's policy. Waits until\n"
     "it is done; interrupted, the move goes on in the service.",
     cmd_demote},
    {"migrate start", "TARGET", "begin to move the cold store, or hot volumes",
     "TARGET is file:///path or s3+https://host/bucket[/prefix][?region=...]. From now on what is written goes\n"
     "to both places, hot objects to the new one. Waits until everything is copied; interrupted, the copying goes on "
     "in the service.",
     cmd_migrate_start},
    {"migrate status", "", "show how the migration is doing", "", cmd_migrate_status},
    {"migrate switch", "", "read from the new place", "Both places are still written.", cmd_migrate_switch},
    {"migrate back", "", "read from the old place again", "", cmd_migrate_back},
    {"migrate finish", "", "let go of the old place",
     "There is no way back but another migration. The configuration should then name the new place.",
     cmd_migrate_finish},
    {"migrate cancel", "", "give up a migration that is not switched",
     "What was copied stays in the new place; hot volumes go back to the old one.", cmd_migrate_cancel},
    {"snapshot", "FILE", "back metadata-svc up while it works",
     "FILE has all records, and the payloads that wait for object-svc, as of one revision; '-' is standard\n"
     "output. It appears under its name only when it is whole and durable.",
     cmd_snapshot},
    {"restore", "FILE DATA_DIR", "make a data directory of a snapshot",
     "DATA_DIR is made, or is empty; a FILE that is damaged anywhere leaves it as it was. FILE '-' is standard\n"
     "input. Read docs/operations/backup.md before metadata-svc is started on it.",
     cmd_restore},
    {"help", "[COMMAND]", "print help", "", cmd_help},
    {"version", "", "print the version", "", cmd_version},
    {0},
};

const struct cli_exit_code cli_exit_codes[] = {
    {CLI_OK, "success; also when the reader of the output went away"},
    {CLI_FAILED, "any other failure"},
    {CLI_USAGE, "wrong usage"},
    {CLI_NOT_FOUND, "not found"},
    {CLI_CONFLICT, "precondition not met, exists already, or conflict"},
    {CLI_UNAVAILABLE, "service unavailable, or out of time"},
    {CLI_DATA_LOSS, "data lost or corrupt"},
    {CLI_EXHAUSTED, "a limit of the service is reached"},
    {CLI_DENIED, "not allowed"},
    {CLI_INTERRUPTED, "interrupted by SIGINT; by another signal 128 and its number"},
    {0},
};

/* ---- endpoints ---- */

static const char *endpoint(const char *option, const char *variable) {
    const char *given = option != NULL ? option : getenv(variable);
    return given != NULL && given[0] != '\0' ? given : NULL;
}

struct waybill_client *cli_client(struct cli *cli) {
    struct waybill_client_options options = {
        .metadata = endpoint(cli->metadata, "WAYBILL_METADATA"),
        .bulk = endpoint(cli->bulk, "WAYBILL_BULK"),
        .object = endpoint(cli->object, "WAYBILL_OBJECT"),
    };
    if (cli->client == NULL && value_duration(cli, "timeout", cli->timeout, &options.timeout_ms)) {
        cli->client = waybill_client_new(&options);
        interrupt_watch_client(cli->interrupt, cli->client);
    }
    return cli->client;
}

/* ---- commands ---- */

/* How many words of the command line name the command; 0: none of them does. */
static size_t match(const struct cli_command *command, const struct arguments *words) {
    size_t first = strlen(words->items[0]);
    const char *second = strchr(command->name, ' ');
    if (second == NULL) {
        return strcmp(command->name, words->items[0]) == 0 ? 1 : 0;
    }
    bool same = (size_t)(second - command->name) == first && strncmp(command->name, words->items[0], first) == 0;
    return same && words->count > 1 && strcmp(second + 1, words->items[1]) == 0 ? 2 : 0;
}

static const struct cli_command *find(const struct arguments *words, size_t *used) {
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        *used = words->count > 0 ? match(command, words) : 0;
        if (*used > 0) {
            return command;
        }
    }
    return NULL;
}

static int run_command(struct cli *cli, const struct cli_command *command, const struct arguments *words, size_t used) {
    size_t count = words->count - used + 1;
    const char **argv = arena_zalloc(&cli->arena, (count + 1) * sizeof *argv);
    argv[0] = arena_printf(&cli->arena, "waybill %s", command->name);
    memcpy(argv + 1, words->items + used, (count - 1) * sizeof *argv);
    cli->command = command;
    return command->run(cli, (int)count, argv);
}

/* A line per command whose first word this is; NULL: of all. */
static void print_commands(struct cli *cli, const char *first) {
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        size_t size = strcspn(command->name, " ");
        if (first == NULL || (strlen(first) == size && strncmp(command->name, first, size) == 0)) {
            char usage[96];
            snprintf(usage, sizeof usage, "%s %s", command->name, command->arguments);
            fprintf(cli->streams.out, "  %-28s %s\n", usage, command->summary);
        }
    }
}

static void print_overview(struct cli *cli) {
    FILE *out = cli->streams.out;
    fputs("Usage: waybill [OPTION...] COMMAND ...\n\nCommands:\n", out);
    print_commands(cli, NULL);
    fputs("\nOptions of a command: waybill help COMMAND\n\nExit statuses:\n", out);
    for (const struct cli_exit_code *code = cli_exit_codes; code->meaning != NULL; code++) {
        fprintf(out, "  %3d  %s\n", (int)code->status, code->meaning);
    }
}

/* The one word that other words make a command of. */
static bool is_group(const char *word) {
    size_t size = strlen(word);
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        if (strncmp(command->name, word, size) == 0 && command->name[size] == ' ') {
            return true;
        }
    }
    return false;
}

static int print_group(struct cli *cli, const char *word) {
    fputs("Commands:\n", cli->streams.out);
    print_commands(cli, word);
    fprintf(cli->streams.out, "\nOptions of a command: waybill help %s COMMAND\n", word);
    return CLI_OK;
}

static int unknown_command(struct cli *cli, const struct arguments *words) {
    cli->command = NULL;
    if (is_group(words->items[0])) {
        return cli_usage(cli, "%s is followed by one of the words that \"waybill help %s\" lists", words->items[0],
                         words->items[0]);
    }
    return cli_usage(cli, "there is no command \"%s\"", words->items[0]);
}

int cmd_help(struct cli *cli, int argc, const char **argv) {
    static const struct poptOption options[] = {POPT_TABLEEND};
    struct arguments words;
    if (!cli_parse(cli, options, argc, argv, 0, 2, &words)) {
        return cli->usage_status;
    }
    if (words.count == 0) {
        print_overview(cli);
        return CLI_OK;
    }
    size_t used;
    const struct cli_command *command = find(&words, &used);
    if (command == NULL && words.count == 1 && is_group(words.items[0])) {
        return print_group(cli, words.items[0]);
    }
    if (command == NULL) {
        return unknown_command(cli, &words);
    }
    static const char *only_help[] = {"--help", NULL};
    struct arguments none = {only_help, 1};
    return run_command(cli, command, &none, 0);
}

int cmd_version(struct cli *cli, int argc, const char **argv) {
    static const struct poptOption options[] = {POPT_TABLEEND};
    struct arguments none;
    if (!cli_parse(cli, options, argc, argv, 0, 0, &none)) {
        return cli->usage_status;
    }
    if (cli->json) {
        json_t *version = json_pack("{s:s}", "version", WAYBILL_VERSION);
        output_json(cli, version);
        json_decref(version);
    } else {
        fprintf(cli->streams.out, "waybill %s\n", WAYBILL_VERSION);
    }
    return CLI_OK;
}

static int dispatch(struct cli *cli, int argc, const char **argv) {
    struct arguments words;
    if (!cli_parse_before(cli, argc, argv, &words)) {
        return cli->usage_status;
    }
    if (words.count == 0 && cli->help) {
        print_overview(cli);
        return CLI_OK;
    }
    if (words.count == 0) {
        return cli_usage(cli, "a command is missing");
    }
    size_t used;
    const struct cli_command *command = find(&words, &used);
    bool asks_help = words.count == 2 && (strcmp(words.items[1], "--help") == 0 || strcmp(words.items[1], "-h") == 0);
    if (command == NULL && asks_help && is_group(words.items[0])) {
        return print_group(cli, words.items[0]);
    }
    return command != NULL ? run_command(cli, command, &words, used) : unknown_command(cli, &words);
}

int cli_run(int argc, const char **argv, const struct cli_streams *streams, struct interrupt *interrupt) {
    struct cli cli = {.streams = *streams, .interrupt = interrupt};
    arena_init(&cli.arena);
    int status = dispatch(&cli, argc, argv);
    struct error error;
    if (!output_flush(&cli, &error) && status == CLI_OK) {
        status = output_error(&cli, NULL, &error);
    }
    interrupt_watch_client(interrupt, NULL);
    waybill_client_free(cli.client);
    arena_free(&cli.arena);
    return status;
}
