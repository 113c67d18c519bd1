/* Which source set each key. Part of config.c. */
#ifndef WAYBILL_BASE_CONFIG_ORIGIN_H
#define WAYBILL_BASE_CONFIG_ORIGIN_H

#include <stddef.h>

#include "common/base/config.h"

struct config_origin {
    enum { CONFIG_SOURCE_DEFAULT, CONFIG_SOURCE_FILE, CONFIG_SOURCE_ENVIRONMENT, CONFIG_SOURCE_FLAG } source;
    int line; /* FILE: from 1 */
};

struct config_origins {
    size_t count;
    struct config_origin of[]; /* in the order of the table's entries */
};

/* All DEFAULT; the caller frees it with free(). */
struct config_origins *config_origins_new(size_t count);

#endif
