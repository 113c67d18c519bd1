/* What a kill of object-svc may leave behind: before a batch's objects are written to the hot store, a
 * note tells of each, so that the next start can tell metadata-svc of those that are there. Else their
 * events may go to another replica, or their versions be written over meanwhile, and nobody would ever
 * look at the copies here.
 *
 * One file, written over by each batch when nothing is left to tell of those before, and not synced:
 * power loss may take notes, and what those told of is left to a scrub. What is noted may have been
 * told of, or never have come: whoever reads notes has to look. docs/formats/ingest-notes.md describes
 * it. One thread. */
#ifndef WAYBILL_INGEST_INGEST_NOTES_H
#define WAYBILL_INGEST_INGEST_NOTES_H

#include "common/base/disk.h"
#include "object-svc/hot/provenance.h"

/* More than that is not noted: of so many, most are waiting for one outage to end. */
enum { INGEST_NOTES_MAX_BYTES = 16 * 1024 * 1024 };

struct ingest_notes;

/* Opens or makes the file on the disk, which is borrowed. */
struct ingest_notes *ingest_notes_open(struct disk *disk, struct error *error);
void ingest_notes_close(struct ingest_notes *notes);

/* Tells of all that earlier runs left; what is borrowed is valid during the call. */
typedef void ingest_note_taker(void *self, const struct provenance *object);
bool ingest_notes_read(struct ingest_notes *notes, ingest_note_taker *take, void *self, struct error *error);

/* Adds a note; nothing is on the disk before `write`. */
void ingest_notes_add(struct ingest_notes *notes, const struct provenance *object);
/* Writes what was added: behind what is there, or, when that has been told of, over it.
 * RESOURCE_EXHAUSTED (NOTES_FULL) where it finds no room. */
bool ingest_notes_write(struct ingest_notes *notes, bool behind, struct error *error);

#endif
