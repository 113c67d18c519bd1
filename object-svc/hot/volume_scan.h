/* Reading one volume at start, from where the index left off, so that all that is in it is in the
 * index; its torn end is cut off.
 *
 * A needle that a later one proves to have been flushed is taken by its header alone, since
 * reads verify its bytes anyway. Of those after that, which may be torn, all bytes are read, and
 * so are they where the index has another copy of the payload. What the volume's dead list has
 * is passed over. */
#ifndef WAYBILL_HOT_VOLUME_SCAN_H
#define WAYBILL_HOT_VOLUME_SCAN_H

#include "object-svc/hot/volume_store_parts.h"

/* The volume is pinned, and nobody else uses the store. */
bool volume_scan(struct volume_store *store, struct volume *volume, struct error *error);

#endif
