/* The YAML file of a configuration, as flat keys. Part of config.c. */
#ifndef WAYBILL_BASE_CONFIG_FILE_H
#define WAYBILL_BASE_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"

enum { CONFIG_FILE_MAX_BYTES = 1 << 20, CONFIG_FILE_MAX_DEPTH = 8 };

/* Called once per scalar, in the order of the file, with the keys above it joined by '_'. On
 * failure fills the error; the place is put before it. */
typedef bool config_file_visitor(void *context, const char *key, const char *text, int line, struct error *error);

/* Reads the file: at most CONFIG_FILE_MAX_BYTES of one YAML document, a mapping of scalars
 * and mappings, without anchors, aliases and lists. An empty file is fine. Every error begins
 * with "path:line:" (without the line where the file cannot be read). */
bool config_file_read(const char *path, config_file_visitor *visit, void *context, struct error *error);

#endif
