// rooms: metadata_spool test_support
#include "tests/unit/metadata-svc/spool/spool_fixture.h"

#include <ctype.h>

#include "metadata-svc/spool/spool_format.h"

/* ---- golden bytes ---- */

enum { IMAGE_BYTES = 8192 + 64 };

static const struct spool_segment_header example_segment = {.number = 7,
                                                            .salt = 0x1122334455667788,
                                                            .segment_bytes = 64 * MIB,
                                                            .oldest_live = 5,
                                                            .next_upload = 42,
                                                            .create_unix_us = 1700000000000000};
static const struct uuid example_id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
/* With the last NUL; then the upload id. */
static const char example_names[] = "photos\0a\0\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";

static struct spool_frame example_frame(enum spool_frame_type type, uint64_t number, struct bytes body) {
    return (struct spool_frame){.type = type,
                                .payload_id = example_id,
                                .upload = 42,
                                .number = number,
                                .body_bytes = (uint32_t)body.size,
                                .crc32c = crc32c(body)};
}

/* The segment that docs/formats/spool.md shows. */
static void make_example(uint8_t image[IMAGE_BYTES]) {
    struct bytes names = bytes_of(example_names, sizeof example_names - 1);
    struct bytes data = bytes_of_string("hi");
    struct spool_frame begin = example_frame(SPOOL_FRAME_BEGIN, 1700000000000001, names);
    struct spool_frame piece = example_frame(SPOOL_FRAME_DATA, 0, data);
    struct spool_frame end = example_frame(SPOOL_FRAME_END, 2, data);
    struct spool_frame seal = {.type = SPOOL_FRAME_SEAL, .lead_bytes = 8192 - 4416, .flushed = 4416};
    end.body_bytes = 0;
    memset(image, 0, IMAGE_BYTES);
    spool_segment_header_encode(&example_segment, image);
    spool_frame_encode(&begin, &example_segment, 4096, image + 4096);
    memcpy(image + 4160, names.data, names.size);
    spool_frame_encode(&piece, &example_segment, 4224, image + 4224);
    memcpy(image + 4288, data.data, data.size);
    spool_frame_encode(&end, &example_segment, 4352, image + 4352);
    spool_frame_encode(&seal, &example_segment, 8192, image + 8192);
}

static FILE *open_page(void) {
    char path[1024];
    const char *inside = strstr(__FILE__, "tests/unit/");
    cr_assert_not_null(inside);
    snprintf(path, sizeof path, "%.*sdocs/formats/spool.md", (int)(inside - __FILE__), __FILE__);
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file, "%s", path);
    return file;
}

/* Compares a line `<offset>  <hex> <hex> ...` with the image; returns how many bytes it has. */
static size_t check_row(const char *line, const uint8_t image[IMAGE_BYTES]) {
    char *at;
    size_t offset = strtoul(line, &at, 16);
    size_t count = 0;
    for (;;) {
        while (isspace((unsigned char)*at)) {
            at++;
        }
        if (*at == '\0') {
            return count;
        }
        char *next;
        unsigned long byte = strtoul(at, &next, 16);
        cr_assert(next == at + 2 && offset + count < IMAGE_BYTES, "%s", line);
        cr_assert_eq(image[offset + count], byte, "at %zx: %02x, the page says %02lx", offset + count,
                     image[offset + count], byte);
        at = next;
        count++;
    }
}

Test(spool_format, the_bytes_are_those_of_the_documented_example) {
    static uint8_t image[IMAGE_BYTES];
    char line[512];
    bool in_example = false;
    size_t bytes = 0;
    FILE *page = open_page();
    make_example(image);
    while (fgets(line, sizeof line, page) != NULL) {
        if (strcmp(line, "```\n") == 0) {
            in_example = !in_example;
        } else if (in_example) {
            bytes += check_row(line, image);
        }
    }
    fclose(page);
    cr_assert_eq(bytes, 5 * 64 + 9 + 16 + 2);
}

Test(spool_format, the_spool_writes_a_small_payload_as_documented) {
    struct spool_fixture fixture = fixture_start(1, 2);
    uint8_t written[SEGMENT_BYTES];
    uint8_t copy[SPOOL_HEADER_BYTES];
    uint8_t expected[SPOOL_HEADER_BYTES];
    struct spool_segment_header header;
    struct spool_frame frame;
    fixture_put(&fixture, 1, 2);
    fixture_close(&fixture);
    faulty_disk_peek(fixture.disk, "segment-0000000000000001", 0, written, sizeof written);
    memcpy(copy, written + SEGMENT_BYTES - 4096, sizeof copy);
    cr_assert(spool_segment_header_decode(written, &header));
    cr_assert_eq(memcmp(copy, written, sizeof copy), 0);
    cr_assert_eq(header.segment_bytes, SEGMENT_BYTES);
    cr_assert_eq(header.create_unix_us, 1700000000000000);
    static const uint64_t places[] = {4096, 4224, 4352, 8192};
    for (size_t i = 0; i < 4; i++) {
        cr_assert(spool_frame_decode(written + places[i], &header, places[i], &frame), "at %llu",
                  (unsigned long long)places[i]);
        cr_assert_eq(frame.type, (int)i + 1);
        spool_frame_encode(&frame, &header, places[i], expected);
        cr_assert_eq(memcmp(expected, written + places[i], sizeof expected), 0);
    }
    cr_assert_eq(frame.flushed, 4416);
    cr_assert_eq(memcmp(written + 4160, "pictures\0some/key-1", 20), 0);
    fixture_end(&fixture);
}

/* As the first version of the format wrote them. */
static const uint8_t old_segment[] = {0x57, 0x42, 0x53, 0x47, 0x01, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00,
                                      0x00, 0x00, 0x00, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0x00,
                                      0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                      0x00, 0x2a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x1e, 0x18,
                                      0x24, 0x0a, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x49, 0x31, 0xdc};
static const uint8_t old_begin[] = {0x57, 0x42, 0x46, 0x52, 0x01, 0x01, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00,
                                    0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
                                    0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x2a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                    0x00, 0x01, 0x40, 0x1e, 0x18, 0x24, 0x0a, 0x06, 0x00, 0x09, 0x00, 0x00, 0x00,
                                    0x39, 0xd8, 0x3e, 0x68, 0x00, 0x00, 0x00, 0x00, 0xcd, 0x6f, 0x1d, 0xa4};

Test(spool_format, headers_of_version_1_are_read_and_those_of_an_unknown_one_are_not) {
    uint8_t newer[SPOOL_HEADER_BYTES];
    struct spool_segment_header header;
    struct spool_frame frame;
    cr_assert(spool_segment_header_decode(old_segment, &header));
    cr_assert_eq(header.next_upload, 42);
    cr_assert(spool_frame_decode(old_begin, &header, 4096, &frame));
    cr_assert(frame.type == SPOOL_FRAME_BEGIN && frame.body_bytes == 9);
    memcpy(newer, old_segment, sizeof newer);
    newer[4] = SPOOL_FORMAT_VERSION + 1;
    put_le32(newer + 60, crc32c(bytes_of(newer, 60)));
    cr_assert_not(spool_segment_header_decode(newer, &header));
}

/* ---- what is no header ---- */

Test(spool_format, a_header_with_any_bit_flipped_is_none) {
    static uint8_t image[IMAGE_BYTES];
    struct spool_segment_header header;
    struct spool_frame frame;
    make_example(image);
    cr_assert(spool_segment_header_decode(image, &header));
    cr_assert(spool_frame_decode(image + 4224, &example_segment, 4224, &frame));
    for (size_t bit = 0; bit < 8 * SPOOL_HEADER_BYTES; bit++) {
        image[bit / 8] ^= (uint8_t)(1u << bit % 8);
        image[4224 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_not(spool_segment_header_decode(image, &header));
        cr_assert_not(spool_frame_decode(image + 4224, &example_segment, 4224, &frame));
        image[bit / 8] ^= (uint8_t)(1u << bit % 8);
        image[4224 + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(spool_format, a_frame_is_valid_only_in_its_segment_and_place) {
    static uint8_t image[IMAGE_BYTES];
    struct spool_frame frame;
    struct spool_segment_header other_salt = example_segment;
    struct spool_segment_header other_number = example_segment;
    struct spool_segment_header shorter = example_segment;
    make_example(image);
    other_salt.salt++;
    other_number.number++;
    shorter.segment_bytes = 4224 + 64 + 1;
    cr_assert(spool_frame_decode(image + 4224, &example_segment, 4224, &frame));
    cr_assert_not(spool_frame_decode(image + 4224, &example_segment, 4288, &frame));
    cr_assert_not(spool_frame_decode(image + 4224, &other_salt, 4224, &frame));
    cr_assert_not(spool_frame_decode(image + 4224, &other_number, 4224, &frame));
    cr_assert_not(spool_frame_decode(image + 4224, &shorter, 4224, &frame));
}

/* ---- layout ---- */

static void check_layout(const struct spool_parts *parts, uint64_t at, uint64_t limit) {
    struct spool_layout layout;
    uint64_t end = at;
    if (!spool_layout_make(parts, at, limit, &layout)) {
        cr_assert_lt(limit - at, 12288 + parts->names_bytes, "room enough was refused");
        return;
    }
    if (parts->names_bytes > 0) {
        cr_assert_eq(layout.begin_at, end);
        end = layout.begin_at + SPOOL_HEADER_BYTES + parts->names_bytes;
    }
    if (parts->data_bytes > 0) {
        cr_assert(layout.data_header_at >= end && layout.data_header_at % SPOOL_ALIGN_BYTES == 0);
        cr_assert(layout.data_at >= layout.data_header_at + SPOOL_HEADER_BYTES);
        cr_assert(layout.data_bytes > 0 && layout.data_bytes <= parts->data_bytes);
        cr_assert(parts->data_bytes < SPOOL_LARGE_BYTES || layout.data_at % SPOOL_BLOCK_BYTES == 0);
        end = layout.data_at + layout.data_bytes;
    }
    if (layout.with_end) {
        cr_assert(parts->end && layout.data_bytes == parts->data_bytes && layout.end_at >= end);
        end = layout.end_at + SPOOL_HEADER_BYTES;
    }
    cr_assert(layout.next >= end && layout.next <= limit && layout.next % SPOOL_ALIGN_BYTES == 0);
}

Test(spool_format, a_layout_keeps_to_its_room_in_order_and_aligned) {
    static const size_t data[] = {0, 1, 64, 4095, 4096, 16383, 16384, 65536, 1048576};
    static const size_t names[] = {0, 3, 128, 1089};
    uint64_t limit = spool_last_end(SEGMENT_BYTES);
    for (uint64_t at = spool_first_frame(); at <= limit; at += SPOOL_ALIGN_BYTES) {
        for (size_t i = 0; i < 9 * 4 * 2; i++) {
            struct spool_parts parts = {names[i / 2 % 4], data[i / 8], i % 2 == 1};
            if (parts.names_bytes + parts.data_bytes > 0 || parts.end) {
                check_layout(&parts, at, limit);
            }
        }
    }
}
