#include "object-svc/api/api_values.h"

char *api_id_text(const struct uuid *id, struct arena *arena) {
    if (uuid_is_zero(id)) {
        return (char *)(uintptr_t) "";
    }
    char *text = arena_alloc(arena, UUID_TEXT_BYTES);
    uuid_print(id, text);
    return text;
}

Google__Protobuf__Timestamp *api_timestamp(int64_t unix_us, struct arena *arena) {
    if (unix_us == 0) {
        return NULL;
    }
    Google__Protobuf__Timestamp *time = arena_alloc(arena, sizeof *time);
    google__protobuf__timestamp__init(time);
    time->seconds = unix_us / 1000000;
    time->nanos = (int32_t)(unix_us % 1000000) * 1000;
    return time;
}
