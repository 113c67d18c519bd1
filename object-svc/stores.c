#include "object-svc/stores.h"

#include <stdio.h>

#include "object-svc/hot/volume_store.h"

enum { HOT_APPENDERS_MAX = 8 }; /* the ingester's, repairs, scrubs and promotions */

enum { COLD_FIRST_PAUSE_MS = 1000, COLD_PROBE_MS = 30000 };

/* With those above it. */
static bool have_directory(const char *path, struct error *error) {
    struct disk *disk = posix_disk_new(path, error);
    if (disk != NULL) {
        disk->ops->free(disk);
    }
    return disk != NULL;
}

static bool open_hot(struct stores *stores, const struct object_config *config, struct error *error) {
    char index[STORES_PATH_BYTES];
    snprintf(index, sizeof index, "%s/index", config->data_dir);
    snprintf(stores->migration, sizeof stores->migration, "%s/migration", config->data_dir);
    struct hot_migrator_options migration = {
        .configured = config->hot_dir, .directory = stores->migration, .clock = &system_clock};
    stores->hot_migrator = have_directory(config->data_dir, error) ? hot_migrator_open(&migration, error) : NULL;
    if (stores->hot_migrator == NULL) {
        return false;
    }
    struct volume_store_options options = {
        .disk = hot_migrator_disk(stores->hot_migrator),
        .index_directory = index,
        .clock = &system_clock,
        .replica = config->replica,
        .volume_bytes = (uint64_t)config->volume_bytes,
        .reserve_bytes = (uint64_t)config->hot_reserve_bytes,
        .max_appenders = HOT_APPENDERS_MAX,
    };
    stores->hot = volume_store_open(&options, error);
    if (stores->hot == NULL) {
        return false;
    }
    hot_migrator_start(stores->hot_migrator, stores->hot);
    return true;
}

static void fill_cold_options(struct stores *stores, const struct object_config *config) {
    snprintf(stores->uploads, sizeof stores->uploads, "%s/cold-uploads", config->data_dir);
    stores->s3_options = (struct cold_s3_options){
        .client = {.endpoint = config->s3_endpoint,
                   .bucket = config->s3_bucket,
                   .region = config->s3_region,
                   .path_style = config->s3_path_style,
                   .access_key_file = config->s3_access_key_file,
                   .secret_key_file = config->s3_secret_key_file,
                   .session_token_file = config->s3_session_token_file,
                   .ca_file = config->s3_ca_file,
                   .connect_timeout_ms = config->s3_connect_timeout_ms,
                   .stall_timeout_ms = config->s3_stall_timeout_ms,
                   .connections = config->s3_connections,
                   .given_up = &stores->given_up},
        .prefix = config->s3_prefix,
        .part_bytes = config->s3_part_bytes,
        .parallel_parts = config->s3_parallel_parts,
        .upload_bytes = config->s3_upload_bytes,
        .ahead_bytes = config->s3_read_ahead_bytes,
        .uploads_directory = stores->uploads,
    };
    stores->cold_options = (struct cold_store_options){
        .backend = config->cold_store == OBJECT_COLD_STORE_S3 ? "s3" : "directory",
        .directory = config->cold_dir,
        .s3 = &stores->s3_options,
        .replica = config->replica,
        .clock = &system_clock,
    };
}

static bool open_cold(struct stores *stores, const struct object_config *config, struct metrics *metrics,
                      struct error *error) {
    fill_cold_options(stores, config);
    struct cold_store *configured = cold_store_open(&stores->cold_options, error);
    if (configured == NULL) {
        return false;
    }
    struct cold_pair *pair = cold_pair_new(configured);
    struct cold_breaker_options breaker_options = {
        .clock = &system_clock,
        .limits = {.failures = (unsigned)config->cold_suspend_failures,
                   .first_pause_ms = COLD_FIRST_PAUSE_MS,
                   .longest_pause_ms = config->cold_suspend_longest_ms,
                   .probe_ms = COLD_PROBE_MS},
        .metrics = metrics,
    };
    stores->cold_breaker = cold_breaker_new(cold_pair_store(pair), &breaker_options);
    stores->cold = cold_breaker_store(stores->cold_breaker);
    struct migrator_options options = {
        .pair = pair,
        .configured = &stores->cold_options,
        .directory = stores->migration,
        .bytes_per_second = config->migration_bytes_per_second,
        .metrics = metrics,
    };
    stores->migrator = migrator_start(&options, error);
    return stores->migrator != NULL;
}

static bool open_quarantine(struct stores *stores, const struct object_config *config, struct error *error) {
    char quarantine[STORES_PATH_BYTES];
    snprintf(quarantine, sizeof quarantine, "%s/quarantine", config->data_dir);
    struct cold_store_options options = {
        .backend = "directory", .directory = quarantine, .replica = config->replica, .clock = &system_clock};
    stores->quarantine = cold_store_open(&options, error);
    return stores->quarantine != NULL;
}

static bool open_moves(struct stores *stores, const struct object_config *config, struct error *error) {
    char moves[STORES_PATH_BYTES];
    snprintf(moves, sizeof moves, "%s/moves", config->data_dir);
    stores->moves_disk = posix_disk_new(moves, error);
    if (stores->moves_disk == NULL) {
        return false;
    }
    stores->read_times = read_times_open(stores->moves_disk);
    stores->move_notes = move_notes_open(stores->moves_disk, error);
    stores->ingest_notes = stores->move_notes != NULL ? ingest_notes_open(stores->moves_disk, error) : NULL;
    return stores->ingest_notes != NULL;
}

static bool open_dead_letters(struct stores *stores, const struct object_config *config, struct error *error) {
    char directory[STORES_PATH_BYTES];
    snprintf(directory, sizeof directory, "%s/dead-letters", config->data_dir);
    stores->dead_letters = dead_letters_open(directory, (size_t)config->dead_letters_max, error);
    return stores->dead_letters != NULL;
}

bool stores_open(struct stores *stores, const struct object_config *config, struct metrics *metrics,
                 struct error *error) {
    return open_hot(stores, config, error) && open_cold(stores, config, metrics, error) &&
           open_quarantine(stores, config, error) && open_moves(stores, config, error) &&
           open_dead_letters(stores, config, error);
}

void stores_give_up(struct stores *stores) {
    atomic_store(&stores->given_up, true);
}

void stores_stop(struct stores *stores) {
    migrator_stop(stores->migrator);
    stores->migrator = NULL;
}

void stores_close(struct stores *stores) {
    stores_stop(stores);
    ingest_notes_close(stores->ingest_notes);
    move_notes_close(stores->move_notes);
    read_times_free(stores->read_times);
    if (stores->moves_disk != NULL) {
        stores->moves_disk->ops->free(stores->moves_disk);
    }
    dead_letters_close(stores->dead_letters);
    if (stores->quarantine != NULL) {
        cold_store_close(stores->quarantine);
    }
    if (stores->cold != NULL) {
        cold_store_close(stores->cold);
    }
    hot_migrator_stop(stores->hot_migrator);
    if (stores->hot != NULL) {
        hot_store_close(stores->hot);
    }
    hot_migrator_close(stores->hot_migrator);
}
