#include "object-svc/cold/cold_path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/names.h"

/* A path being written; names were checked, so that it fits. */
struct path_writer {
    char *out;
    size_t size;
    size_t piece; /* bytes in the directory name at hand */
};

static void put(struct path_writer *writer, const char *text, size_t size) {
    memcpy(writer->out + writer->size, text, size);
    writer->size += size;
    writer->piece += size;
}

/* Bytes of the UTF-8 character that begins with this byte. */
static size_t character_bytes(uint8_t first) {
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static void put_character(struct path_writer *writer, const char *character, size_t size) {
    bool escape = *character == '%' || (*character == '@' && writer->piece == 0);
    size_t written = escape ? 3 : size;
    if (writer->piece + written > COLD_NAME_PIECE_BYTES) {
        put(writer, "%/", 2);
        writer->piece = 0;
        escape = escape || *character == '@';
    }
    if (escape) {
        put(writer, *character == '%' ? "%25" : "%40", 3);
    } else {
        put(writer, character, size);
    }
}

bool cold_path_directory(const struct cold_name *name, char path[COLD_PATH_MAX_BYTES]) {
    struct error ignored;
    if (!name_check_bucket(name->bucket, "bucket", &ignored) || !name_check_key(name->key, "key", &ignored)) {
        return false;
    }
    struct path_writer writer = {.out = path};
    put(&writer, name->bucket, strlen(name->bucket));
    put(&writer, "/", 1);
    writer.piece = 0;
    for (const char *at = name->key; *at != '\0';) {
        size_t size = character_bytes((uint8_t)*at);
        if (*at == '/') {
            put(&writer, "/", 1);
            writer.piece = 0;
        } else {
            put_character(&writer, at, size);
        }
        at += size;
    }
    path[writer.size] = '\0';
    return true;
}

bool cold_path_object(const struct cold_name *name, char path[COLD_PATH_MAX_BYTES]) {
    if (name->version < 1 || !cold_path_directory(name, path)) {
        return false;
    }
    size_t size = strlen(path);
    snprintf(path + size, COLD_PATH_MAX_BYTES - size, "/@%" PRId64, name->version);
    return true;
}

/* Undoes the escapes of one directory name; `cut` says that the segment goes on in the next. */
static bool read_piece(const char *piece, size_t size, char *key, size_t *key_size, bool *cut) {
    *cut = size > 0 && piece[size - 1] == '%';
    size -= *cut ? 1 : 0;
    for (size_t i = 0; i < size; i++) {
        char c = piece[i];
        if (c == '%') {
            bool percent = size - i >= 3 && memcmp(piece + i, "%25", 3) == 0;
            bool at = size - i >= 3 && memcmp(piece + i, "%40", 3) == 0;
            if (!percent && !at) {
                return false;
            }
            c = percent ? '%' : '@';
            i += 2;
        }
        if (*key_size == NAME_KEY_MAX_BYTES) {
            return false;
        }
        key[(*key_size)++] = c;
    }
    return true;
}

static bool read_key(const char *at, const char *end, char *key) {
    size_t size = 0;
    bool cut = false;
    while (at < end) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        const char *piece_end = slash == NULL ? end : slash;
        if (!read_piece(at, (size_t)(piece_end - at), key, &size, &cut)) {
            return false;
        }
        if (slash == NULL) {
            break;
        }
        if (!cut) {
            if (size == NAME_KEY_MAX_BYTES) {
                return false;
            }
            key[size++] = '/';
        }
        at = slash + 1;
    }
    key[size] = '\0';
    return !cut;
}

bool cold_path_parse(const char *path, char bucket[64], char key[1025], struct cold_name *name) {
    const char *slash = strchr(path, '/');
    const char *last = strrchr(path, '/');
    if (slash == NULL || last == slash || slash - path > NAME_BUCKET_MAX_BYTES || last[1] != '@') {
        return false;
    }
    memcpy(bucket, path, (size_t)(slash - path));
    bucket[slash - path] = '\0';
    char *end;
    long long version = strtoll(last + 2, &end, 10);
    if (*end != '\0' || !read_key(slash + 1, last, key)) {
        return false;
    }
    *name = (struct cold_name){.bucket = bucket, .key = key, .version = version};
    /* Only what we would have written is ours: that makes the mapping one to one. */
    char again[COLD_PATH_MAX_BYTES];
    return cold_path_object(name, again) && strcmp(path, again) == 0;
}
