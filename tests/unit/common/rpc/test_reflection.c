// rooms: waybill_rpc
#include "common/rpc/reflection.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "rpc_fixture.h"

TestSuite(reflection, .timeout = 60);

#define V1 "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define V1ALPHA "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_type;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_type;

static const char *const services[] = {"waybill.v1.MetadataService", "grpc.health.v1.Health", NULL};

struct fixture {
    struct reflection *reflection;
    struct rpc_server *server;
    struct rpc_channel *channel;
    struct rpc_stream *stream;
};

static struct fixture open_fixture(const char *path) {
    struct fixture fixture = {.reflection = reflection_new(services), .server = rpc_server_new(&fixture_options)};
    reflection_add_to(fixture.reflection, fixture.server);
    fixture_start(fixture.server);
    fixture.channel = fixture_connect(rpc_server_port(fixture.server));
    struct error error = {0};
    fixture.stream = rpc_channel_open_stream(fixture.channel, path, NULL, &error);
    cr_assert_not_null(fixture.stream);
    return fixture;
}

static void close_fixture(struct fixture *fixture) {
    struct error error = {0};
    cr_assert(rpc_stream_close(fixture->stream, &error), "%s", error.message);
    fixture_stop(fixture->server, fixture->channel);
    reflection_free(fixture->reflection);
}

static response_type *ask(struct fixture *fixture, const request_type *request) {
    struct bytes wire;
    struct error error = {0};
    cr_assert(rpc_stream_write(fixture->stream, &request->base));
    cr_assert_eq(rpc_stream_read(fixture->stream, &wire, &error), RPC_READ_MESSAGE, "%s", error.message);
    response_type *response = grpc__reflection__v1__server_reflection_response__unpack(NULL, wire.size, wire.data);
    cr_assert_not_null(response);
    return response;
}

static void answer_free(response_type *response) {
    grpc__reflection__v1__server_reflection_response__free_unpacked(response, NULL);
}

static request_type symbol_request(const char *symbol) {
    request_type request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    request.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL;
    request.file_containing_symbol = (char *)symbol;
    return request;
}

static request_type file_request(const char *name) {
    request_type request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    request.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
    request.file_by_filename = (char *)name;
    return request;
}

/* The name of the first file answered; checks that all its imports come along. */
static void assert_file(response_type *response, const char *name) {
    cr_assert_eq(response->message_response_case,
                 GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE);
    const Grpc__Reflection__V1__FileDescriptorResponse *files = response->file_descriptor_response;
    Google__Protobuf__FileDescriptorProto *file[64];
    cr_assert_lt(files->n_file_descriptor_proto, 64);
    for (size_t i = 0; i < files->n_file_descriptor_proto; i++) {
        file[i] = google__protobuf__file_descriptor_proto__unpack(NULL, files->file_descriptor_proto[i].len,
                                                                  files->file_descriptor_proto[i].data);
        cr_assert_not_null(file[i]);
    }
    cr_assert_str_eq(file[0]->name, name);
    for (size_t i = 0; i < files->n_file_descriptor_proto; i++) {
        for (size_t d = 0; d < file[i]->n_dependency; d++) {
            bool there = false;
            for (size_t k = 0; k < files->n_file_descriptor_proto; k++) {
                there = there || strcmp(file[k]->name, file[i]->dependency[d]) == 0;
            }
            cr_assert(there, "%s is missing", file[i]->dependency[d]);
        }
    }
    for (size_t i = 0; i < files->n_file_descriptor_proto; i++) {
        google__protobuf__file_descriptor_proto__free_unpacked(file[i], NULL);
    }
}

static void assert_answers(const char *path) {
    struct fixture fixture = open_fixture(path);
    request_type list = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    list.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
    list.list_services = "*";
    response_type *response = ask(&fixture, &list);
    cr_assert_eq(response->list_services_response->n_service, 2);
    cr_assert_str_eq(response->list_services_response->service[0]->name, services[0]);
    cr_assert_str_eq(response->original_request->list_services, "*");
    answer_free(response);

    static const char *const symbols[][2] = {
        {"waybill.v1.MetadataService", "waybill/v1/metadata_service.proto"},
        {"waybill.v1.MetadataService.PutRecord", "waybill/v1/metadata_service.proto"},
        {"waybill.v1.Record", "waybill/v1/record.proto"},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"},
        {"grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"},
        {"google.protobuf.Timestamp.seconds", "google/protobuf/timestamp.proto"},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        request_type request = symbol_request(symbols[i][0]);
        response = ask(&fixture, &request);
        assert_file(response, symbols[i][1]);
        answer_free(response);
    }
    request_type by_name = file_request("waybill/v1/event.proto");
    response = ask(&fixture, &by_name);
    assert_file(response, "waybill/v1/event.proto");
    answer_free(response);
    close_fixture(&fixture);
}

Test(reflection, v1_answers_from_the_contract) {
    assert_answers(V1);
}

Test(reflection, v1alpha_answers_the_same) {
    assert_answers(V1ALPHA);
}

Test(reflection, what_is_not_there_is_not_found_and_the_stream_goes_on) {
    struct fixture fixture = open_fixture(V1);
    request_type requests[] = {symbol_request("waybill.v1.Nothing"), symbol_request(""), file_request("no.proto")};
    for (int i = 0; i < 3; i++) {
        response_type *response = ask(&fixture, &requests[i]);
        cr_assert_eq(response->message_response_case,
                     GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE);
        cr_assert_eq(response->error_response->error_code, ERROR_NOT_FOUND);
        answer_free(response);
    }
    close_fixture(&fixture);
}
