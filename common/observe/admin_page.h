/* What the admin port answers, as text; knows nothing of HTTP. Part of admin_http.c. */
#ifndef WAYBILL_OBSERVE_ADMIN_PAGE_H
#define WAYBILL_OBSERVE_ADMIN_PAGE_H

#include "common/observe/admin_http.h"

/* Appends one line for each check; returns whether all hold. */
bool admin_page_checks(const struct admin_check *checks, size_t count, struct buffer *out);
/* Appends the status page. */
void admin_page_status(const struct admin_http_options *options, struct buffer *out);

#endif
