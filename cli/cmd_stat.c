/* waybill stat: one record. */
#include <inttypes.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "common/client/proto_json.h"

static void print_attribute(FILE *out, const char *name, const Waybill__V1__AttributeValue *value) {
    char text[OUTPUT_TEXT_BYTES];
    switch (value->kind_case) {
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_STRING_VALUE:
        fprintf(out, "attribute        %s=%s\n", name, value->string_value);
        break;
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_INT_VALUE:
        fprintf(out, "attribute        %s:int=%" PRId64 "\n", name, value->int_value);
        break;
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_DOUBLE_VALUE:
        fprintf(out, "attribute        %s:double=%.17g\n", name, value->double_value);
        break;
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_BOOL_VALUE:
        fprintf(out, "attribute        %s:bool=%s\n", name, value->bool_value ? "true" : "false");
        break;
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_TIMESTAMP_VALUE:
        fprintf(out, "attribute        %s:time=%s\n", name, output_time(value->timestamp_value, text));
        break;
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_BYTES_VALUE:
        fprintf(out, "attribute        %s:bytes (%zu bytes)\n", name, value->bytes_value.len);
        break;
    default:
        break;
    }
}

static void print_times(FILE *out, const Waybill__V1__Record *record) {
    const struct {
        const char *name;
        const Google__Protobuf__Timestamp *time;
    } times[] = {
        {"created", record->create_time},
        {"updated", record->update_time},
        {"stored", record->store_time},
        {"expires", record->expire_time},
        {"payload deadline", record->payload_deadline},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        char text[OUTPUT_TEXT_BYTES];
        if (times[i].time != NULL) {
            fprintf(out, "%-16s %s\n", times[i].name, output_time(times[i].time, text));
        }
    }
}

static void print_cause(FILE *out, const Waybill__V1__Cause *cause) {
    char text[OUTPUT_TEXT_BYTES];
    if (cause == NULL) {
        return;
    }
    fprintf(out, "cause            %s%s%s%s%s\n",
            output_enum(&waybill__v1__system_cause__descriptor, (int)cause->system, text),
            cause->actor[0] != '\0' ? " by " : "", cause->actor, cause->reason[0] != '\0' ? ": " : "", cause->reason);
}

static void print_record(FILE *out, const Waybill__V1__Record *record) {
    char text[OUTPUT_TEXT_BYTES];
    fprintf(out, "record           %s/%s\n", record->bucket, record->key);
    fprintf(out, "version          %" PRId64 "\n", record->version);
    fprintf(out, "serving version  %" PRId64 "\n", record->serving_version);
    fprintf(out, "revision         %" PRId64 "\n", record->revision);
    fprintf(out, "state            %s\n",
            output_enum(&waybill__v1__record_state__descriptor, (int)record->state, text));
    if (record->has_size_case != 0) {
        fprintf(out, "size             %" PRId64 " (%s)\n", record->size, output_bytes(record->size, text));
    }
    if (record->has_crc32c_case != 0) {
        fprintf(out, "crc32c           %08" PRIx32 "\n", record->crc32c);
    }
    if (record->content_type[0] != '\0') {
        fprintf(out, "content type     %s\n", record->content_type);
    }
    for (size_t i = 0; i < record->n_attributes; i++) {
        print_attribute(out, record->attributes[i]->key, record->attributes[i]->value);
    }
    for (size_t i = 0; i < record->n_locations; i++) {
        const Waybill__V1__Location *location = record->locations[i];
        char time[OUTPUT_TEXT_BYTES];
        fprintf(out, "location         %s%s%s since %s\n",
                output_enum(&waybill__v1__tier__descriptor, (int)location->tier, text),
                location->replica[0] != '\0' ? " at " : "", location->replica, output_time(location->store_time, time));
    }
    print_times(out, record);
    print_cause(out, record->cause);
}

int cmd_stat(struct cli *cli, int argc, const char **argv) {
    char *version_text = NULL;
    int64_t version = 0;
    const struct poptOption options[] = {
        OPTION_TEXT("version", &version_text, "N", "this version [the latest]"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct target target;
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) ||
        !value_integer(cli, "version", version_text, 1, INT64_MAX, &version) ||
        !value_key(cli, arguments.items[0], &target) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    Waybill__V1__Record *record;
    struct error error;
    if (!waybill_get_record(cli->client, target.bucket, target.key, version, true, &cli->arena, &record, &error)) {
        return output_error(cli, arguments.items[0], &error);
    }
    if (cli->json) {
        output_message(cli, &record->base);
    } else {
        print_record(cli->streams.out, record);
    }
    return CLI_OK;
}
