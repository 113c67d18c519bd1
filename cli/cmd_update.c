/* waybill update: what is said of records; their payloads stay. */
#include <string.h>

#include "cli/each_record.h"
#include "cli/output.h"
#include "cli/record_lines.h"
#include "cli/times.h"

struct update_options {
    char **set, **unset;
    int unset_others;
    char *content_type, *if_version, *request_id, *reason;
    struct expiry_options expiry;
};

static bool take_unset(struct cli *cli, const struct update_options *given, struct waybill_update *update) {
    update->unset = given->unset;
    update->unset_count = option_list_count(given->unset);
    update->unset_others = given->unset_others;
    for (size_t i = 0; i < update->unset_count; i++) {
        if (given->unset[i][0] == '\0' || strchr(given->unset[i], '=') != NULL) {
            cli_usage(cli, "--unset: \"%s\" is not the NAME of an attribute", given->unset[i]);
            return false;
        }
        for (size_t j = 0; j < update->attribute_count; j++) {
            if (strcmp(given->unset[i], update->attributes[j].name) == 0) {
                cli_usage(cli, "attribute \"%s\" is both set and unset", given->unset[i]);
                return false;
            }
        }
    }
    return true;
}

static bool take_options(struct cli *cli, const struct update_options *given, struct waybill_update *update) {
    update->content_type = given->content_type;
    update->has_if_version_match = given->if_version != NULL;
    update->request_id = given->request_id;
    update->reason = given->reason;
    if (!value_attributes(cli, "set", given->set, &update->attributes, &update->attribute_count) ||
        !take_unset(cli, given, update) ||
        !value_expiry(cli, &given->expiry, true, given->request_id, &update->expire_time) ||
        !value_integer(cli, "if-version", given->if_version, 0, INT64_MAX, &update->if_version_match)) {
        return false;
    }
    bool any = update->attribute_count > 0 || update->unset_count > 0 || update->unset_others ||
               update->content_type != NULL || update->expire_time != NULL;
    if (!any) {
        cli_usage(cli, "nothing is to be updated: give --set, --unset, --content-type or when it expires");
    }
    return any;
}

static bool update_one(struct cli *cli, const struct target *target, void *self, struct arena *arena,
                       struct error *error) {
    struct waybill_update *update = self;
    Waybill__V1__UpdateRecordResponse response = WAYBILL__V1__UPDATE_RECORD_RESPONSE__INIT;
    update->bucket = target->bucket;
    update->key = target->key;
    if (!waybill_update_record(cli->client, update, arena, &response.record, error)) {
        return false;
    }
    output_made_record(cli, &response.base, response.record);
    return true;
}

int cmd_update(struct cli *cli, int argc, const char **argv) {
    struct update_options given = {0};
    const struct poptOption options[] = {
        OPTION_LIST("set", &given.set, "NAME[:TYPE]=VALUE", "sets an attribute; types as of put --attr; repeatable"),
        OPTION_LIST("unset", &given.unset, "NAME", "removes an attribute; repeatable"),
        OPTION_FLAG("unset-others", '\0', &given.unset_others, "removes all attributes but those that --set names"),
        OPTION_TEXT("content-type", &given.content_type, "TYPE", "media type; empty: none"),
        EXPIRY_OPTIONS(&given.expiry, "when the record expires, RFC 3339, or never"),
        OPTION_IF_VERSION(&given.if_version, "only if the latest version is N"),
        OPTION_REQUEST_ID(&given.request_id),
        OPTION_REASON(&given.reason),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct waybill_update update = {0};
    if (!cli_parse(cli, options, argc, argv, 1, SIZE_MAX, &arguments) || !take_options(cli, &given, &update)) {
        return cli->usage_status;
    }
    return each_record(cli, &arguments, given.request_id, update_one, &update);
}
