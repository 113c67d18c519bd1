/* The cold tier, as an interface: objects by (bucket, key, version), shared by all replicas.
 * Backends: a directory (cold_directory.h) and a bucket of an S3 server (cold_s3.h); the
 * interface asks for nothing that an S3 store cannot do: all that is said of an object is known when its writing
 * begins, bytes are written in order, an object appears at once and whole, ranges are read.
 *
 * Any thread may use the store; a writer or reader belongs to one thread at a time. One
 * object must not be written and removed at the same time.
 *
 * Errors, besides those named below: IO_ERROR, DISK_FULL (RESOURCE_EXHAUSTED), COLD_STORE_READ_ONLY (UNAVAILABLE), and
 * UNAVAILABLE, COLD_STORE_UNAVAILABLE where a remote store does not answer; what else it may
 * answer is in s3/s3_client.h. */
#ifndef WAYBILL_COLD_COLD_STORE_H
#define WAYBILL_COLD_COLD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "object-svc/hot/provenance.h"

struct cold_store;
struct cold_writer;
struct cold_reader;

/* Borrowed during the call. */
struct cold_name {
    const char *bucket;
    const char *key;
    int64_t version;
};

/* What a listing tells; a reader's provenance tells the rest. */
struct cold_entry {
    struct cold_name name;
    uint64_t size_bytes;
};

/* Called per object; false ends the listing. Valid during the call, which may use the store. */
typedef bool cold_entry_visitor(void *context, const struct cold_entry *entry);

struct cold_store_ops {
    const char *name;
    struct cold_writer *(*begin)(struct cold_store *store, const struct provenance *provenance, struct error *error);
    bool (*append)(struct cold_writer *writer, struct bytes data, struct error *error);
    bool (*finish)(struct cold_writer *writer, struct error *error);
    void (*abort)(struct cold_writer *writer);

    struct cold_reader *(*open_object)(struct cold_store *store, const struct cold_name *name, struct error *error);
    const struct provenance *(*reader_provenance)(const struct cold_reader *reader);
    int64_t (*read)(struct cold_reader *reader, uint64_t offset, void *out, size_t size, struct error *error);
    void (*close_reader)(struct cold_reader *reader);

    bool (*verify)(struct cold_store *store, const struct provenance *expected, struct error *error);
    bool (*remove)(struct cold_store *store, const struct cold_name *name, struct error *error);
    bool (*list)(struct cold_store *store, const char *bucket, const char *key_prefix, cold_entry_visitor *visit,
                 void *context, struct error *error);
    void (*close)(struct cold_store *store);
};

struct cold_store {
    const struct cold_store_ops *ops;
};

struct cold_writer {
    const struct cold_store_ops *ops;
};

struct cold_reader {
    const struct cold_store_ops *ops;
};

struct cold_s3_options; /* cold_s3.h */

struct cold_store_options {
    const char *backend;   /* "directory" or "s3" */
    const char *directory; /* its root; made where missing */
    const struct cold_s3_options *s3;
    /* Names what this process has half written, so that it clears up only after itself. */
    const char *replica;
    const struct clock *clock; /* borrowed until close */
};

/* Opens the backend that the options name. INVALID_ARGUMENT, COLD_BACKEND_UNKNOWN (field
 * "cold.backend") for any other. */
struct cold_store *cold_store_open(const struct cold_store_options *options, struct error *error);

/* Starts an object; size_bytes and crc32c are those announced, and finish holds the bytes to
 * them. The provenance is borrowed during the call. Writing once more what is there, under the same
 * payload id or with the same bytes, is fine and replaces it; ALREADY_EXISTS, COLD_OBJECT_CONFLICT where
 * it has another payload id and other bytes. */
static inline struct cold_writer *cold_store_begin(struct cold_store *store, const struct provenance *provenance,
                                                   struct error *error) {
    return store->ops->begin(store, provenance, error);
}

/* The next bytes, any number. After a failure the writer must be aborted. DATA_LOSS,
 * PAYLOAD_CORRUPT where they are more than announced. */
static inline bool cold_writer_append(struct cold_writer *writer, struct bytes data, struct error *error) {
    return writer->ops->append(writer, data, error);
}

/* Makes the object durable, then visible, whole or not at all. Frees the writer in any case.
 * DATA_LOSS, PAYLOAD_CORRUPT where length or CRC32C is not what was announced. */
static inline bool cold_writer_finish(struct cold_writer *writer, struct error *error) {
    return writer->ops->finish(writer, error);
}

/* Gives the object up and frees the writer. */
static inline void cold_writer_abort(struct cold_writer *writer) {
    writer->ops->abort(writer);
}

/* NOT_FOUND, OBJECT_NOT_FOUND where there is none; DATA_LOSS, OBJECT_CORRUPT where what is
 * said of it is damaged or does not fit its length. */
static inline struct cold_reader *cold_store_open_object(struct cold_store *store, const struct cold_name *name,
                                                         struct error *error) {
    return store->ops->open_object(store, name, error);
}

/* Valid until the reader is closed. */
static inline const struct provenance *cold_reader_provenance(const struct cold_reader *reader) {
    return reader->ops->reader_provenance(reader);
}

/* Reads up to `size` bytes from `offset`, fewer only at the object's end (0 at or past it).
 * Every byte is verified before it is returned; on failure (-1; DATA_LOSS, OBJECT_CORRUPT
 * naming bucket, key and version) what `out` holds is not to be used. Fastest in order, in
 * whole multiples of 1 MiB. */
static inline int64_t cold_reader_read(struct cold_reader *reader, uint64_t offset, void *out, size_t size,
                                       struct error *error) {
    return reader->ops->read(reader, offset, out, size, error);
}

static inline void cold_reader_close(struct cold_reader *reader) {
    reader->ops->close_reader(reader);
}

/* Reads the whole object back, from the medium where the backend can, and holds it to
 * `expected`: name, payload id, size and CRC32C. Errors as for opening and reading; DATA_LOSS,
 * OBJECT_CORRUPT where it is another object than expected. */
static inline bool cold_store_verify(struct cold_store *store, const struct provenance *expected, struct error *error) {
    return store->ops->verify(store, expected, error);
}

/* Removes an object; durable on return. One that is not there is fine. */
static inline bool cold_store_remove(struct cold_store *store, const struct cold_name *name, struct error *error) {
    return store->ops->remove(store, name, error);
}

/* Lists the objects of a bucket ("" for all buckets) whose keys begin with `key_prefix`, in no
 * promised order. Objects that come or go meanwhile may or may not be seen. */
static inline bool cold_store_list(struct cold_store *store, const char *bucket, const char *key_prefix,
                                   cold_entry_visitor *visit, void *context, struct error *error) {
    return store->ops->list(store, bucket, key_prefix, visit, context, error);
}

/* Every writer and reader must be gone before. */
static inline void cold_store_close(struct cold_store *store) {
    store->ops->close(store);
}

#endif
