#include "tests/simulation/sim_disk.h"

static const struct disk_ops *honest;
static struct disk_ops lying_sync_ops;
static struct disk_ops lying_names_ops;

static bool no_sync(struct disk_file *file, struct error *error) {
    (void)file;
    (void)error;
    return true;
}

static bool no_sync_directory(struct disk *disk, const char *path, struct error *error) {
    (void)disk;
    (void)path;
    (void)error;
    return true;
}

static struct disk_file *open_lying(struct disk *disk, const char *path, bool create, struct error *error) {
    struct disk_file *file = honest->open(disk, path, create, error);
    if (file != NULL) {
        file->ops = &lying_sync_ops;
    }
    return file;
}

static void learn(struct disk *disk) {
    if (honest == NULL) {
        honest = disk->ops;
        lying_sync_ops = *honest;
        lying_sync_ops.open = open_lying;
        lying_sync_ops.sync = no_sync;
        lying_names_ops = *honest;
        lying_names_ops.sync_directory = no_sync_directory;
    }
}

void sim_disk_plant_lying_sync(struct disk *disk) {
    learn(disk);
    disk->ops = &lying_sync_ops;
}

void sim_disk_plant_lying_names(struct disk *disk) {
    learn(disk);
    disk->ops = &lying_names_ops;
}
