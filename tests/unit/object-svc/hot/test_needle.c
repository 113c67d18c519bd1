// rooms: object_hot
#include "common/checksum/crc32c.h"
#include "object-svc/hot/needle.h"
#include "tests/unit/object-svc/hot/golden.h"

static const struct volume_header header = {
    .id = 7, .salt = 0x1122334455667788, .create_unix_us = 1700000000000000, .replica = "object-0"};

static struct needle example(void) {
    struct needle needle = {.kind = NEEDLE_OBJECT,
                            .salt = header.salt,
                            .offset = VOLUME_HEADER_BYTES,
                            .flushed_bytes = 0,
                            .block_bytes = NEEDLE_BLOCK_BYTES,
                            .provenance = {.bucket = "photos",
                                           .key = "a/b",
                                           .version = 3,
                                           .payload_id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
                                           .content_type = "text/plain",
                                           .descriptor = bytes_of_string("{\"n\":1}"),
                                           .size_bytes = 9,
                                           .crc32c = 0xe3069283,
                                           .has_sha256 = true,
                                           .commit_unix_us = 1700000000000001,
                                           .store_unix_us = 1700000000000002}};
    memset(needle.provenance.sha256, 0x5a, PROVENANCE_SHA256_BYTES);
    return needle;
}

Test(needle, a_volume_header_has_the_documented_bytes) {
    uint8_t raw[VOLUME_HEADER_BYTES];
    volume_header_encode(&header, raw);
    golden_check(__FILE__, "hot-volume.md", "volume header", bytes_of(raw, sizeof raw));
    struct volume_header again;
    cr_assert(volume_header_decode(raw, &again));
    cr_assert_eq(again.id, header.id);
    cr_assert_eq(again.salt, header.salt);
    cr_assert_eq(again.create_unix_us, header.create_unix_us);
    cr_assert_str_eq(again.replica, header.replica);
}

Test(needle, a_needle_has_the_documented_bytes) {
    struct needle needle = example();
    struct buffer raw = {0};
    needle_encode(&needle, &raw);
    buffer_append(&raw, "123456789", 9);
    while (raw.size < needle_bytes(&needle)) {
        buffer_append_u8(&raw, 0);
    }
    golden_check(__FILE__, "hot-volume.md", "needle", buffer_bytes(&raw));
    buffer_free(&raw);
}

Test(needle, a_seal_has_the_documented_bytes) {
    struct needle seal = {.kind = NEEDLE_SEAL,
                          .salt = header.salt,
                          .offset = 688,
                          .flushed_bytes = 688,
                          .block_bytes = NEEDLE_BLOCK_BYTES};
    struct buffer raw = {0};
    needle_encode(&seal, &raw);
    cr_assert_eq(raw.size, needle_bytes(&seal));
    golden_check(__FILE__, "hot-volume.md", "seal", buffer_bytes(&raw));
    buffer_free(&raw);
}

Test(needle, any_flipped_bit_of_a_header_is_noticed) {
    struct needle needle = example();
    struct buffer raw = {0};
    struct buffer names = {0};
    needle_encode(&needle, &raw);
    size_t covered = NEEDLE_FIXED_BYTES + 6 + 3 + 10 + 7 + 4;
    for (size_t bit = 0; bit < covered * 8; bit++) {
        struct needle decoded;
        raw.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        uint32_t size = needle_header_size(buffer_bytes(&raw));
        cr_assert(size != raw.size || !needle_decode(bytes_of(raw.data, size), &names, &decoded), "bit %zu", bit);
        raw.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buffer_free(&raw);
    buffer_free(&names);
    uint8_t volume[VOLUME_HEADER_BYTES];
    volume_header_encode(&header, volume);
    for (size_t bit = 0; bit < sizeof volume * 8; bit++) {
        struct volume_header decoded;
        volume[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_not(volume_header_decode(volume, &decoded), "bit %zu", bit);
        volume[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(needle, the_largest_header_fits_and_large_objects_get_large_blocks) {
    static uint8_t descriptor[PROVENANCE_DESCRIPTOR_MAX_BYTES];
    static char key[NAME_KEY_MAX_BYTES + 1];
    static char type[PROVENANCE_CONTENT_TYPE_MAX_BYTES + 1];
    char bucket[NAME_BUCKET_MAX_BYTES + 1];
    memset(key, 'k', NAME_KEY_MAX_BYTES);
    memset(type, 't', PROVENANCE_CONTENT_TYPE_MAX_BYTES);
    memset(bucket, 'b', NAME_BUCKET_MAX_BYTES);
    bucket[NAME_BUCKET_MAX_BYTES] = '\0';
    struct needle needle = example();
    needle.provenance.bucket = bucket;
    needle.provenance.key = key;
    needle.provenance.content_type = type;
    needle.provenance.descriptor = bytes_of(descriptor, sizeof descriptor);
    struct buffer raw = {0};
    struct buffer names = {0};
    struct needle again;
    needle_encode(&needle, &raw);
    cr_assert_leq(raw.size, NEEDLE_HEADER_MAX_BYTES);
    cr_assert_eq(needle_header_size(buffer_bytes(&raw)), raw.size);
    cr_assert(needle_decode(buffer_bytes(&raw), &names, &again));
    cr_assert_str_eq(again.provenance.key, key);
    buffer_free(&raw);
    buffer_free(&names);

    const uint64_t tebibyte = UINT64_C(1) << 40;
    cr_assert_eq(needle_block_bytes(65536), 65536);
    cr_assert_eq(needle_block_bytes(tebibyte), 1024 * 1024);
    needle.provenance.size_bytes = tebibyte;
    needle.block_bytes = needle_block_bytes(tebibyte);
    cr_assert_eq(needle_bytes(&needle), needle_header_bytes(&needle) + tebibyte + 4 * 1024 * 1024);
}
