/* Conditions on records, as ListRecords takes them: the filter language of AIP-160
 * (https://google.aip.dev/160), for the fields that a record has.
 *
 *   filter      = sequence { "AND" sequence }
 *   sequence    = factor { factor }                   juxtaposed: AND
 *   factor      = term { "OR" term }                  OR binds closer than AND, as there
 *   term        = [ "NOT" | "-" ] ( restriction | "(" filter ")" )
 *   restriction = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" | ":" ) value
 *   field       = "key" | "state" | "content_type" | "size" | "version" | "revision"
 *               | "create_time" | "update_time" | "store_time" | "expire_time"
 *               | "attributes" | "attributes." ( name | quoted name )
 *
 * A text equals "abc*" or "*abc" when it begins or ends so. Times are RFC 3339. `attributes:x`
 * and `attributes.x:*` hold where there is an attribute x. A restriction on what the record
 * does not have, or of a value that is no such thing as the field (a text against a number),
 * does not hold. */
#ifndef WAYBILL_API_RECORD_FILTER_H
#define WAYBILL_API_RECORD_FILTER_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "metadata-svc/store/record.h"

enum { RECORD_FILTER_MAX_BYTES = 4096, RECORD_FILTER_MAX_DEPTH = 32 };

struct record_filter;

/* Lives in the arena and borrows nothing. NULL with INVALID_ARGUMENT (BAD_FILTER) that says
 * where; an empty text is a filter that every record matches. */
const struct record_filter *record_filter_parse(const char *text, struct arena *arena, struct error *error);
bool record_filter_matches(const struct record_filter *filter, const struct record *record);

#endif
