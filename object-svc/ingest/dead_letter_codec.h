/* How dead letters lie in their store; docs/formats/dead-letters.md is its page. Pure. */
#ifndef WAYBILL_INGEST_DEAD_LETTER_CODEC_H
#define WAYBILL_INGEST_DEAD_LETTER_CODEC_H

#include "common/base/arena.h"
#include "object-svc/ingest/dead_letters.h"

#define DEAD_LETTERS_FORMAT_KEY "format"
enum { DEAD_LETTERS_FORMAT_VERSION = 1, DEAD_LETTER_PREFIX = 'l', DEAD_LETTER_KEY_BYTES = 17 };

void dead_letter_key(const struct uuid *id, uint8_t key[DEAD_LETTER_KEY_BYTES]);
/* False for a key that is no letter's. */
bool dead_letter_key_read(struct bytes key, struct uuid *id);

/* Appends. Texts are cut at 65535 bytes. */
void dead_letter_encode(const struct dead_letter *letter, struct buffer *out);
/* All but the id; texts in the arena. DATA_LOSS, DEAD_LETTER_CORRUPT. */
bool dead_letter_decode(struct bytes value, struct arena *arena, struct dead_letter *letter, struct error *error);

#endif
