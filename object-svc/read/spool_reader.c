#include "object-svc/read/spool_reader.h"

#include <stdlib.h>
#include <string.h>

struct spool_reader {
    struct payload_source source;
    struct uuid payload_id;
    struct payload_pull *pull; /* NULL: none under way */
    uint64_t position;         /* of the next byte that the pull gives */
    struct pull_event event;   /* its data: what is left of the last chunk */
    bool ended;
};

static void end_pull(struct spool_reader *reader) {
    if (reader->pull != NULL) {
        reader->source.close(reader->pull);
        reader->pull = NULL;
    }
    reader->event.data = (struct bytes){0};
}

/* Takes the next chunk, or finds the end. */
static bool advance(struct spool_reader *reader, struct error *error) {
    switch (reader->source.next(reader->pull, &reader->event)) {
    case PULL_BEGIN:
    case PULL_CHUNK:
        return true;
    case PULL_END:
    case PULL_DONE:
        reader->ended = true;
        return true;
    case PULL_REFUSED:
    case PULL_BROKEN:
        break;
    }
    *error = reader->event.error;
    end_pull(reader);
    return false;
}

static bool start_pull(struct spool_reader *reader, uint64_t offset, struct error *error) {
    end_pull(reader);
    struct payload_range range = {.payload_id = reader->payload_id, .offset = offset};
    reader->ended = false;
    reader->position = offset;
    reader->pull = reader->source.open(reader->source.self, &range, 1, error);
    return reader->pull != NULL && advance(reader, error);
}

struct spool_reader *spool_reader_open(const struct payload_source *source, const struct uuid *payload_id,
                                       struct error *error) {
    struct spool_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        abort();
    }
    reader->source = *source;
    reader->payload_id = *payload_id;
    if (!start_pull(reader, 0, error)) {
        spool_reader_close(reader);
        return NULL;
    }
    return reader;
}

int64_t spool_reader_read(struct spool_reader *reader, uint64_t offset, void *out, size_t size, struct error *error) {
    if ((reader->pull == NULL || reader->position != offset) && !start_pull(reader, offset, error)) {
        return -1;
    }
    size_t done = 0;
    while (done < size && !reader->ended) {
        struct bytes *left = &reader->event.data;
        if (left->size == 0) {
            if (!advance(reader, error)) {
                return -1;
            }
            continue;
        }
        size_t part = left->size < size - done ? left->size : size - done;
        memcpy((uint8_t *)out + done, left->data, part);
        left->data += part;
        left->size -= part;
        done += part;
    }
    reader->position += done;
    return (int64_t)done;
}

void spool_reader_close(struct spool_reader *reader) {
    if (reader != NULL) {
        end_pull(reader);
        free(reader);
    }
}
