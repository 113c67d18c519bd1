// rooms: waybill_base
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/disk.h"

struct place {
    char root[64];
    struct disk *disk;
    const struct disk_ops *ops;
};

static struct place start(void) {
    struct place place = {.root = "/tmp/waybill-disk-XXXXXX"};
    struct error error = {0};
    char below[96];
    cr_assert_not_null(mkdtemp(place.root));
    snprintf(below, sizeof below, "%s/a/b", place.root);
    place.disk = posix_disk_new(below, &error);
    cr_assert_not_null(place.disk, "%s", error.message);
    place.ops = place.disk->ops;
    return place;
}

static void end(struct place *place) {
    char command[96];
    place->ops->free(place->disk);
    snprintf(command, sizeof command, "rm -r %s", place->root);
    cr_assert_eq(system(command), 0);
}

static struct disk_file *make(struct place *place, const char *path) {
    struct error error = {0};
    struct disk_file *file = place->ops->open(place->disk, path, true, &error);
    cr_assert_not_null(file, "%s", error.message);
    return file;
}

static void put(struct disk_file *file, uint64_t offset, const char *text) {
    struct error error = {0};
    cr_assert(file->ops->write(file, offset, bytes_of_string(text), &error), "%s", error.message);
}

static uint64_t size_of(struct disk_file *file) {
    struct error error = {0};
    uint64_t size = 0;
    cr_assert(file->ops->size(file, &size, &error), "%s", error.message);
    return size;
}

Test(posix_disk, makes_its_root_and_the_directories_above) {
    struct place place = start();
    struct stat status;
    char path[96];
    snprintf(path, sizeof path, "%s/a/b", place.root);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert(S_ISDIR(status.st_mode));
    end(&place);
}

Test(posix_disk, a_root_that_is_a_file_is_an_error) {
    struct place place = start();
    struct error error = {0};
    char path[96];
    place.ops->close(make(&place, "file"));
    snprintf(path, sizeof path, "%s/a/b/file", place.root);
    cr_assert_null(posix_disk_new(path, &error));
    cr_assert_eq(error.code, ERROR_INTERNAL);
    cr_assert_not_null(strstr(error.message, path), "%s", error.message);
    end(&place);
}

Test(posix_disk, gives_back_what_was_written_where_it_was_written) {
    struct place place = start();
    struct error error = {0};
    struct disk_file *file = make(&place, "file");
    char out[32] = {0};
    put(file, 5, "world");
    put(file, 0, "hello");
    cr_assert(file->ops->sync(file, &error));
    cr_assert_eq(file->ops->read(file, 0, out, sizeof out, &error), 10);
    cr_assert_str_eq(out, "helloworld");
    cr_assert_eq(file->ops->read(file, 8, out, 2, &error), 2);
    cr_assert_eq(file->ops->read(file, 8, out, 20, &error), 2);
    cr_assert_eq(file->ops->read(file, 10, out, 20, &error), 0);
    cr_assert_eq(file->ops->read(file, 1000, out, 20, &error), 0);
    file->ops->close(file);
    end(&place);
}

Test(posix_disk, what_is_missing_is_opened_only_to_be_created) {
    struct place place = start();
    struct error error = {0};
    cr_assert_null(place.ops->open(place.disk, "missing", false, &error));
    cr_assert_str_eq(error.reason, "IO_ERROR");
    cr_assert_not_null(strstr(error.message, "missing"));
    struct disk_file *file = make(&place, "missing");
    put(file, 0, "x");
    file->ops->close(file);
    file = place.ops->open(place.disk, "missing", false, &error);
    cr_assert_not_null(file);
    cr_assert_eq(size_of(file), 1);
    file->ops->close(file);
    end(&place);
}

Test(posix_disk, allocate_extends_and_truncate_cuts) {
    struct place place = start();
    struct error error = {0};
    struct stat status;
    char path[96];
    struct disk_file *file = make(&place, "file");
    put(file, 0, "kept");
    cr_assert(file->ops->allocate(file, 0, 1 << 20, &error), "%s", error.message);
    cr_assert_eq(size_of(file), 1 << 20);
    snprintf(path, sizeof path, "%s/a/b/file", place.root);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_geq(status.st_blocks, (1 << 20) / 512, "space is reserved");
    char out[8] = {0};
    cr_assert_eq(file->ops->read(file, 0, out, 8, &error), 8);
    cr_assert_eq(memcmp(out, "kept\0\0\0\0", 8), 0);
    cr_assert(file->ops->truncate(file, 2, &error));
    cr_assert_eq(size_of(file), 2);
    file->ops->close(file);
    end(&place);
}

Test(posix_disk, a_full_disk_says_so) {
    struct disk *disk;
    struct error error = {0};
    cr_assert_not_null(disk = posix_disk_new("/dev", &error), "%s", error.message);
    struct disk_file *full = disk->ops->open(disk, "full", false, &error);
    cr_assert_not_null(full, "%s", error.message);
    cr_assert_not(full->ops->write(full, 0, bytes_of_string("x"), &error));
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "DISK_FULL");
    full->ops->close(full);
    disk->ops->free(disk);
}

static bool count_name(void *context, const char *name) {
    unsigned *counts = context;
    counts[(unsigned char)name[0]]++;
    return name[0] != 'z';
}

Test(posix_disk, lists_renames_and_removes_names) {
    struct place place = start();
    struct error error = {0};
    unsigned counts[256] = {0};
    place.ops->close(make(&place, "one"));
    place.ops->close(make(&place, "two"));
    cr_assert(place.ops->rename(place.disk, "one", "three", &error));
    cr_assert(place.ops->unlink(place.disk, "two", &error));
    cr_assert(place.ops->unlink(place.disk, "two", &error), "removing what is not there is fine");
    cr_assert(place.ops->sync_directory(place.disk, "", &error), "%s", error.message);
    cr_assert(place.ops->sync_directory(place.disk, ".", &error), "%s", error.message);
    cr_assert(place.ops->list(place.disk, "", count_name, counts, &error));
    cr_assert_eq(counts['t'], 1);
    cr_assert_eq(counts['o'], 0);
    cr_assert_eq(counts['.'], 0);
    cr_assert_not(place.ops->rename(place.disk, "nothing", "x", &error));
    cr_assert_not_null(strstr(error.message, "nothing"));
    end(&place);
}

Test(posix_disk, a_listing_ends_when_the_visit_says_so) {
    struct place place = start();
    struct error error = {0};
    unsigned counts[256] = {0};
    for (char name[] = "z0"; name[1] <= '9'; name[1]++) {
        place.ops->close(make(&place, name));
    }
    cr_assert(place.ops->list(place.disk, ".", count_name, counts, &error));
    cr_assert_eq(counts['z'], 1);
    cr_assert_not(place.ops->list(place.disk, "missing", count_name, counts, &error));
    cr_assert_not_null(strstr(error.message, "missing"));
    end(&place);
}

Test(posix_disk, makes_directories_and_those_above) {
    struct place place = start();
    struct error error = {0};
    cr_assert(place.ops->make_directory(place.disk, "x/y/z", &error), "%s", error.message);
    cr_assert(place.ops->make_directory(place.disk, "x/y/z", &error), "one that exists is fine");
    struct disk_file *file = make(&place, "x/y/z/file");
    cr_assert(file->ops->sync(file, &error));
    file->ops->close(file);
    cr_assert(place.ops->sync_directory(place.disk, "x/y/z", &error));
    cr_assert_not(place.ops->make_directory(place.disk, "x/y/z/file/below", &error));
    end(&place);
}

Test(posix_disk, writing_back_and_reserving_change_no_byte_and_no_size) {
    struct place place = start();
    struct error error = {0};
    struct disk_file *file = make(&place, "file");
    cr_assert(file->ops->write(file, 0, bytes_of_string("some bytes"), &error));
    file->ops->reserve(file, 10, 1 << 20);
    cr_assert(file->ops->write_back(file, 0, 10, DISK_WRITE_BACK_BEGIN, &error));
    cr_assert(file->ops->write_back(file, 0, 10, DISK_WRITE_BACK_WAIT, &error));
    cr_assert(file->ops->write_back(file, 0, 10, DISK_WRITE_BACK_FORGET, &error));
    uint64_t size;
    char back[16];
    cr_assert(file->ops->size(file, &size, &error));
    cr_assert_eq(size, 10);
    cr_assert_eq(file->ops->read(file, 0, back, sizeof back, &error), 10);
    cr_assert_arr_eq(back, "some bytes", 10);
    file->ops->close(file);
    end(&place);
}
