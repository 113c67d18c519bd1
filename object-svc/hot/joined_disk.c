#include "object-svc/hot/joined_disk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct joined_disk {
    struct disk base;
    pthread_mutex_t lock; /* all that follows */
    struct disk *first;
    struct disk *seconds[JOINED_DISK_SECONDS_MAX]; /* the last one counts; others may still be in use */
    unsigned second_count;
    bool prefers_second;
};

/* The directories of this moment: where files are made, and the other one or NULL. */
struct sides {
    struct disk *preferred;
    struct disk *other;
};

/* Under the lock. */
static struct sides sides_now(const struct joined_disk *self) {
    struct disk *second = self->second_count > 0 ? self->seconds[self->second_count - 1] : NULL;
    bool turned = self->prefers_second && second != NULL;
    return turned ? (struct sides){second, self->first} : (struct sides){self->first, second};
}

static struct sides sides_of(struct disk *disk) {
    struct joined_disk *self = (struct joined_disk *)disk;
    pthread_mutex_lock(&self->lock);
    struct sides sides = sides_now(self);
    pthread_mutex_unlock(&self->lock);
    return sides;
}

struct search {
    const char *name;
    bool found;
};

static bool match(void *context, const char *name) {
    struct search *search = context;
    search->found = strcmp(name, search->name) == 0;
    return !search->found;
}

/* Opens what is there; NULL without an error where it is not. */
static struct disk_file *open_there(struct disk *side, const char *path, bool *failed, struct error *error) {
    struct error why = {0};
    struct disk_file *file = side->ops->open(side, path, false, &why);
    *failed = false;
    if (file == NULL) {
        struct search search = {.name = path};
        *failed = !side->ops->list(side, ".", match, &search, error);
        if (!*failed && search.found) {
            *failed = true;
            *error = why;
        }
    }
    return file;
}

static struct disk_file *open_in(struct sides sides, const char *path, bool create, struct error *error) {
    bool failed = false;
    if (sides.other != NULL) {
        struct disk_file *file = open_there(sides.preferred, path, &failed, error);
        if (file == NULL && !failed) {
            file = open_there(sides.other, path, &failed, error);
        }
        if (file != NULL || failed) {
            return file;
        }
    }
    return sides.preferred->ops->open(sides.preferred, path, create, error);
}

/* Nothing is made in a directory any more once it is not the preferred one. */
static struct disk_file *joined_open(struct disk *disk, const char *path, bool create, struct error *error) {
    struct joined_disk *self = (struct joined_disk *)disk;
    if (!create) {
        return open_in(sides_of(disk), path, false, error);
    }
    pthread_mutex_lock(&self->lock);
    struct disk_file *file = open_in(sides_now(self), path, true, error);
    pthread_mutex_unlock(&self->lock);
    return file;
}

/* What is done on both. */
static bool joined_make_directory(struct disk *disk, const char *path, struct error *error) {
    struct sides sides = sides_of(disk);
    return sides.preferred->ops->make_directory(sides.preferred, path, error) &&
           (sides.other == NULL || sides.other->ops->make_directory(sides.other, path, error));
}

static bool joined_sync_directory(struct disk *disk, const char *path, struct error *error) {
    struct sides sides = sides_of(disk);
    return sides.preferred->ops->sync_directory(sides.preferred, path, error) &&
           (sides.other == NULL || sides.other->ops->sync_directory(sides.other, path, error));
}

static bool joined_unlink(struct disk *disk, const char *path, struct error *error) {
    struct sides sides = sides_of(disk);
    return sides.preferred->ops->unlink(sides.preferred, path, error) &&
           (sides.other == NULL || sides.other->ops->unlink(sides.other, path, error));
}

/* Where it is. */
static bool joined_rename(struct disk *disk, const char *from, const char *to, struct error *error) {
    struct sides sides = sides_of(disk);
    struct search search = {.name = from};
    if (sides.other != NULL && !sides.other->ops->list(sides.other, ".", match, &search, error)) {
        return false;
    }
    struct disk *side = search.found ? sides.other : sides.preferred;
    return side->ops->rename(side, from, to, error);
}

struct listing {
    disk_name_visitor *visit;
    void *context;
    bool ended;
};

static bool pass_on(void *context, const char *name) {
    struct listing *listing = context;
    listing->ended = !listing->visit(listing->context, name);
    return !listing->ended;
}

static bool joined_list(struct disk *disk, const char *path, disk_name_visitor *visit, void *context,
                        struct error *error) {
    struct sides sides = sides_of(disk);
    struct listing listing = {visit, context, false};
    return sides.preferred->ops->list(sides.preferred, path, pass_on, &listing, error) &&
           (listing.ended || sides.other == NULL ||
            sides.other->ops->list(sides.other, path, pass_on, &listing, error));
}

/* Room is needed where files are made. */
static bool joined_space(struct disk *disk, struct disk_space *space, struct error *error) {
    struct sides sides = sides_of(disk);
    return sides.preferred->ops->space(sides.preferred, space, error);
}

static void joined_free(struct disk *disk) {
    struct joined_disk *self = (struct joined_disk *)disk;
    self->first->ops->free(self->first);
    for (unsigned i = 0; i < self->second_count; i++) {
        self->seconds[i]->ops->free(self->seconds[i]);
    }
    pthread_mutex_destroy(&self->lock);
    free(self);
}

/* Files are those of the directories, and have their own. */
static const struct disk_ops joined_ops = {
    .open = joined_open,
    .make_directory = joined_make_directory,
    .sync_directory = joined_sync_directory,
    .rename = joined_rename,
    .unlink = joined_unlink,
    .list = joined_list,
    .space = joined_space,
    .free = joined_free,
};

struct disk *joined_disk_new(struct disk *first) {
    struct joined_disk *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->base.ops = &joined_ops;
    self->first = first;
    pthread_mutex_init(&self->lock, NULL);
    return &self->base;
}

bool joined_disk_set_second(struct disk *disk, struct disk *second) {
    struct joined_disk *self = (struct joined_disk *)disk;
    pthread_mutex_lock(&self->lock);
    bool room = self->second_count < JOINED_DISK_SECONDS_MAX;
    if (room) {
        self->seconds[self->second_count++] = second;
        self->prefers_second = false;
    }
    pthread_mutex_unlock(&self->lock);
    return room;
}

void joined_disk_prefer_second(struct disk *disk, bool second) {
    struct joined_disk *self = (struct joined_disk *)disk;
    pthread_mutex_lock(&self->lock);
    self->prefers_second = second;
    pthread_mutex_unlock(&self->lock);
}

struct disk *joined_disk_other(struct disk *disk) {
    return sides_of(disk).other;
}
