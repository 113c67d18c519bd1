/* The waybill command: one entry for main and for tests, and what the commands share.
 *
 * A command reads from top to bottom: options, check, calls of the client library, output.
 * One thread runs it; the only other one of ours waits for signals (interrupt.h). */
#ifndef WAYBILL_CLI_CLI_H
#define WAYBILL_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/interrupt.h"
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/client/waybill_client.h"

/* Exit statuses, a contract with scripts: docs/cli.md and `waybill help` list them. */
enum cli_status {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_CONFLICT = 4,
    CLI_UNAVAILABLE = 5,
    CLI_DATA_LOSS = 6,
    CLI_EXHAUSTED = 7,
    CLI_DENIED = 8,
    CLI_INTERRUPTED = 130,
};

struct cli_streams {
    int in;
    FILE *out;
    FILE *err;
};

struct cli_command;

struct cli {
    struct cli_streams streams;
    struct arena arena; /* for options and small texts; lives as long as the run */
    /* Options of every command; strings are NULL where not given. */
    char *metadata, *bulk, *object, *timeout;
    int json, quiet, help;

    const struct cli_command *command;
    struct waybill_client *client; /* NULL until cli_client */
    struct interrupt *interrupt;   /* or NULL */
    int usage_status;              /* what to return when cli_parse said no */
};

struct cli_command {
    const char *name; /* "put", "bucket create" */
    const char *arguments;
    const char *summary; /* one line */
    const char *details; /* more lines for help, or "" */
    int (*run)(struct cli *cli, int argc, const char **argv);
};

/* All commands in the order of help; a NULL name ends them. */
extern const struct cli_command cli_commands[];

struct cli_exit_code {
    enum cli_status status;
    const char *meaning;
};
/* All exit statuses; a NULL meaning ends them. */
extern const struct cli_exit_code cli_exit_codes[];

/* Runs the command line and returns the exit status. `interrupt` may be NULL. */
int cli_run(int argc, const char **argv, const struct cli_streams *streams, struct interrupt *interrupt);

/* The client of the endpoints that options and environment name, made at the first call; NULL
 * after a usage error was told. */
struct waybill_client *cli_client(struct cli *cli);

int cmd_bucket_create(struct cli *cli, int argc, const char **argv);
int cmd_bucket_delete(struct cli *cli, int argc, const char **argv);
int cmd_bucket_get(struct cli *cli, int argc, const char **argv);
int cmd_bucket_list(struct cli *cli, int argc, const char **argv);
int cmd_bucket_update(struct cli *cli, int argc, const char **argv);
int cmd_demote(struct cli *cli, int argc, const char **argv);
int cmd_failed_cancel(struct cli *cli, int argc, const char **argv);
int cmd_failed_list(struct cli *cli, int argc, const char **argv);
int cmd_failed_retry(struct cli *cli, int argc, const char **argv);
int cmd_failed_show(struct cli *cli, int argc, const char **argv);
int cmd_get(struct cli *cli, int argc, const char **argv);
int cmd_help(struct cli *cli, int argc, const char **argv);
int cmd_ls(struct cli *cli, int argc, const char **argv);
int cmd_migrate_back(struct cli *cli, int argc, const char **argv);
int cmd_migrate_cancel(struct cli *cli, int argc, const char **argv);
int cmd_migrate_finish(struct cli *cli, int argc, const char **argv);
int cmd_migrate_start(struct cli *cli, int argc, const char **argv);
int cmd_migrate_status(struct cli *cli, int argc, const char **argv);
int cmd_migrate_switch(struct cli *cli, int argc, const char **argv);
int cmd_promote(struct cli *cli, int argc, const char **argv);
int cmd_put(struct cli *cli, int argc, const char **argv);
int cmd_restore(struct cli *cli, int argc, const char **argv);
int cmd_rm(struct cli *cli, int argc, const char **argv);
int cmd_snapshot(struct cli *cli, int argc, const char **argv);
int cmd_stat(struct cli *cli, int argc, const char **argv);
int cmd_status(struct cli *cli, int argc, const char **argv);
int cmd_undelete(struct cli *cli, int argc, const char **argv);
int cmd_update(struct cli *cli, int argc, const char **argv);
int cmd_upload(struct cli *cli, int argc, const char **argv);
int cmd_verify(struct cli *cli, int argc, const char **argv);
int cmd_version(struct cli *cli, int argc, const char **argv);
int cmd_versions(struct cli *cli, int argc, const char **argv);
int cmd_watch(struct cli *cli, int argc, const char **argv);

#endif
