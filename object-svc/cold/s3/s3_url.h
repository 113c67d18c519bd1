/* How S3 wants names, numbers and checksums written in URLs and headers.
 *
 * Pure functions; any thread. */
#ifndef WAYBILL_S3_S3_URL_H
#define WAYBILL_S3_S3_URL_H

#include "common/base/bytes.h"
#include "common/base/error.h"

enum { S3_KEY_MAX_BYTES = 1024, S3_SHA256_TEXT_BYTES = 65, S3_MD5_TEXT_BYTES = 25, S3_CRC32C_TEXT_BYTES = 9 };

/* An endpoint taken apart: scheme and host[:port], no path. */
struct s3_endpoint {
    const char *scheme; /* "http" or "https" */
    char host[256];     /* with the port, where there is one */
};

/* INVALID_ARGUMENT, BAD_CONFIG (field "s3_endpoint") where it is no http or https URL without a path. */
bool s3_endpoint_parse(const char *url, struct s3_endpoint *out, struct error *error);

/* Appends the text with all but A-Z a-z 0-9 - . _ ~ as %XX, and '/' as it is where it
 * parts names. The signature is over these very bytes. */
void s3_url_escape(struct buffer *out, const char *text, bool keep_slashes);

/* The SHA-256 in hexadecimal, as x-amz-content-sha256; MD5 and CRC32C in base64, as Content-MD5 and
 * x-amz-checksum-crc32c. */
bool s3_sha256(struct bytes data, char text[S3_SHA256_TEXT_BYTES]);
bool s3_md5(struct bytes data, char text[S3_MD5_TEXT_BYTES]);
void s3_crc32c(uint32_t crc, char text[S3_CRC32C_TEXT_BYTES]);

#endif
