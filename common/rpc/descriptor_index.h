/* Finds the .proto file that declares a name, in a FileDescriptorSet. Read-only once built:
 * any thread. */
#ifndef WAYBILL_RPC_DESCRIPTOR_INDEX_H
#define WAYBILL_RPC_DESCRIPTOR_INDEX_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/bytes.h"

struct descriptor_index;

/* `set` is a serialized FileDescriptorSet that outlives the index. NULL when it is none. */
struct descriptor_index *descriptor_index_new(struct bytes set);
void descriptor_index_free(struct descriptor_index *index);

size_t descriptor_index_files(const struct descriptor_index *index);
/* The number of the file of this name, or of the one that declares the symbol (package-
 * qualified service, method, message, field, oneof, enum or enum value); -1 when none does. */
int descriptor_index_find_file(const struct descriptor_index *index, const char *name);
int descriptor_index_find_symbol(const struct descriptor_index *index, const char *symbol);
bool descriptor_index_is_message(const struct descriptor_index *index, const char *symbol);
/* The serialized FileDescriptorProto. */
struct bytes descriptor_index_file(const struct descriptor_index *index, size_t file);
/* The file and all it imports, directly or not, each once, the file first; `files` has room
 * for descriptor_index_files numbers. Returns how many. */
size_t descriptor_index_closure(const struct descriptor_index *index, size_t file, size_t *files);

#endif
