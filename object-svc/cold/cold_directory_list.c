/* Listing: directories are walked depth first, each read whole before the next is opened, so
 * that keys of 512 segments need no more open files than others. The names of one directory
 * are held in memory: about 50 bytes for each key that it holds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/names.h"
#include "object-svc/cold/cold_directory_parts.h"

struct walk {
    struct cold_directory *store;
    const char *key_prefix;
    cold_entry_visitor *visit;
    void *context;
    bool ended;
    struct error *error;
    char path[COLD_PATH_MAX_BYTES + 256]; /* where the walk is */
};

struct name_list {
    char **names;
    size_t count;
    size_t capacity;
};

static void name_list_free(struct name_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->names[i]);
    }
    free(list->names);
}

static void name_list_add(struct name_list *list, const char *name) {
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        list->names = realloc(list->names, list->capacity * sizeof *list->names);
    }
    char *copy = strdup(name);
    if (list->names == NULL || copy == NULL) {
        abort();
    }
    list->names[list->count++] = copy;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in the directory at hand, sorted. What is no directory, or is
 * gone by now, has none. */
static bool read_names(struct walk *walk, struct name_list *list) {
    int fd = openat(walk->store->root, walk->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ||
               error_set_errno(walk->error, errno, "listing the cold store's %s", walk->path);
    }
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        int saved = errno;
        close(fd);
        return error_set_errno(walk->error, saved, "listing the cold store's %s", walk->path);
    }
    struct dirent *entry;
    while ((errno = 0, entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            name_list_add(list, entry->d_name);
        }
    }
    int saved = errno;
    closedir(directory);
    if (saved != 0) {
        return error_set_errno(walk->error, saved, "listing the cold store's %s", walk->path);
    }
    if (list->count > 0) {
        qsort(list->names, list->count, sizeof *list->names, compare_names);
    }
    return true;
}

/* Shows the file at hand, if it is an object's bytes. */
static bool visit_file(struct walk *walk) {
    char bucket[64];
    char key[1025];
    struct cold_entry entry;
    struct stat status;
    if (!cold_path_parse(walk->path, bucket, key, &entry.name) ||
        strncmp(key, walk->key_prefix, strlen(walk->key_prefix)) != 0) {
        return true;
    }
    if (fstatat(walk->store->root, walk->path, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT || error_set_errno(walk->error, errno, "looking at the cold store's %s", walk->path);
    }
    if (S_ISREG(status.st_mode)) {
        entry.size_bytes = (uint64_t)status.st_size;
        walk->ended = !walk->visit(walk->context, &entry);
    }
    return true;
}

static bool walk_directory(struct walk *walk) {
    struct name_list list = {0};
    size_t length = strlen(walk->path);
    bool ok = read_names(walk, &list);
    for (size_t i = 0; ok && !walk->ended && i < list.count; i++) {
        size_t room = sizeof walk->path - length;
        if ((size_t)snprintf(walk->path + length, room, "/%s", list.names[i]) < room) {
            ok = list.names[i][0] == '@' ? visit_file(walk) : walk_directory(walk);
        }
        walk->path[length] = '\0';
    }
    name_list_free(&list);
    return ok;
}

/* Begins at the deepest directory that all keys with the prefix are below of. */
static bool walk_bucket(struct walk *walk, const char *bucket) {
    struct error ignored;
    char head[NAME_KEY_MAX_BYTES + 1];
    const char *slash = strrchr(walk->key_prefix, '/');
    if (!name_check_bucket(bucket, "bucket", &ignored) || strlen(walk->key_prefix) > NAME_KEY_MAX_BYTES) {
        return true;
    }
    if (slash == NULL) {
        snprintf(walk->path, sizeof walk->path, "%s", bucket);
    } else {
        char path[COLD_PATH_MAX_BYTES];
        snprintf(head, sizeof head, "%.*s", (int)(slash - walk->key_prefix), walk->key_prefix);
        if (!cold_path_directory(&(struct cold_name){.bucket = bucket, .key = head}, path)) {
            return true; /* no key begins like that */
        }
        snprintf(walk->path, sizeof walk->path, "%s", path);
    }
    return walk_directory(walk);
}

bool cold_directory_list(struct cold_store *base, const char *bucket, const char *key_prefix, cold_entry_visitor *visit,
                         void *context, struct error *error) {
    struct walk walk = {
        .store = cold_directory_of(base), .key_prefix = key_prefix, .visit = visit, .context = context, .error = error};
    if (bucket[0] != '\0') {
        return walk_bucket(&walk, bucket);
    }
    struct name_list buckets = {0};
    snprintf(walk.path, sizeof walk.path, ".");
    bool ok = read_names(&walk, &buckets);
    for (size_t i = 0; ok && !walk.ended && i < buckets.count; i++) {
        ok = walk_bucket(&walk, buckets.names[i]);
    }
    name_list_free(&buckets);
    return ok;
}
