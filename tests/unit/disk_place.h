/* A real disk in a temporary directory, for one test at a time. */
#ifndef WAYBILL_TESTS_DISK_PLACE_H
#define WAYBILL_TESTS_DISK_PLACE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/disk.h"

struct disk_place {
    char directory[64];
    struct disk *disk;
};

static inline void disk_place_make(struct disk_place *place) {
    struct error error = {0};
    snprintf(place->directory, sizeof place->directory, "/tmp/waybill-test-XXXXXX");
    cr_assert_not_null(mkdtemp(place->directory));
    place->disk = posix_disk_new(place->directory, &error);
    cr_assert_not_null(place->disk, "%s", error.message);
}

static inline void disk_place_remove(struct disk_place *place) {
    char command[96];
    place->disk->ops->free(place->disk);
    snprintf(command, sizeof command, "rm -rf '%s'", place->directory);
    cr_assert_eq(system(command), 0);
}

#endif
