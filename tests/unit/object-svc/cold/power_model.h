/* What a power loss would leave below a directory, by the letter of POSIX: of a file its bytes only if it was
 * synced, of a name only if its directory was synced since. The calls of the code under test are taken in here
 * (this header defines fsync and its kin for the whole program), done, and written down; after each of them
 * the power might go.
 *
 * It loses all that may be lost: a name that was given counts from the sync on that began after it, and one that
 * was taken away is gone at once. A rename over another file leaves one of the two. What it finds is told by
 * power_check_losses: a test must not end while it holds the lock, in whatever thread. */
#ifndef WAYBILL_TESTS_POWER_MODEL_H
#define WAYBILL_TESTS_POWER_MODEL_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { POWER_NAMES_MAX = 4096, POWER_NODES_MAX = 4096, POWER_OBJECTS_MAX = 1024, POWER_LISTED_MAX = 1024 };

/* A file or directory; a number that is used again for another one gets another serial. */
struct power_node {
    ino_t inode;
    unsigned serial;
    bool synced; /* a file's bytes */
};

struct power_name {
    unsigned parent; /* serials */
    unsigned child;
    char name[256];
};

static struct power_model {
    pthread_mutex_t lock; /* all below, and the calls that change names */
    bool on;
    struct power_node nodes[POWER_NODES_MAX]; /* that are there */
    size_t node_count;
    struct power_name names[POWER_NAMES_MAX]; /* that are durable */
    size_t name_count;
    unsigned last_serial;
    unsigned root;
    char root_path[64];
    unsigned syncs;
    char *kept[POWER_OBJECTS_MAX]; /* paths of files that must not be lost */
    size_t kept_count;
    char loss[512]; /* the first one */
} power = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What the model itself needs. */
static inline void power_demand(bool good) {
    if (!good) {
        abort();
    }
}

/* ---- what is there ---- */

static inline struct power_node *power_node(ino_t inode) {
    for (size_t i = 0; i < power.node_count; i++) {
        if (power.nodes[i].inode == inode) {
            return &power.nodes[i];
        }
    }
    power_demand(power.node_count < POWER_NODES_MAX);
    power.nodes[power.node_count] = (struct power_node){.inode = inode, .serial = ++power.last_serial};
    return &power.nodes[power.node_count++];
}

static inline struct power_node *power_node_at(int at, const char *path) {
    struct stat status;
    return fstatat(at, path, &status, AT_SYMLINK_NOFOLLOW) == 0 ? power_node(status.st_ino) : NULL;
}

static inline struct power_name *power_find(unsigned parent, const char *name) {
    for (size_t i = 0; i < power.name_count; i++) {
        if (power.names[i].parent == parent && strcmp(power.names[i].name, name) == 0) {
            return &power.names[i];
        }
    }
    return NULL;
}

/* It has no name any more. */
static inline void power_end_node(struct power_node *node) {
    for (size_t i = power.name_count; i > 0; i--) {
        if (power.names[i - 1].child == node->serial) {
            power.names[i - 1] = power.names[--power.name_count];
        }
    }
    *node = power.nodes[--power.node_count];
}

static inline void power_keep_name(unsigned parent, const char *name, unsigned child) {
    struct power_name *there = power_find(parent, name);
    if (there == NULL) {
        power_demand(power.name_count < POWER_NAMES_MAX);
        there = &power.names[power.name_count++];
        *there = (struct power_name){.parent = parent};
        snprintf(there->name, sizeof there->name, "%s", name);
    }
    there->child = child;
}

/* ---- what must be there ---- */

static inline bool power_survives(const char *path) {
    char part[256];
    unsigned at = power.root;
    for (size_t length; *path != '\0'; path += length + (path[length] == '/')) {
        length = strcspn(path, "/");
        snprintf(part, sizeof part, "%.*s", (int)length, path);
        const struct power_name *name = power_find(at, part);
        if (name == NULL) {
            return false;
        }
        at = name->child;
    }
    for (size_t i = 0; i < power.node_count; i++) {
        if (power.nodes[i].serial == at) {
            return power.nodes[i].synced;
        }
    }
    return false;
}

/* With the lock. */
static inline void power_check(const char *after) {
    for (size_t i = 0; i < power.kept_count && power.loss[0] == '\0'; i++) {
        if (!power_survives(power.kept[i])) {
            snprintf(power.loss, sizeof power.loss, "a power loss after %s takes %s", after, power.kept[i]);
        }
    }
}

static inline void power_check_losses(void) {
    char loss[sizeof power.loss];
    pthread_mutex_lock(&power.lock);
    memcpy(loss, power.loss, sizeof loss);
    pthread_mutex_unlock(&power.lock);
    cr_assert_str_empty(loss, "%s", loss);
}

static inline void power_must_keep(const char *path) {
    pthread_mutex_lock(&power.lock);
    power_demand(power.kept_count < POWER_OBJECTS_MAX);
    power.kept[power.kept_count] = strdup(path);
    power_demand(power.kept[power.kept_count++] != NULL);
    power_check("the put returned");
    pthread_mutex_unlock(&power.lock);
}

static inline void power_may_lose(const char *path) {
    pthread_mutex_lock(&power.lock);
    for (size_t i = power.kept_count; i > 0; i--) {
        if (strcmp(power.kept[i - 1], path) == 0) {
            free(power.kept[i - 1]);
            power.kept[i - 1] = power.kept[--power.kept_count];
        }
    }
    pthread_mutex_unlock(&power.lock);
}

/* From now on; what is below the directory is not durable, whoever made it. */
static inline void power_start(const char *root) {
    pthread_mutex_lock(&power.lock);
    struct power_node *node = power_node_at(AT_FDCWD, root);
    power_demand(node != NULL);
    power.root = node->serial;
    snprintf(power.root_path, sizeof power.root_path, "%s", root);
    power.on = true;
    pthread_mutex_unlock(&power.lock);
}

static inline void power_end(void) {
    pthread_mutex_lock(&power.lock);
    power.on = false;
    while (power.kept_count > 0) {
        free(power.kept[--power.kept_count]);
    }
    pthread_mutex_unlock(&power.lock);
}

static inline unsigned power_syncs(void) {
    pthread_mutex_lock(&power.lock);
    unsigned syncs = power.syncs;
    pthread_mutex_unlock(&power.lock);
    return syncs;
}

/* ---- the calls ---- */

struct power_listing {
    size_t count;
    struct power_name names[POWER_LISTED_MAX];
};

static inline bool power_is_below_root(int fd) {
    char link[64];
    char path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path);
    size_t root_size = strlen(power.root_path);
    return size >= (ssize_t)root_size && strncmp(path, power.root_path, root_size) == 0;
}

static inline void power_list(int fd, unsigned parent, struct power_listing *listing) {
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    listing->count = 0;
    if (again < 0) {
        return; /* removed */
    }
    DIR *directory = fdopendir(again);
    power_demand(directory != NULL);
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            power_demand(listing->count < POWER_LISTED_MAX);
            struct power_name *name = &listing->names[listing->count++];
            *name = (struct power_name){.parent = parent, .child = power_node(entry->d_ino)->serial};
            snprintf(name->name, sizeof name->name, "%s", entry->d_name);
        }
    }
    closedir(directory);
}

static inline bool power_is_there(unsigned serial) {
    for (size_t i = 0; i < power.node_count; i++) {
        if (power.nodes[i].serial == serial) {
            return true;
        }
    }
    return false;
}

/* A name that was taken away, or given to another, since the sync began stays so. */
static inline void power_keep_listed(int fd, const struct power_listing *listing) {
    for (size_t i = 0; i < listing->count; i++) {
        const struct power_name *name = &listing->names[i];
        const struct power_node *now = power_node_at(fd, name->name);
        if (power_is_there(name->child) && now != NULL && now->serial == name->child) {
            power_keep_name(name->parent, name->name, name->child);
        }
    }
}

int fsync(int fd) {
    struct stat status;
    if (!power.on || fstat(fd, &status) != 0) {
        return (int)syscall(SYS_fsync, fd);
    }
    struct power_listing *listing = malloc(sizeof *listing);
    power_demand(listing != NULL);
    pthread_mutex_lock(&power.lock);
    unsigned serial = power_node(status.st_ino)->serial;
    power.syncs++;
    listing->count = 0;
    if (S_ISDIR(status.st_mode) && power_is_below_root(fd)) {
        power_list(fd, serial, listing);
    } else if (S_ISREG(status.st_mode)) {
        power_node(status.st_ino)->synced = true;
    }
    pthread_mutex_unlock(&power.lock);
    sched_yield(); /* what others do meanwhile is not part of it */
    pthread_mutex_lock(&power.lock);
    power_keep_listed(fd, listing);
    power_check("a sync");
    pthread_mutex_unlock(&power.lock);
    free(listing);
    return 0;
}

int mkdirat(int at, const char *path, mode_t mode) {
    pthread_mutex_lock(&power.lock);
    int result = (int)syscall(SYS_mkdirat, at, path, mode);
    int saved = errno;
    pthread_mutex_unlock(&power.lock);
    errno = saved;
    return result;
}

static inline void power_note_rename(struct power_node *replaced, ino_t moved) {
    if (replaced == NULL) {
        return;
    }
    /* Whichever of the two is there after the loss, it must be whole. */
    const struct power_node *node = power_node(moved);
    for (size_t i = 0; i < power.name_count && node->synced; i++) {
        if (power.names[i].child == replaced->serial) {
            power.names[i].child = node->serial;
        }
    }
    power_end_node(replaced);
}

int renameat(int old_at, const char *old_path, int new_at, const char *new_path) {
    struct stat moved;
    struct stat replaced;
    pthread_mutex_lock(&power.lock);
    bool replaces = power.on && fstatat(new_at, new_path, &replaced, AT_SYMLINK_NOFOLLOW) == 0;
    bool known = power.on && fstatat(old_at, old_path, &moved, AT_SYMLINK_NOFOLLOW) == 0;
    int result = (int)syscall(SYS_renameat, old_at, old_path, new_at, new_path);
    int saved = errno;
    if (result == 0 && known) {
        power_note_rename(replaces ? power_node(replaced.st_ino) : NULL, moved.st_ino);
        power_check("a rename");
    }
    pthread_mutex_unlock(&power.lock);
    errno = saved;
    return result;
}

int unlinkat(int at, const char *path, int flags) {
    struct stat status;
    pthread_mutex_lock(&power.lock);
    bool known = power.on && fstatat(at, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
    int result = (int)syscall(SYS_unlinkat, at, path, flags);
    int saved = errno;
    if (result == 0 && known) {
        power_end_node(power_node(status.st_ino));
        power_check("a removal");
    }
    pthread_mutex_unlock(&power.lock);
    errno = saved;
    return result;
}

#endif
