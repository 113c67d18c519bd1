/* Notes of multipart uploads: a file for each that is under way, which holds the object's S3
 * name. It is made before the upload begins, so that there is none without; an upload's id need
 * not be noted, since the server lists the uploads of a name. So one note is enough for all that was
 * left behind of a name: where a server refuses to abort, notes do not pile up. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/cold/cold_s3_parts.h"
#include "object-svc/cold/s3/s3_answer.h"
#include "object-svc/cold/s3/s3_url.h"

bool cold_s3_note_upload(struct cold_s3 *self, const char *key, char note[COLD_S3_NOTE_BYTES], struct error *error) {
    struct uuid unique = uuid_make();
    uuid_print(&unique, note);
    int file = openat(self->uploads, note, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (file < 0) {
        return error_set_errno(error, errno, "noting the upload of %s", key);
    }
    size_t size = strlen(key);
    bool ok = FAILPOINT("cold_s3.note.before") && write(file, key, size) == (ssize_t)size && fsync(file) == 0 &&
              fsync(self->uploads) == 0 && FAILPOINT("cold_s3.note.after");
    int saved = errno;
    close(file);
    if (!ok) {
        unlinkat(self->uploads, note, 0);
        return error_set_errno(error, saved, "noting the upload of %s", key);
    }
    return true;
}

void cold_s3_drop_note(struct cold_s3 *self, const char *note) {
    FAILPOINT("cold_s3.drop_note.before");
    unlinkat(self->uploads, note, 0);
}

/* An upload to be aborted. */
struct leftover {
    char note[COLD_S3_NOTE_BYTES];
    char key_sha256[S3_SHA256_TEXT_BYTES];
};

static bool add_leftover(struct cold_s3 *self, const struct leftover *leftover) {
    const struct leftover *all = (const struct leftover *)(const void *)self->leftovers.data;
    for (size_t i = 0; i < self->leftovers.size / sizeof *all; i++) {
        if (strcmp(all[i].key_sha256, leftover->key_sha256) == 0) {
            return false;
        }
    }
    buffer_append(&self->leftovers, leftover, sizeof *leftover);
    return true;
}

void cold_s3_leave_note(struct cold_s3 *self, const char *note, const char *key) {
    struct leftover leftover = {0};
    snprintf(leftover.note, sizeof leftover.note, "%s", note);
    if (!s3_sha256(bytes_of_string(key), leftover.key_sha256)) {
        abort();
    }
    pthread_mutex_lock(&self->lock);
    bool added = add_leftover(self, &leftover);
    pthread_mutex_unlock(&self->lock);
    if (!added) {
        cold_s3_drop_note(self, note);
    }
}

/* "" where the note was not written to its end: then no upload had begun. */
static bool read_note(struct cold_s3 *self, const char *note, char key[COLD_S3_KEY_BYTES]) {
    int file = openat(self->uploads, note, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, key, COLD_S3_KEY_BYTES - 1);
    if (file >= 0) {
        close(file);
    }
    key[got < 0 ? 0 : got] = '\0';
    return got >= 0;
}

bool cold_s3_find_notes(struct cold_s3 *self, struct error *error) {
    int fd = openat(self->uploads, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        int saved = errno;
        if (fd >= 0) {
            close(fd);
        }
        return error_set_errno(error, saved, "reading the notes of uploads");
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        struct uuid ignored;
        char key[COLD_S3_KEY_BYTES];
        if (uuid_parse_text(entry->d_name, &ignored) && read_note(self, entry->d_name, key)) {
            cold_s3_leave_note(self, entry->d_name, key);
        }
    }
    closedir(directory);
    return true;
}

/* The oldest: one that cannot be aborted is not in the way of the others. */
static bool take_leftover(struct cold_s3 *self, char note[COLD_S3_NOTE_BYTES]) {
    pthread_mutex_lock(&self->lock);
    struct leftover *all = (struct leftover *)(void *)self->leftovers.data;
    bool there = self->leftovers.size > 0;
    if (there) {
        memcpy(note, all[0].note, COLD_S3_NOTE_BYTES);
        self->leftovers.size -= sizeof *all;
        memmove(all, all + 1, self->leftovers.size);
    }
    pthread_mutex_unlock(&self->lock);
    return there;
}

struct uploads {
    struct cold_s3 *store;
    const char *key;
    int aborted;
    bool failed;
    struct error *error;
};

static bool abort_one(void *context, const char *key, const char *id) {
    struct uploads *uploads = context;
    if (key == NULL || id == NULL || strcmp(key, uploads->key) != 0) {
        return true;
    }
    struct buffer query = {0};
    buffer_append(&query, "uploadId=", 9);
    s3_url_escape(&query, id, false);
    buffer_append_u8(&query, '\0');
    struct s3_request request = {.method = "DELETE", .key = key, .query = (const char *)query.data};
    struct s3_answer answer;
    uploads->failed = !FAILPOINT("cold_s3.abort.before") ||
                      !s3_client_do(uploads->store->client, &request, &answer, uploads->error) ||
                      !FAILPOINT("cold_s3.abort.after");
    uploads->aborted++;
    s3_answer_free(&answer);
    buffer_free(&query);
    return !uploads->failed;
}

/* Those of the key come first among the names that begin with it, so that no second page is
 * needed unless all of the first were ours. */
static bool abort_uploads(struct cold_s3 *self, const char *key, struct error *error) {
    struct buffer query = {0};
    buffer_append(&query, "prefix=", 7);
    s3_url_escape(&query, key, false);
    buffer_append(&query, "&uploads=", sizeof "&uploads=");
    struct s3_request request = {.method = "GET", .key = "", .query = (const char *)query.data};
    struct uploads uploads;
    int pages = 0;
    do {
        uploads = (struct uploads){.store = self, .key = key, .error = error};
        struct s3_answer answer;
        uploads.failed = !s3_client_do(self->client, &request, &answer, error);
        if (!uploads.failed && !s3_answer_each(buffer_bytes(&answer.body), "ListMultipartUploadsResult", "Upload",
                                               "Key", "UploadId", abort_one, &uploads)) {
            uploads.failed =
                !error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE", "the list of uploads cannot be read");
        }
        s3_answer_free(&answer);
        if (uploads.aborted > 0) {
            log_info("cold_uploads_aborted", LOG_STR("key", key), LOG_INT("uploads", uploads.aborted));
        }
    } while (!uploads.failed && uploads.aborted > 0 && ++pages < 16);
    buffer_free(&query);
    return !uploads.failed;
}

void cold_s3_clear_uploads(struct cold_s3 *self) {
    char note[COLD_S3_NOTE_BYTES];
    char key[COLD_S3_KEY_BYTES];
    struct error error = {0};
    while (take_leftover(self, note)) {
        if (read_note(self, note, key) && *key != '\0' && !abort_uploads(self, key, &error)) {
            log_warn("cold_uploads_left", LOG_STR("key", key), LOG_ERROR(&error));
            cold_s3_leave_note(self, note, key);
            return;
        }
        cold_s3_drop_note(self, note);
    }
}
