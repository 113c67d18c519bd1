// rooms: object_cold
#include "object-svc/cold/cold_sidecar.h"
#include "object-svc/hot/block_sums.h"
#include "tests/unit/object-svc/hot/golden.h"

static struct provenance example(void) {
    struct provenance provenance = {.bucket = "photos",
                                    .key = "a/b",
                                    .version = 3,
                                    .payload_id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
                                    .content_type = "text/plain",
                                    .descriptor = bytes_of_string("{\"n\":1}"),
                                    .size_bytes = 300000,
                                    .crc32c = 0xe3069283,
                                    .has_sha256 = true,
                                    .commit_unix_us = 1700000000000001,
                                    .store_unix_us = 1700000000000002};
    memset(provenance.sha256, 0x5a, PROVENANCE_SHA256_BYTES);
    return provenance;
}

Test(cold_sidecar, it_reads_as_documented) {
    static const uint8_t sums[] = {0x78, 0x56, 0x34, 0x12, 0xef, 0xcd, 0xab, 0x90};
    struct cold_sidecar sidecar = {
        .provenance = example(), .block_bytes = 262144, .block_sums = bytes_of(sums, sizeof sums)};
    struct cold_sidecar again;
    struct buffer text = {0};
    struct error error = {0};
    struct arena arena;
    arena_init(&arena);
    cr_assert(cold_sidecar_encode(&sidecar, &text, &error), "%s", error.message);
    cr_assert(cold_sidecar_decode(buffer_bytes(&text), &arena, &again));
    cr_assert(bytes_equal(again.block_sums, sidecar.block_sums));
    cr_assert_eq(again.block_bytes, 262144);
    buffer_append_u8(&text, 0);
    char *want = golden_block(__FILE__, "cold-store.md", "sidecar");
    cr_assert_str_eq((const char *)text.data, want, "the sidecar should be:\n%s", (char *)text.data);
    free(want);
    arena_free(&arena);
    buffer_free(&text);
}

Test(cold_sidecar, blocks_grow_with_the_object_and_stay_few) {
    cr_assert_eq(cold_sidecar_block_bytes(0), 256 * 1024);
    cr_assert_eq(cold_sidecar_block_bytes(UINT64_C(4) << 30), 256 * 1024);
    cr_assert_eq(cold_sidecar_block_bytes((UINT64_C(4) << 30) + 1), 512 * 1024);
    cr_assert_eq(cold_sidecar_block_bytes(UINT64_C(1) << 40), 4 * 1024 * 1024);
    cr_assert_eq(block_sums_count(UINT64_C(1) << 40, 4 * 1024 * 1024), 262144);
}

Test(cold_sidecar, rubbish_is_refused) {
    static const char *const texts[] = {"", "{", "[]", "null", "{}", "{\"format\":1}", "\xff\xfe"};
    struct cold_sidecar out;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct arena arena;
        arena_init(&arena);
        cr_assert_not(cold_sidecar_decode(bytes_of_string(texts[i]), &arena, &out), "%s", texts[i]);
        arena_free(&arena);
    }
}
