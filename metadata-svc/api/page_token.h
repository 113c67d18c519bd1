/* Page tokens: where a listing goes on, bound to the listing that they came from. Opaque to
 * clients: hexadecimal of a check value and the last name of the page. */
#ifndef WAYBILL_API_PAGE_TOKEN_H
#define WAYBILL_API_PAGE_TOKEN_H

#include "common/base/arena.h"
#include "common/base/error.h"

/* `listing` identifies the listing (all that must not change between pages). */
char *page_token_make(struct arena *arena, const char *listing, const char *last_name);
/* The last name of the page before; "" for an empty token. NULL with INVALID_ARGUMENT
 * (BAD_PAGE_TOKEN) for one that is damaged or comes from another listing. */
const char *page_token_read(struct arena *arena, const char *listing, const char *token, struct error *error);

#endif
