#include "common/rpc/rpc_channel.h"

#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/clock.h"
#include "common/rpc/channel_parts.h"
#include "common/rpc/core_library.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_status.h"
#include "common/rpc/wire_message.h"

enum {
    /* A server that went silent is left after both, or after the second where bytes wait for it. */
    KEEPALIVE_TIME_MS = 10000,
    KEEPALIVE_TIMEOUT_MS = 10000,
    CONNECT_TIMEOUT_MS = 5000, /* of one attempt */
    RECONNECT_FIRST_MS = 100,
    RECONNECT_MOST_MS = 2000,
    RESOLVE_AGAIN_MS = 1000,
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MOST_MS = 2000,
};

/* ---- the channel ---- */

static grpc_arg integer_arg(const char *name, int64_t value) {
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)name, .value.integer = value > INT32_MAX ? INT32_MAX : (int)value};
}

static grpc_channel *make_core(const char *target, size_t max_message_bytes) {
    grpc_arg args[] = {
        integer_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int64_t)max_message_bytes),
        integer_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        integer_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_TIME_MS),
        integer_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
        integer_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        integer_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        /* A server that comes back is found again at once. */
        integer_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, RECONNECT_FIRST_MS),
        integer_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_TIMEOUT_MS),
        integer_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_MOST_MS),
        integer_arg(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, RESOLVE_AGAIN_MS),
        /* A channel is a connection of its own: bulk bytes of one must not delay another. */
        integer_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        /* Retries are ours. */
        integer_arg(GRPC_ARG_ENABLE_RETRIES, 0),
        integer_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        integer_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        integer_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE),
    };
    grpc_channel_args all = {sizeof args / sizeof args[0], args};
    /* The one place that knows how connections are secured. */
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *core = grpc_channel_create(target, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return core;
}

struct rpc_channel *rpc_channel_new(const char *target, size_t max_message_bytes) {
    struct rpc_channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL) {
        abort();
    }
    core_library_begin();
    channel->max_message_bytes = max_message_bytes;
    channel->core = make_core(target, max_message_bytes);
    pthread_mutex_init(&channel->lock, NULL);
    return channel;
}

void rpc_channel_free(struct rpc_channel *channel) {
    if (channel == NULL) {
        return;
    }
    if (channel->queue_runs) {
        event_queue_stop(&channel->queue);
    }
    grpc_channel_destroy(channel->core);
    pthread_mutex_destroy(&channel->lock);
    free(channel);
    core_library_end();
}

void rpc_channel_reconnect(struct rpc_channel *channel) {
    grpc_channel_reset_connect_backoff(channel->core);
}

grpc_completion_queue *channel_queue(struct rpc_channel *channel, struct error *error) {
    pthread_mutex_lock(&channel->lock);
    if (!channel->queue_runs) {
        event_queue_init(&channel->queue, EVENT_QUEUE_POLLS);
        channel->queue_runs = event_queue_start(&channel->queue, 1, "rpc-channel");
        if (!channel->queue_runs) {
            event_queue_stop(&channel->queue);
            error_set(error, ERROR_RESOURCE_EXHAUSTED, "NO_THREADS", "the system has no thread for the channel");
        }
    }
    grpc_completion_queue *queue = channel->queue_runs ? channel->queue.core : NULL;
    pthread_mutex_unlock(&channel->lock);
    return queue;
}

/* ---- what every kind of call needs ---- */

gpr_timespec channel_deadline(const struct rpc_call_options *options, int64_t default_ms) {
    int64_t timeout_ms = options != NULL && options->timeout_ms > 0 ? options->timeout_ms : default_ms;
    if (timeout_ms <= 0) {
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    }
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
}

grpc_call *channel_make_call(struct rpc_channel *channel, const char *path, grpc_completion_queue *queue,
                             gpr_timespec deadline) {
    grpc_slice method = grpc_slice_from_copied_string(path);
    grpc_call *call =
        grpc_channel_create_call(channel->core, NULL, GRPC_PROPAGATE_DEFAULTS, queue, method, NULL, deadline, NULL);
    grpc_slice_unref(method);
    return call;
}

static bool add_header(struct channel_headers *headers, const struct rpc_header *header, struct error *error) {
    if (headers->count == CHANNEL_MAX_HEADERS) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_HEADER", "more than %d headers", CHANNEL_MAX_HEADERS);
    }
    grpc_metadata *metadata = &headers->metadata[headers->count++];
    metadata->key = grpc_slice_from_copied_string(header->name);
    metadata->value = grpc_slice_from_copied_string(header->value);
    if (!grpc_header_key_is_legal(metadata->key) ||
        (!grpc_is_binary_header(metadata->key) && !grpc_header_nonbin_value_is_legal(metadata->value))) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_HEADER", "header %s is not one that HTTP/2 can carry",
                         header->name);
    }
    return true;
}

bool channel_headers_init(struct channel_headers *headers, const struct rpc_call_options *options,
                          struct error *error) {
    headers->count = 0;
    if (options == NULL || options->headers == NULL) {
        return true;
    }
    for (const struct rpc_header *header = options->headers; header->name != NULL; header++) {
        if (!add_header(headers, header, error)) {
            channel_headers_destroy(headers);
            return false;
        }
    }
    return true;
}

void channel_headers_destroy(struct channel_headers *headers) {
    for (size_t i = 0; i < headers->count; i++) {
        grpc_slice_unref(headers->metadata[i].key);
        grpc_slice_unref(headers->metadata[i].value);
    }
    headers->count = 0;
}

void channel_status_error(grpc_status_code code, grpc_slice text, const grpc_metadata_array *trailers,
                          struct error *error) {
    enum error_code known = (unsigned)code <= ERROR_UNAUTHENTICATED ? (enum error_code)code : ERROR_UNKNOWN;
    error_set(error, known, error_code_name(known), "%.*s", (int)GRPC_SLICE_LENGTH(text),
              (const char *)GRPC_SLICE_START_PTR(text));
    struct bytes details = wire_binary_header(trailers, "grpc-status-details-bin");
    if (details.size > 0) {
        rpc_status_decode(details, error);
    }
}

/* ---- unary calls that wait ---- */

struct attempt {
    grpc_completion_queue *queue;
    grpc_call *call;
    grpc_metadata_array leaders;
    grpc_metadata_array trailers;
    grpc_byte_buffer *response;
    grpc_status_code status;
    grpc_slice text;
};

/* One round over the network; fills the attempt. */
static void run_attempt(struct rpc_channel *channel, const char *path, gpr_timespec deadline,
                        struct channel_headers *headers, grpc_slice request, struct attempt *attempt) {
    attempt->queue = grpc_completion_queue_create_for_pluck(NULL);
    attempt->call = channel_make_call(channel, path, attempt->queue, deadline);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&request, 1);
    grpc_op ops[6];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = headers->count;
    ops[0].data.send_initial_metadata.metadata = headers->metadata;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = message;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &attempt->leaders;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &attempt->response;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &attempt->trailers;
    ops[5].data.recv_status_on_client.status = &attempt->status;
    ops[5].data.recv_status_on_client.status_details = &attempt->text;
    if (grpc_call_start_batch(attempt->call, ops, 6, attempt, NULL) != GRPC_CALL_OK) {
        abort(); /* only a mistake of ours makes the core refuse */
    }
    /* The call's own deadline ends this wait. */
    grpc_completion_queue_pluck(attempt->queue, attempt, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_byte_buffer_destroy(message);
}

/* Only when status and headers have been read: they are the call's. */
static void end_attempt(struct attempt *attempt) {
    if (attempt->response != NULL) {
        grpc_byte_buffer_destroy(attempt->response);
    }
    grpc_slice_unref(attempt->text);
    grpc_metadata_array_destroy(&attempt->leaders);
    grpc_metadata_array_destroy(&attempt->trailers);
    grpc_call_unref(attempt->call);
    grpc_completion_queue_shutdown(attempt->queue);
    grpc_completion_queue_destroy(attempt->queue);
}

static bool decode_response(grpc_byte_buffer *buffer, const ProtobufCMessageDescriptor *type, struct arena *arena,
                            ProtobufCMessage **response, struct error *error) {
    grpc_slice slice = grpc_empty_slice();
    struct bytes wire = {0};
    struct error malformed;
    error_set(&malformed, ERROR_INTERNAL, "MALFORMED_RESPONSE", "the answer came without a message");
    *response = NULL;
    if (buffer != NULL) {
        if (!wire_message_borrow(buffer, &slice, &wire)) {
            slice = grpc_slice_malloc(grpc_byte_buffer_length(buffer));
            wire_message_copy(buffer, GRPC_SLICE_START_PTR(slice));
            wire = bytes_of(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
        }
        *response = proto_decode(type, wire, arena, &malformed);
        wire_slice_release(slice);
    }
    if (*response != NULL) {
        return true;
    }
    return error_set(error, ERROR_INTERNAL, "MALFORMED_RESPONSE", "%s", malformed.message);
}

/* A random wait up to the doubling limit, or what the server asked for and a little more. */
static int64_t backoff_ms(unsigned attempts_made, const struct error *error) {
    uint32_t chance = 0;
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != (ssize_t)sizeof chance) {
        chance = (uint32_t)clock_monotonic_us(&system_clock);
    }
    int64_t limit = BACKOFF_FIRST_MS;
    for (unsigned i = 1; i < attempts_made && limit < BACKOFF_MOST_MS; i++) {
        limit *= 2;
    }
    limit = limit < BACKOFF_MOST_MS ? limit : BACKOFF_MOST_MS;
    return error->retry_after_ms > 0 ? error->retry_after_ms + chance % BACKOFF_FIRST_MS : chance % (limit + 1);
}

static bool worth_retrying(const struct error *error) {
    return error->code == ERROR_UNAVAILABLE || (error->code == ERROR_RESOURCE_EXHAUSTED && error->retry_after_ms > 0);
}

/* Waits before the next attempt; false when the deadline would pass meanwhile. Polls all the while: a
 * connection is made by whoever polls, and where that is nobody but those who wait for an attempt's end,
 * the next attempt would find the channel where this one left it. */
static bool back_off(unsigned attempts_made, gpr_timespec deadline, const struct error *error) {
    int64_t wait_ms = backoff_ms(attempts_made, error);
    gpr_timespec left = gpr_time_sub(deadline, gpr_now(GPR_CLOCK_MONOTONIC));
    if (gpr_time_to_millis(left) <= wait_ms) {
        return false;
    }
    gpr_timespec until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(wait_ms, GPR_TIMESPAN));
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
    grpc_completion_queue_next(queue, until, NULL); /* nothing completes on it */
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_completion_queue_destroy(queue);
    return true;
}

static bool call_once(struct rpc_channel *channel, const char *path, gpr_timespec deadline,
                      struct channel_headers *headers, grpc_slice request,
                      const ProtobufCMessageDescriptor *response_type, struct arena *arena, ProtobufCMessage **response,
                      struct error *error) {
    struct attempt attempt = {.status = GRPC_STATUS_UNKNOWN, .text = grpc_empty_slice()};
    grpc_metadata_array_init(&attempt.leaders);
    grpc_metadata_array_init(&attempt.trailers);
    run_attempt(channel, path, deadline, headers, request, &attempt);
    bool ok = attempt.status == GRPC_STATUS_OK;
    if (ok) {
        ok = decode_response(attempt.response, response_type, arena, response, error);
    } else {
        channel_status_error(attempt.status, attempt.text, &attempt.trailers, error);
        if (error->code == ERROR_CANCELLED) {
            /* We do not cancel such calls: the server dropped it in its last moments. */
            error->code = ERROR_UNAVAILABLE;
        }
    }
    end_attempt(&attempt);
    return ok;
}

bool rpc_channel_call(struct rpc_channel *channel, const char *path, const struct rpc_call_options *options,
                      const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
                      struct arena *arena, ProtobufCMessage **response, struct error *error) {
    struct channel_headers headers;
    if (!channel_headers_init(&headers, options, error)) {
        return false;
    }
    gpr_timespec deadline = channel_deadline(options, CHANNEL_TIMEOUT_MS);
    unsigned attempts = options != NULL && options->max_attempts > 1 ? options->max_attempts : 1;
    grpc_slice wire = wire_slice_pack(request);
    bool ok = false;
    for (unsigned made = 1;; made++) {
        struct error failure;
        ok = call_once(channel, path, deadline, &headers, wire, response_type, arena, response, &failure);
        if (ok) {
            break;
        }
        bool again = made < attempts && worth_retrying(&failure);
        if (again) {
            /* The core's own pause between connections, of up to RECONNECT_MOST_MS, must not
             * make all attempts fail on the same old refusal. */
            rpc_channel_reconnect(channel);
        }
        if (!again || !back_off(made, deadline, &failure)) {
            *error = failure;
            break;
        }
    }
    grpc_slice_unref(wire);
    channel_headers_destroy(&headers);
    return ok;
}
