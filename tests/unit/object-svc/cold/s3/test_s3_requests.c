// rooms: object_s3
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "object-svc/cold/s3/s3_answer.h"
#include "object-svc/cold/s3/s3_url.h"

static struct bytes text(const char *string) {
    return bytes_of_string(string);
}

Test(s3_url, all_but_unreserved_characters_are_escaped) {
    struct buffer out = {0};
    s3_url_escape(&out, "a/B-9._~ @%+\xc3\xbc", true);
    buffer_append_u8(&out, '\0');
    cr_assert_str_eq((const char *)out.data, "a/B-9._~%20%40%25%2B%C3%BC");
    buffer_clear(&out);
    s3_url_escape(&out, "a/b=c&d", false);
    buffer_append_u8(&out, '\0');
    cr_assert_str_eq((const char *)out.data, "a%2Fb%3Dc%26d");
    buffer_free(&out);
}

Test(s3_url, checksums_are_those_of_the_standards) {
    char sha256[S3_SHA256_TEXT_BYTES];
    char md5[S3_MD5_TEXT_BYTES];
    cr_assert(s3_sha256(text("abc"), sha256));
    cr_assert_str_eq(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cr_assert(s3_sha256((struct bytes){0}, sha256));
    cr_assert_str_eq(sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    cr_assert(s3_md5(text("abc"), md5));
    cr_assert_str_eq(md5, "kAFQmDzST7DWlj99KOF/cg==");
    char crc[S3_CRC32C_TEXT_BYTES];
    s3_crc32c(0xe3069283, crc); /* of "123456789" */
    cr_assert_str_eq(crc, "4waSgw==");
}

Test(s3_url, an_endpoint_is_a_scheme_and_a_host) {
    struct s3_endpoint endpoint;
    struct error error = {0};
    cr_assert(s3_endpoint_parse("https://s3.example.org", &endpoint, &error));
    cr_assert_str_eq(endpoint.scheme, "https");
    cr_assert_str_eq(endpoint.host, "s3.example.org");
    cr_assert(s3_endpoint_parse("http://127.0.0.1:9000/", &endpoint, &error));
    cr_assert_str_eq(endpoint.scheme, "http");
    cr_assert_str_eq(endpoint.host, "127.0.0.1:9000");
    static const char *const bad[] = {"",         "s3.example.org", "ftp://host",        "https://",
                                      "http:///", "http://h/path",  "http://user:pw@h",  "http://h?x",
                                      "http",     "httpx://h",      "http://h with room"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(s3_endpoint_parse(bad[i], &endpoint, &error), "%s", bad[i]);
        cr_assert_str_eq(error.field, "s3_endpoint");
    }
}

Test(s3_answer, an_error_gives_its_code_and_message) {
    struct s3_error error;
    cr_assert(s3_answer_error(text("<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Less &amp; "
                                   "later</Message></Error>"),
                              &error));
    cr_assert_str_eq(error.code, "SlowDown");
    cr_assert_str_eq(error.message, "Less & later");
    cr_assert_not(s3_answer_error(text("<CompleteMultipartUploadResult/>"), &error));
    cr_assert_not(s3_answer_error(text("<Error><Code>Cut"), &error));
    cr_assert_not(s3_answer_error((struct bytes){0}, &error));
}

struct seen {
    int count;
    int most;
    char first[2][64];
    char second[2][64];
};

static bool note(void *context, const char *first, const char *second) {
    struct seen *seen = context;
    snprintf(seen->first[seen->count], sizeof seen->first[0], "%s", first == NULL ? "-" : first);
    snprintf(seen->second[seen->count], sizeof seen->second[0], "%s", second == NULL ? "-" : second);
    return ++seen->count < seen->most;
}

static const char listing[] =
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>true</IsTruncated>"
    "<Contents><Key>a&lt;b/@1</Key><Size>7</Size></Contents><Contents><Key>c</Key></Contents>"
    "<NextContinuationToken>to+ken=</NextContinuationToken></ListBucketResult>";

Test(s3_answer, a_listing_is_walked_until_the_visitor_ends_it) {
    struct seen seen = {.most = 3};
    cr_assert(s3_answer_each(text(listing), "ListBucketResult", "Contents", "Key", "Size", note, &seen));
    cr_assert_eq(seen.count, 2);
    cr_assert_str_eq(seen.first[0], "a<b/@1");
    cr_assert_str_eq(seen.second[0], "7");
    cr_assert_str_eq(seen.first[1], "c");
    cr_assert_str_eq(seen.second[1], "-");
    seen = (struct seen){.most = 1};
    cr_assert(s3_answer_each(text(listing), "ListBucketResult", "Contents", "Key", "Size", note, &seen));
    cr_assert_eq(seen.count, 1);
    cr_assert_not(s3_answer_each(text(listing), "Other", "Contents", "Key", "Size", note, &seen));
    cr_assert_not(s3_answer_each(bytes_of(listing, sizeof listing / 2), "ListBucketResult", "Contents", "Key", "Size",
                                 note, &seen));
}

Test(s3_answer, the_token_of_the_next_page_is_read) {
    char *token = s3_answer_text(text(listing), "ListBucketResult", "NextContinuationToken");
    cr_assert_str_eq(token, "to+ken=");
    free(token);
    cr_assert_null(s3_answer_text(text(listing), "ListBucketResult", "Missing"));
}
