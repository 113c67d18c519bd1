// rooms: metadata_config
#include <criterion/criterion.h>

#include <string.h>

#include "metadata-svc/config.h"

static bool load(struct metadata_config *config, struct error *error, const char *flag, const char *value) {
    const char *argv[] = {"waybill-metadata-svc", flag, value, NULL};
    const char *const environment[] = {NULL};
    enum config_action action;
    return config_load(&metadata_config_table, flag != NULL ? 3 : 1, argv, environment, config, NULL, &action, error);
}

Test(metadata_config, defaults_are_those_of_the_design) {
    struct metadata_config config;
    struct error error;
    cr_assert(load(&config, &error, NULL, NULL), "%s", error.message);
    cr_assert_str_eq(config.shard, "0");
    cr_assert_str_eq(config.listen, "127.0.0.1:7070");
    cr_assert_str_eq(config.bulk_listen, "127.0.0.1:7071");
    cr_assert_str_eq(config.admin_listen, "127.0.0.1:9070");
    cr_assert_str_eq(config.nats_url, "nats://127.0.0.1:4222");
    cr_assert_eq(config.log_level, LOG_LEVEL_INFO);
    cr_assert_eq(config.commit_queue, 4096);
    cr_assert_eq(config.commit_batch_bytes, 4 << 20);
    cr_assert_eq(config.request_id_retention_ms, 24 * 3600 * 1000);
    cr_assert_eq(config.stream_max_age_ms, 168 * 3600 * 1000);
    config_free(&metadata_config_table, &config);
}

Test(metadata_config, the_spool_lies_below_the_data_unless_told) {
    struct metadata_config config;
    struct error error;
    cr_assert(load(&config, &error, "--data-dir", "/d"));
    cr_assert_str_eq(config.spool_dir, "/d/spool");
    config_free(&metadata_config_table, &config);
    cr_assert(load(&config, &error, "--spool-dir", "/s"));
    cr_assert_str_eq(config.spool_dir, "/s");
    config_free(&metadata_config_table, &config);
}

Test(metadata_config, every_log_level_by_its_name) {
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
        struct metadata_config config;
        struct error error;
        enum log_level parsed;
        cr_assert(load(&config, &error, "--log-level", names[i]));
        cr_assert(log_level_parse(names[i], &parsed));
        cr_assert_eq(config.log_level, parsed);
        config_free(&metadata_config_table, &config);
    }
}

Test(metadata_config, a_segment_larger_than_the_spool_is_refused) {
    struct metadata_config config;
    struct error error;
    cr_assert_not(load(&config, &error, "--spool-max-bytes", "32MiB"));
    cr_assert_str_eq(error.field, "spool_segment_bytes");
}

Test(metadata_config, the_admin_port_can_be_off_but_the_others_cannot) {
    struct metadata_config config;
    struct error error;
    cr_assert(load(&config, &error, "--admin-listen", ""));
    cr_assert_str_eq(config.admin_listen, "");
    config_free(&metadata_config_table, &config);
    cr_assert_not(load(&config, &error, "--listen", ""));
    cr_assert_not(load(&config, &error, "--data-dir", ""));
    cr_assert_not(load(&config, &error, "--shard", "a.b"));
}
