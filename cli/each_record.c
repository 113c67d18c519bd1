#include "cli/each_record.h"

#include "cli/output.h"

static bool act_on(struct cli *cli, const struct target *target, each_record_action *act, void *self,
                   struct error *error) {
    struct arena arena;
    arena_init(&arena);
    bool ok = act(cli, target, self, &arena, error) && output_flush(cli, error);
    arena_free(&arena);
    return ok;
}

int each_record(struct cli *cli, const struct arguments *arguments, const char *request_id, each_record_action *act,
                void *self) {
    if (arguments->count > 1 && request_id != NULL) {
        return cli_usage(cli, "--request-id names one request: one record at a time");
    }
    struct target *targets = arena_zalloc(&cli->arena, arguments->count * sizeof *targets);
    for (size_t i = 0; i < arguments->count; i++) {
        if (!value_key(cli, arguments->items[i], &targets[i])) {
            return cli->usage_status;
        }
    }
    if (cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    int status = CLI_OK;
    for (size_t i = 0; i < arguments->count && !ferror(cli->streams.out); i++) {
        struct error error;
        if (!act_on(cli, &targets[i], act, self, &error)) {
            int failed = output_error(cli, arguments->items[i], &error);
            status = status == CLI_OK ? failed : status;
        }
    }
    return status;
}
