#include "common/rpc/reflection.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/rpc/descriptor_index.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_stream.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

/* The build wrote the descriptors of the contract to a file; the assembler puts it here. */
__asm__(".section .rodata, \"a\", @progbits\n"
        ".balign 16\n"
        ".globl waybill_descriptors_begin\n"
        ".hidden waybill_descriptors_begin\n"
        "waybill_descriptors_begin:\n"
        ".incbin \"" WAYBILL_DESCRIPTORS "\"\n"
        ".globl waybill_descriptors_end\n"
        ".hidden waybill_descriptors_end\n"
        "waybill_descriptors_end:\n"
        ".previous\n");

extern const uint8_t waybill_descriptors_begin[] __attribute__((visibility("hidden")));
extern const uint8_t waybill_descriptors_end[] __attribute__((visibility("hidden")));

/* v1 and v1alpha are the same but for their name, so v1's types serve both. */
typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

struct reflection {
    const char *const *services;
    struct descriptor_index *index;
};

struct reflection *reflection_new(const char *const *services) {
    struct reflection *reflection = calloc(1, sizeof *reflection);
    if (reflection == NULL) {
        abort();
    }
    reflection->services = services;
    size_t size = (size_t)(waybill_descriptors_end - waybill_descriptors_begin);
    reflection->index = descriptor_index_new(bytes_of(waybill_descriptors_begin, size));
    if (reflection->index == NULL) {
        log_error("descriptors_unreadable", LOG_STR("hint", "the build is broken: build again from scratch"));
        abort();
    }
    return reflection;
}

void reflection_free(struct reflection *reflection) {
    if (reflection != NULL) {
        descriptor_index_free(reflection->index);
        free(reflection);
    }
}

/* ---- one question, one answer ---- */

static void answer_error(reflection_response *response, enum error_code code, const char *message,
                         struct arena *arena) {
    Grpc__Reflection__V1__ErrorResponse *error = arena_alloc(arena, sizeof *error);
    grpc__reflection__v1__error_response__init(error);
    error->error_code = (int32_t)code;
    error->error_message = (char *)message;
    response->message_response_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    response->error_response = error;
}

/* The file and everything it needs, or NOT_FOUND when `file` is -1. */
static void answer_file(const struct reflection *reflection, reflection_response *response, int file, const char *what,
                        struct arena *arena) {
    if (file < 0) {
        answer_error(response, ERROR_NOT_FOUND, arena_printf(arena, "%s is not in the contract", what), arena);
        return;
    }
    const struct descriptor_index *index = reflection->index;
    size_t *files = arena_alloc(arena, descriptor_index_files(index) * sizeof *files);
    size_t count = descriptor_index_closure(index, (size_t)file, files);
    Grpc__Reflection__V1__FileDescriptorResponse *answer = arena_alloc(arena, sizeof *answer);
    grpc__reflection__v1__file_descriptor_response__init(answer);
    answer->n_file_descriptor_proto = count;
    answer->file_descriptor_proto = arena_alloc(arena, count * sizeof *answer->file_descriptor_proto);
    for (size_t i = 0; i < count; i++) {
        struct bytes wire = descriptor_index_file(index, files[i]);
        answer->file_descriptor_proto[i] = (ProtobufCBinaryData){wire.size, (uint8_t *)wire.data};
    }
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    response->file_descriptor_response = answer;
}

static void answer_services(const struct reflection *reflection, reflection_response *response, struct arena *arena) {
    size_t count = 0;
    while (reflection->services[count] != NULL) {
        count++;
    }
    Grpc__Reflection__V1__ListServiceResponse *answer = arena_alloc(arena, sizeof *answer);
    grpc__reflection__v1__list_service_response__init(answer);
    answer->n_service = count;
    answer->service = arena_alloc(arena, (count + 1) * sizeof(struct Grpc__Reflection__V1__ServiceResponse *));
    for (size_t i = 0; i < count; i++) {
        answer->service[i] = arena_alloc(arena, sizeof *answer->service[i]);
        grpc__reflection__v1__service_response__init(answer->service[i]);
        answer->service[i]->name = (char *)reflection->services[i];
    }
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    response->list_services_response = answer;
}

/* The contract is proto3, which has no extensions: every message has none of them. */
static void answer_extension_numbers(const struct reflection *reflection, reflection_response *response,
                                     const char *type, struct arena *arena) {
    if (!descriptor_index_is_message(reflection->index, type)) {
        answer_error(response, ERROR_NOT_FOUND, arena_printf(arena, "%s is not a message of the contract", type),
                     arena);
        return;
    }
    Grpc__Reflection__V1__ExtensionNumberResponse *answer = arena_alloc(arena, sizeof *answer);
    grpc__reflection__v1__extension_number_response__init(answer);
    answer->base_type_name = (char *)type;
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
    response->all_extension_numbers_response = answer;
}

static void answer(const struct reflection *reflection, const reflection_request *request,
                   reflection_response *response, struct arena *arena) {
    switch (request->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        answer_file(reflection, response, descriptor_index_find_file(reflection->index, request->file_by_filename),
                    request->file_by_filename, arena);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        answer_file(reflection, response,
                    descriptor_index_find_symbol(reflection->index, request->file_containing_symbol),
                    request->file_containing_symbol, arena);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        answer_services(reflection, response, arena);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        answer_extension_numbers(reflection, response, request->all_extension_numbers_of_type, arena);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        answer_error(response, ERROR_NOT_FOUND, "the contract has no extensions", arena);
        return;
    default:
        answer_error(response, ERROR_INVALID_ARGUMENT, "the request asks nothing", arena);
    }
}

/* ---- the stream of them ---- */

static bool serve_one(const struct reflection *reflection, struct rpc_stream *stream, struct bytes wire,
                      struct error *error) {
    struct arena arena;
    arena_init(&arena);
    reflection_request *request = (reflection_request *)proto_decode(
        &grpc__reflection__v1__server_reflection_request__descriptor, wire, &arena, error);
    bool sent = false;
    if (request != NULL) {
        reflection_response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
        response.valid_host = request->host;
        response.original_request = request;
        answer(reflection, request, &response, &arena);
        sent = rpc_stream_write(stream, &response.base);
        if (!sent) {
            error_set(error, ERROR_CANCELLED, "CANCELLED", "the client went away");
        }
    }
    arena_free(&arena);
    return sent;
}

static void serve(void *service, struct rpc_stream *stream) {
    struct bytes wire;
    struct error error;
    enum rpc_read got;
    rpc_stream_end_reads_on_drain(stream);
    while ((got = rpc_stream_read(stream, &wire, &error)) == RPC_READ_MESSAGE) {
        if (!serve_one(service, stream, wire, &error)) {
            break;
        }
    }
    rpc_stream_finish(stream, got == RPC_READ_END ? NULL : &error);
}

void reflection_add_to(struct reflection *reflection, struct rpc_server *server) {
    rpc_server_add_stream(server, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", serve, reflection);
    rpc_server_add_stream(server, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", serve, reflection);
}
