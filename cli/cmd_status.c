/* waybill status: both services. */
#include <inttypes.h>

#include "cli/options.h"
#include "cli/output.h"
#include "common/client/proto_json.h"

static void print_metadata(FILE *out, const Waybill__V1__MetadataStatus *status) {
    char live[OUTPUT_TEXT_BYTES];
    char limit[OUTPUT_TEXT_BYTES];
    fprintf(out, "  shard               %s\n", status->shard);
    fprintf(out, "  committed revision  %" PRId64 "\n", status->committed_revision);
    fprintf(out, "  published revision  %" PRId64 "\n", status->published_revision);
    fprintf(out, "  oldest revision     %" PRId64 "\n", status->oldest_revision);
    fprintf(out, "  events              %s\n", status->events_connected ? "connected" : "NOT CONNECTED");
    fprintf(out, "  writes              %s\n", status->read_only ? "REFUSED after a disk error" : "accepted");
    fprintf(out, "  spool               %s of %s in %" PRId64 " payloads\n",
            output_bytes(status->spool_live_bytes, live), output_bytes(status->spool_limit_bytes, limit),
            status->spool_payloads);
}

static void print_object(FILE *out, const Waybill__V1__ObjectStatus *status) {
    char hot[OUTPUT_TEXT_BYTES];
    char garbage[OUTPUT_TEXT_BYTES];
    char disk[OUTPUT_TEXT_BYTES];
    char unused[OUTPUT_TEXT_BYTES];
    char reserve[OUTPUT_TEXT_BYTES];
    fprintf(out, "  replica             %s\n", status->replica);
    fprintf(out, "  events              %s\n", status->events_connected ? "connected" : "NOT CONNECTED");
    fprintf(out, "  hot                 %s in %" PRId64 " objects, %s of garbage\n",
            output_bytes(status->hot_bytes, hot), status->hot_objects,
            output_bytes(status->hot_garbage_bytes, garbage));
    fprintf(out, "  hot volumes         %" PRId64 " with %s, %" PRId64 " kept for damaged objects\n",
            status->hot_volumes, output_bytes(status->hot_disk_bytes, disk), status->hot_quarantined_volumes);
    fprintf(out, "  hot disk            %s free, of which %s are kept free%s\n",
            output_bytes(status->hot_free_bytes, unused), output_bytes(status->hot_reserve_bytes, reserve),
            status->hot_full ? "; FULL: new objects wait" : "");
    if (status->cold_writes_suspended || status->cold_reads_suspended) {
        fprintf(out, "  cold store          KEEPS FAILING, is left alone for a while: %s: %s\n",
                status->cold_error_reason, status->cold_error_message);
    }
    fprintf(out, "  since start         %" PRId64 " stored, %" PRId64 " moved\n", status->stored_total,
            status->tiered_total);
}

static void print_status(FILE *out, const char *name, const Waybill__V1__GetStatusResponse *status) {
    char time[OUTPUT_TEXT_BYTES];
    fprintf(out, "%s  version %s  since %s\n", name, status->version, output_time(status->start_time, time));
    if (status->service_case == WAYBILL__V1__GET_STATUS_RESPONSE__SERVICE_METADATA) {
        print_metadata(out, status->metadata);
    } else if (status->service_case == WAYBILL__V1__GET_STATUS_RESPONSE__SERVICE_OBJECT) {
        print_object(out, status->object);
    }
}

/* Asks one service; its part of the JSON answer goes into `whole`. */
static int ask(struct cli *cli, enum waybill_service service, const char *name, json_t *whole) {
    Waybill__V1__GetStatusResponse *status;
    struct error error;
    if (!waybill_get_status(cli->client, service, &cli->arena, &status, &error)) {
        if (cli->json) {
            json_t *failure = json_pack("{s:o}", "error", output_error_json(cli, name, &error));
            json_object_set_new(whole, name, failure);
            return output_status_of(&error);
        }
        return output_error(cli, name, &error);
    }
    if (cli->json) {
        json_object_set_new(whole, name, proto_json(&status->base));
    } else {
        print_status(cli->streams.out, name, status);
    }
    return CLI_OK;
}

int cmd_status(struct cli *cli, int argc, const char **argv) {
    static const struct poptOption options[] = {POPT_TABLEEND};
    struct arguments none;
    if (!cli_parse(cli, options, argc, argv, 0, 0, &none) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    json_t *whole = json_object();
    int metadata = ask(cli, WAYBILL_SERVICE_METADATA, "metadata", whole);
    int object = ask(cli, WAYBILL_SERVICE_OBJECT, "object", whole);
    if (cli->json) {
        output_json(cli, whole);
    }
    json_decref(whole);
    return metadata != CLI_OK ? metadata : object;
}
