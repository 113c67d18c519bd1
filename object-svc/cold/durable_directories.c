#include "object-svc/cold/durable_directories.h"

#include <unistd.h>

void durable_directories_init(struct durable_directories *self) {
    pthread_mutex_init(&self->lock, NULL);
    self->count = 0;
    self->clock = 0;
}

void durable_directories_destroy(struct durable_directories *self) {
    for (size_t i = 0; i < self->count; i++) {
        close(self->known[i].fd);
    }
    pthread_mutex_destroy(&self->lock);
}

static struct durable_directory *find(struct durable_directories *self, const struct stat *status) {
    for (size_t i = 0; i < self->count; i++) {
        struct durable_directory *directory = &self->known[i];
        if (directory->inode == status->st_ino && directory->device == status->st_dev) {
            directory->used = ++self->clock;
            return directory;
        }
    }
    return NULL;
}

static void drop(struct durable_directories *self, struct durable_directory *directory) {
    close(directory->fd); /* read-only, and all that must last was synced */
    *directory = self->known[--self->count];
}

static struct durable_directory *least_used(struct durable_directories *self) {
    struct durable_directory *least = &self->known[0];
    for (size_t i = 1; i < self->count; i++) {
        if (self->known[i].used < least->used) {
            least = &self->known[i];
        }
    }
    return least;
}

bool durable_directories_has(struct durable_directories *self, const struct stat *status) {
    pthread_mutex_lock(&self->lock);
    bool known = find(self, status) != NULL;
    pthread_mutex_unlock(&self->lock);
    return known;
}

void durable_directories_add_take(struct durable_directories *self, int fd, const struct stat *status) {
    pthread_mutex_lock(&self->lock);
    if (find(self, status) != NULL) {
        close(fd); /* another thread was faster */
    } else {
        if (self->count == DURABLE_DIRECTORIES_MAX) {
            drop(self, least_used(self));
        }
        self->known[self->count++] = (struct durable_directory){fd, status->st_dev, status->st_ino, ++self->clock};
    }
    pthread_mutex_unlock(&self->lock);
}

void durable_directories_forget(struct durable_directories *self, const struct stat *status) {
    pthread_mutex_lock(&self->lock);
    struct durable_directory *directory = find(self, status);
    if (directory != NULL) {
        drop(self, directory);
    }
    pthread_mutex_unlock(&self->lock);
}
