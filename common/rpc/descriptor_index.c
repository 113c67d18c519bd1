#include "common/rpc/descriptor_index.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/rpc/proto_message.h"
#include "google/protobuf/descriptor.pb-c.h"

struct symbol {
    const char *name;
    size_t file;
    bool is_message;
};

struct descriptor_index {
    struct arena arena; /* the decoded set and the names */
    const Google__Protobuf__FileDescriptorSet *set;
    struct bytes *wire;     /* of each file, in the serialized set */
    struct buffer unsorted; /* of struct symbol */
    struct symbol *symbols; /* sorted by name */
    size_t symbol_count;
};

/* ---- building ---- */

/* The files' places in the serialized set, which is nothing but `repeated file = 1`. */
static void find_wire_forms(struct descriptor_index *index, struct bytes set) {
    const uint8_t *at = set.data;
    const uint8_t *end = set.data + set.size;
    for (size_t i = 0; i < index->set->n_file && at < end; i++) {
        at++; /* the tag */
        size_t size = 0;
        for (unsigned shift = 0; at < end; shift += 7) {
            uint8_t byte = *at++;
            size |= (size_t)(byte & 0x7f) << shift;
            if (byte < 0x80) {
                break;
            }
        }
        index->wire[i] = bytes_of(at, size);
        at += size;
    }
}

/* Adds "scope.name" and returns it. */
static const char *add_symbol(struct descriptor_index *index, size_t file, const char *scope, const char *name,
                              bool is_message) {
    const char *full = scope[0] == '\0' ? name : arena_printf(&index->arena, "%s.%s", scope, name);
    struct symbol symbol = {full, file, is_message};
    buffer_append(&index->unsorted, &symbol, sizeof symbol);
    return full;
}

static void add_enum(struct descriptor_index *index, size_t file, const char *scope,
                     const Google__Protobuf__EnumDescriptorProto *type) {
    add_symbol(index, file, scope, type->name, false);
    /* Values are named beside their enum, not in it. */
    for (size_t i = 0; i < type->n_value; i++) {
        add_symbol(index, file, scope, type->value[i]->name, false);
    }
}

static void add_message(struct descriptor_index *index, size_t file, const char *scope,
                        const Google__Protobuf__DescriptorProto *type) {
    const char *full = add_symbol(index, file, scope, type->name, true);
    for (size_t i = 0; i < type->n_field; i++) {
        add_symbol(index, file, full, type->field[i]->name, false);
    }
    for (size_t i = 0; i < type->n_oneof_decl; i++) {
        add_symbol(index, file, full, type->oneof_decl[i]->name, false);
    }
    for (size_t i = 0; i < type->n_enum_type; i++) {
        add_enum(index, file, full, type->enum_type[i]);
    }
    for (size_t i = 0; i < type->n_nested_type; i++) {
        add_message(index, file, full, type->nested_type[i]);
    }
}

static void add_file(struct descriptor_index *index, size_t number) {
    const Google__Protobuf__FileDescriptorProto *file = index->set->file[number];
    const char *package = file->package != NULL ? file->package : "";
    for (size_t i = 0; i < file->n_message_type; i++) {
        add_message(index, number, package, file->message_type[i]);
    }
    for (size_t i = 0; i < file->n_enum_type; i++) {
        add_enum(index, number, package, file->enum_type[i]);
    }
    for (size_t i = 0; i < file->n_service; i++) {
        const Google__Protobuf__ServiceDescriptorProto *service = file->service[i];
        const char *full = add_symbol(index, number, package, service->name, false);
        for (size_t m = 0; m < service->n_method; m++) {
            add_symbol(index, number, full, service->method[m]->name, false);
        }
    }
}

static int compare_symbols(const void *a, const void *b) {
    return strcmp(((const struct symbol *)a)->name, ((const struct symbol *)b)->name);
}

struct descriptor_index *descriptor_index_new(struct bytes set) {
    struct descriptor_index *index = calloc(1, sizeof *index);
    if (index == NULL) {
        abort();
    }
    arena_init(&index->arena);
    struct error error;
    index->set = (const Google__Protobuf__FileDescriptorSet *)proto_decode(
        &google__protobuf__file_descriptor_set__descriptor, set, &index->arena, &error);
    if (index->set == NULL) {
        descriptor_index_free(index);
        return NULL;
    }
    index->wire = arena_zalloc(&index->arena, (index->set->n_file + 1) * sizeof *index->wire);
    find_wire_forms(index, set);
    for (size_t i = 0; i < index->set->n_file; i++) {
        add_file(index, i);
    }
    index->symbols = (struct symbol *)(void *)index->unsorted.data;
    index->symbol_count = index->unsorted.size / sizeof *index->symbols;
    if (index->symbol_count > 0) {
        qsort(index->symbols, index->symbol_count, sizeof *index->symbols, compare_symbols);
    }
    return index;
}

void descriptor_index_free(struct descriptor_index *index) {
    if (index != NULL) {
        buffer_free(&index->unsorted);
        arena_free(&index->arena);
        free(index);
    }
}

/* ---- asking ---- */

size_t descriptor_index_files(const struct descriptor_index *index) {
    return index->set->n_file;
}

int descriptor_index_find_file(const struct descriptor_index *index, const char *name) {
    for (size_t i = 0; i < index->set->n_file; i++) {
        if (strcmp(index->set->file[i]->name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static const struct symbol *find(const struct descriptor_index *index, const char *name) {
    struct symbol wanted = {.name = name};
    return index->symbol_count == 0
               ? NULL
               : bsearch(&wanted, index->symbols, index->symbol_count, sizeof wanted, compare_symbols);
}

int descriptor_index_find_symbol(const struct descriptor_index *index, const char *symbol) {
    const struct symbol *found = find(index, symbol);
    return found != NULL ? (int)found->file : -1;
}

bool descriptor_index_is_message(const struct descriptor_index *index, const char *symbol) {
    const struct symbol *found = find(index, symbol);
    return found != NULL && found->is_message;
}

struct bytes descriptor_index_file(const struct descriptor_index *index, size_t file) {
    return index->wire[file];
}

size_t descriptor_index_closure(const struct descriptor_index *index, size_t file, size_t *files) {
    size_t count = 0;
    files[count++] = file;
    for (size_t done = 0; done < count; done++) {
        const Google__Protobuf__FileDescriptorProto *importer = index->set->file[files[done]];
        for (size_t i = 0; i < importer->n_dependency; i++) {
            int imported = descriptor_index_find_file(index, importer->dependency[i]);
            bool known = imported < 0;
            for (size_t k = 0; k < count && !known; k++) {
                known = files[k] == (size_t)imported;
            }
            if (!known) {
                files[count++] = (size_t)imported;
            }
        }
    }
    return count;
}
