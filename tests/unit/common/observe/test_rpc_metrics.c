// rooms: waybill_observe
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/observe/rpc_metrics.h"

struct fixture {
    struct metrics *metrics;
    struct rpc_metrics *rpc;
};

static struct fixture fixture_new(void) {
    struct fixture fixture = {.metrics = metrics_new()};
    fixture.rpc = rpc_metrics_new(fixture.metrics);
    return fixture;
}

static void fixture_free(struct fixture *fixture) {
    rpc_metrics_free(fixture->rpc);
    metrics_free(fixture->metrics);
}

static bool has(struct fixture *fixture, const char *line) {
    struct buffer out = {0};
    metrics_write(fixture->metrics, &out);
    buffer_append_u8(&out, '\0');
    bool found = strstr((char *)out.data, line) != NULL;
    buffer_free(&out);
    return found;
}

Test(rpc_metrics, calls_are_counted_by_service_method_and_code) {
    struct fixture fixture = fixture_new();
    rpc_metrics_finished(fixture.rpc, "/waybill.v1.MetadataService/PutRecord", ERROR_OK, 250);
    rpc_metrics_finished(fixture.rpc, "/waybill.v1.MetadataService/PutRecord", ERROR_OK, 251);
    rpc_metrics_finished(fixture.rpc, "/waybill.v1.MetadataService/PutRecord", ERROR_ABORTED, 100);
    cr_assert(has(&fixture, "grpc_server_handled_total{grpc_service=\"waybill.v1.MetadataService\","
                            "grpc_method=\"PutRecord\",grpc_code=\"OK\"} 2\n"));
    cr_assert(has(&fixture, "grpc_method=\"PutRecord\",grpc_code=\"Aborted\"} 1\n"));
    cr_assert(has(&fixture, "grpc_server_handling_seconds_bucket{grpc_service=\"waybill.v1.MetadataService\","
                            "grpc_method=\"PutRecord\",le=\"0.00025\"} 2\n"));
    cr_assert(has(&fixture, "grpc_server_handling_seconds_count{grpc_service=\"waybill.v1.MetadataService\","
                            "grpc_method=\"PutRecord\"} 3\n"));
    fixture_free(&fixture);
}

Test(rpc_metrics, made_up_methods_do_not_become_series) {
    struct fixture fixture = fixture_new();
    for (int i = 0; i < 5000; i++) {
        char path[64];
        snprintf(path, sizeof path, "/made.up/M%d", i);
        rpc_metrics_finished(fixture.rpc, path, ERROR_UNIMPLEMENTED, 1);
    }
    rpc_metrics_finished(fixture.rpc, "/a.Real/One", ERROR_OK, 1);
    rpc_metrics_finished(fixture.rpc, "/a.Real/One", ERROR_UNIMPLEMENTED, 1);
    cr_assert(has(&fixture, "{grpc_service=\"unknown\",grpc_method=\"unknown\",grpc_code=\"Unimplemented\"} 5000\n"));
    cr_assert(has(&fixture, "{grpc_service=\"a.Real\",grpc_method=\"One\",grpc_code=\"Unimplemented\"} 1\n"));
    cr_assert_not(has(&fixture, "made.up"));
    fixture_free(&fixture);
}

Test(rpc_metrics, paths_of_any_form_are_taken) {
    struct fixture fixture = fixture_new();
    char longest[9000];
    memset(longest, 'x', sizeof longest - 1);
    longest[0] = '/';
    longest[4] = '/';
    longest[sizeof longest - 1] = '\0';
    const char *const paths[] = {"", "/", "//", "a/b", "/a", "/a/", "//b", longest};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        rpc_metrics_finished(fixture.rpc, paths[i], ERROR_OK, 1);
    }
    cr_assert(has(&fixture, "{grpc_service=\"unknown\",grpc_method=\"unknown\",grpc_code=\"OK\"} 8\n"));
    fixture_free(&fixture);
}

Test(rpc_metrics, every_code_has_its_name) {
    cr_assert_str_eq(rpc_metrics_code_name(ERROR_OK), "OK");
    cr_assert_str_eq(rpc_metrics_code_name(ERROR_RESOURCE_EXHAUSTED), "ResourceExhausted");
    cr_assert_str_eq(rpc_metrics_code_name(ERROR_UNIMPLEMENTED), "Unimplemented");
    cr_assert_str_eq(rpc_metrics_code_name(ERROR_UNAUTHENTICATED), "Unauthenticated");
    cr_assert_str_eq(rpc_metrics_code_name((enum error_code)17), "Unknown");
}
