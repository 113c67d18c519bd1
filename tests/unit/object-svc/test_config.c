// rooms: object_config
#include <criterion/criterion.h>

#include <string.h>
#include <unistd.h>

#include "object-svc/config.h"

static bool load(struct object_config *config, struct error *error, const char *flag, const char *value) {
    const char *argv[] = {"waybill-object-svc", flag, value, NULL};
    const char *const environment[] = {NULL};
    enum config_action action;
    return config_load(&object_config_table, flag != NULL ? 3 : 1, argv, environment, config, NULL, &action, error);
}

Test(object_config, defaults_are_those_of_the_design) {
    struct object_config config;
    struct error error;
    cr_assert(load(&config, &error, "--replica", "r0"), "%s", error.message);
    cr_assert_str_eq(config.replica, "r0");
    cr_assert_str_eq(config.listen, "127.0.0.1:7080");
    cr_assert_str_eq(config.admin_listen, "127.0.0.1:9080");
    cr_assert_str_eq(config.metadata_target, "127.0.0.1:7070");
    cr_assert_str_eq(config.payload_target, "127.0.0.1:7071");
    cr_assert_eq(config.cold_store, OBJECT_COLD_STORE_DIRECTORY);
    cr_assert_str_eq(config.cold_dir, "/var/lib/waybill/object/cold");
    cr_assert_eq(config.volume_bytes, 1 << 30);
    cr_assert_eq(config.ack_wait_ms, 30000);
    config_free(&object_config_table, &config);
}

Test(object_config, the_replica_is_named_after_the_host) {
    char host[256] = "";
    cr_assert_eq(gethostname(host, sizeof host - 1), 0);
    if (!config_format_host_name.matches(host)) {
        cr_skip_test("this machine's host name is no replica name");
    }
    struct object_config config;
    struct error error;
    cr_assert(load(&config, &error, NULL, NULL), "%s", error.message);
    cr_assert_str_eq(config.replica, host);
    config_free(&object_config_table, &config);
}

Test(object_config, the_cold_tier_lies_below_the_data_unless_told) {
    struct object_config config;
    struct error error;
    cr_assert(load(&config, &error, "--data-dir", "/d"));
    cr_assert_str_eq(config.cold_dir, "/d/cold");
    config_free(&object_config_table, &config);
    cr_assert(load(&config, &error, "--cold-dir", "/c"));
    cr_assert_str_eq(config.cold_dir, "/c");
    config_free(&object_config_table, &config);
}

Test(object_config, a_cold_store_that_there_is_not_is_refused) {
    struct object_config config;
    struct error error;
    cr_assert_not(load(&config, &error, "--cold-store", "tape"));
    cr_assert_not_null(strstr(error.message, "allowed: directory or s3"));
}
