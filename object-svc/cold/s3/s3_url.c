#include "object-svc/cold/s3/s3_url.h"

#include <openssl/evp.h>
#include <stdio.h>

bool s3_endpoint_parse(const char *url, struct s3_endpoint *out, struct error *error) {
    static const char *const schemes[] = {"http", "https"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t length = strlen(schemes[i]);
        if (strncmp(url, schemes[i], length) != 0 || strncmp(url + length, "://", 3) != 0) {
            continue;
        }
        const char *host = url + length + 3;
        size_t size = strcspn(host, "/?#@ \t\r\n");
        bool ended = host[size] == '\0' || strcmp(host + size, "/") == 0;
        if (size > 0 && size < sizeof out->host && ended) {
            out->scheme = schemes[i];
            snprintf(out->host, sizeof out->host, "%.*s", (int)size, host);
            return true;
        }
    }
    return error_set_field(error, "s3_endpoint", "BAD_CONFIG",
                           "s3_endpoint is a URL without a path, such as https://s3.eu-central-1.amazonaws.com");
}

static bool plain(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

void s3_url_escape(struct buffer *out, const char *text, bool keep_slashes) {
    static const char digits[] = "0123456789ABCDEF";
    for (; *text != '\0'; text++) {
        uint8_t byte = (uint8_t)*text;
        if (plain(*text) || (keep_slashes && byte == '/')) {
            buffer_append_u8(out, byte);
        } else {
            buffer_append_u8(out, '%');
            buffer_append_u8(out, (uint8_t)digits[byte >> 4]);
            buffer_append_u8(out, (uint8_t)digits[byte & 15]);
        }
    }
}

bool s3_sha256(struct bytes data, char text[S3_SHA256_TEXT_BYTES]) {
    uint8_t digest[32];
    unsigned size = 0;
    if (EVP_Digest(data.data, data.size, digest, &size, EVP_sha256(), NULL) != 1 || size != sizeof digest) {
        return false;
    }
    for (size_t i = 0; i < sizeof digest; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    return true;
}

bool s3_md5(struct bytes data, char text[S3_MD5_TEXT_BYTES]) {
    uint8_t digest[16];
    unsigned size = 0;
    if (EVP_Digest(data.data, data.size, digest, &size, EVP_md5(), NULL) != 1 || size != sizeof digest) {
        return false;
    }
    return EVP_EncodeBlock((uint8_t *)text, digest, sizeof digest) == S3_MD5_TEXT_BYTES - 1;
}

void s3_crc32c(uint32_t crc, char text[S3_CRC32C_TEXT_BYTES]) {
    const uint8_t raw[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
    EVP_EncodeBlock((uint8_t *)text, raw, sizeof raw);
}
