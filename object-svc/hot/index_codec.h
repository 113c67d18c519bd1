/* The object index's keys and values as bytes; docs/formats/object-index.md shows them. Pure
 * functions. A decode that returns false has met damage. */
#ifndef WAYBILL_HOT_INDEX_CODEC_H
#define WAYBILL_HOT_INDEX_CODEC_H

#include "common/base/bytes.h"
#include "object-svc/hot/object_index.h"

enum {
    INDEX_OBJECT_PREFIX = 'o',
    INDEX_AGE_PREFIX = 'q',
    INDEX_VOLUME_PREFIX = 'v',
    INDEX_FORMAT_VERSION = 1,
};

/* The one key with the format's version. */
#define INDEX_FORMAT_KEY "format"

/* Each replaces what the buffer holds. */
void index_object_key(const struct uuid *payload_id, struct buffer *out);
void index_object_value(const struct index_entry *entry, struct buffer *out);
void index_age_key(const struct index_entry *entry, struct buffer *out);
/* What all age keys of one queue begin with. */
void index_age_prefix(const char *bucket, bool cold_copy_known, struct buffer *out);
void index_volume_key(uint64_t id, struct buffer *out);
void index_volume_value(const struct index_volume *volume, struct buffer *out);

bool index_decode_object(struct bytes key, struct bytes value, struct index_entry *entry);
bool index_decode_volume(struct bytes key, struct bytes value, struct index_volume *volume);
/* `rest` is the key after its index_age_prefix. */
bool index_decode_age(struct bytes rest, int64_t *store_unix_us, struct uuid *payload_id);

#endif
