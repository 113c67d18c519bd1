// rooms: waybill_rpc
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc/proto_message.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

static const ProtobufCMessageDescriptor *const bad_request = &google__rpc__bad_request__descriptor;

/* A BadRequest with two violations, the second's field as given. */
static struct bytes two_violations(const char *field, struct arena *arena) {
    Google__Rpc__BadRequest__FieldViolation violation[2] = {GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT,
                                                            GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT};
    Google__Rpc__BadRequest__FieldViolation *both[2] = {&violation[0], &violation[1]};
    violation[0].field = "first";
    violation[1].field = (char *)field;
    Google__Rpc__BadRequest request = GOOGLE__RPC__BAD_REQUEST__INIT;
    request.n_field_violations = 2;
    request.field_violations = both;
    return proto_encode(&request.base, arena);
}

Test(proto_message, what_was_encoded_comes_back) {
    struct arena arena;
    arena_init(&arena);
    struct error error;
    const Google__Rpc__BadRequest *request = (const Google__Rpc__BadRequest *)proto_decode(
        bad_request, two_violations("sch\xc3\xb6n", &arena), &arena, &error);
    cr_assert_not_null(request);
    cr_assert_eq(request->n_field_violations, 2);
    cr_assert_str_eq(request->field_violations[1]->field, "sch\xc3\xb6n");
    cr_assert_not_null(proto_decode(bad_request, (struct bytes){0}, &arena, &error));
    arena_free(&arena);
}

Test(proto_message, a_bad_text_is_named_by_its_path) {
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    cr_assert_null(proto_decode(bad_request, two_violations("\xc3\x28", &arena), &arena, &error));
    cr_assert_eq(error.code, ERROR_INVALID_ARGUMENT);
    cr_assert_str_eq(error.reason, "BAD_UTF8");
    cr_assert_str_eq(error.field, "field_violations[1].field");
    arena_free(&arena);
}

Test(proto_message, a_nul_in_a_text_is_refused) {
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    struct bytes wire = two_violations("abc", &arena);
    uint8_t *copy = (uint8_t *)arena_copy(&arena, wire).data;
    copy[wire.size - 2] = '\0';
    cr_assert_null(proto_decode(bad_request, bytes_of(copy, wire.size), &arena, &error));
    cr_assert_str_eq(error.reason, "BAD_UTF8");
    cr_assert_str_eq(error.field, "field_violations[1].field");
    arena_free(&arena);
}

/* DescriptorProto is nested in itself (field 3). */
static struct bytes nest(unsigned depth, struct arena *arena) {
    struct bytes inner = {0};
    for (unsigned i = 0; i < depth; i++) {
        uint8_t *outer = arena_alloc(arena, inner.size + 3);
        outer[0] = 3 << 3 | 2;
        outer[1] = (uint8_t)(inner.size & 0x7f);
        cr_assert_lt(inner.size, 0x80);
        memcpy(outer + 2, inner.data != NULL ? inner.data : outer, inner.size);
        inner = bytes_of(outer, inner.size + 2);
    }
    return inner;
}

Test(proto_message, nesting_is_bounded) {
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    const ProtobufCMessageDescriptor *type = &google__protobuf__descriptor_proto__descriptor;
    cr_assert_not_null(proto_decode(type, nest(PROTO_MAX_DEPTH - 1, &arena), &arena, &error));
    cr_assert_null(proto_decode(type, nest(PROTO_MAX_DEPTH, &arena), &arena, &error));
    cr_assert_str_eq(error.reason, "MALFORMED_REQUEST");
    arena_free(&arena);
}

Test(proto_message, a_small_message_cannot_fill_the_memory) {
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    size_t size = 4 << 20;
    uint8_t *wire = malloc(size);
    for (size_t i = 0; i < size; i += 2) {
        wire[i] = 3 << 3 | 2;
        wire[i + 1] = 0;
    }
    const ProtobufCMessageDescriptor *type = &google__protobuf__descriptor_proto__descriptor;
    cr_assert_null(proto_decode(type, bytes_of(wire, size), &arena, &error));
    cr_assert_str_eq(error.reason, "MALFORMED_REQUEST");
    free(wire);
    arena_free(&arena);
}

static const ProtobufCMessageDescriptor *const fuzzed[] = {
    &google__rpc__status__descriptor,
    &google__rpc__bad_request__descriptor,
    &google__rpc__error_info__descriptor,
    &google__protobuf__file_descriptor_set__descriptor,
};

/* Decodes; whatever comes out is whole enough to be encoded again. */
static void decode_anything(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < sizeof fuzzed / sizeof fuzzed[0]; i++) {
        struct arena arena;
        arena_init(&arena);
        struct error error = {0};
        /* A copy of the exact size, so that the address sanitizer sees a read too far. */
        uint8_t *exact = malloc(size > 0 ? size : 1);
        memcpy(exact, data, size);
        ProtobufCMessage *message = proto_decode(fuzzed[i], bytes_of(exact, size), &arena, &error);
        free(exact);
        if (message != NULL) {
            cr_assert(protobuf_c_message_check(message));
            proto_encode(message, &arena);
        } else {
            cr_assert_eq(error.code, ERROR_INVALID_ARGUMENT);
            cr_assert_gt(strlen(error.reason), 0);
        }
        arena_free(&arena);
    }
}

Test(proto_message, random_bytes_do_no_harm, .timeout = 120) {
    unsigned seed = 1;
    for (int round = 0; round < 50000; round++) {
        uint8_t data[48];
        size_t size = (size_t)rand_r(&seed) % sizeof data;
        for (size_t i = 0; i < size; i++) {
            data[i] = (uint8_t)rand_r(&seed);
        }
        decode_anything(data, size);
    }
}

/* A FileDescriptorSet that uses many kinds of fields. */
static struct bytes sample(struct arena *arena) {
    Google__Protobuf__FieldOptions options = GOOGLE__PROTOBUF__FIELD_OPTIONS__INIT;
    options.has_packed = 1;
    options.packed = 1;
    Google__Protobuf__FieldDescriptorProto field = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__INIT;
    field.name = "na\xc3\xafve";
    field.has_number = 1;
    field.number = 7;
    field.options = &options;
    Google__Protobuf__FieldDescriptorProto *fields[] = {&field, &field};
    Google__Protobuf__DescriptorProto inner = GOOGLE__PROTOBUF__DESCRIPTOR_PROTO__INIT;
    inner.name = "Inner";
    inner.n_field = 2;
    inner.field = fields;
    Google__Protobuf__DescriptorProto *nested[] = {&inner};
    Google__Protobuf__DescriptorProto outer = GOOGLE__PROTOBUF__DESCRIPTOR_PROTO__INIT;
    outer.name = "Outer";
    outer.n_nested_type = 1;
    outer.nested_type = nested;
    Google__Protobuf__DescriptorProto *types[] = {&outer, &inner};
    int32_t numbers[] = {1, 2, 300};
    Google__Protobuf__FileDescriptorProto file = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_PROTO__INIT;
    file.name = "a.proto";
    file.n_message_type = 2;
    file.message_type = types;
    file.n_public_dependency = 3;
    file.public_dependency = numbers;
    Google__Protobuf__FileDescriptorProto *files[] = {&file};
    Google__Protobuf__FileDescriptorSet set = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_SET__INIT;
    set.n_file = 1;
    set.file = files;
    return proto_encode(&set.base, arena);
}

Test(proto_message, mutated_messages_do_no_harm, .timeout = 120) {
    struct arena arena;
    arena_init(&arena);
    struct bytes original = sample(&arena);
    unsigned seed = 2;
    uint8_t data[1024];
    cr_assert_lt(original.size, sizeof data);
    for (int round = 0; round < 50000; round++) {
        size_t size = original.size;
        memcpy(data, original.data, size);
        for (int change = rand_r(&seed) % 4; change >= 0; change--) {
            size_t at = (size_t)rand_r(&seed) % size;
            switch (rand_r(&seed) % 4) {
            case 0:
                data[at] ^= (uint8_t)(1u << rand_r(&seed) % 8);
                break;
            case 1:
                data[at] = (uint8_t)rand_r(&seed);
                break;
            case 2:
                size = at + 1;
                break;
            default:
                memmove(data + at, data + at / 2, size - at);
            }
        }
        decode_anything(data, size);
    }
    arena_free(&arena);
}
