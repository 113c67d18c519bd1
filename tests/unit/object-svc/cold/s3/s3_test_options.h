/* How tests reach an S3 server of their own. */
#ifndef WAYBILL_TESTS_S3_TEST_OPTIONS_H
#define WAYBILL_TESTS_S3_TEST_OPTIONS_H

#include <stdlib.h>

#include "object-svc/cold/s3/s3_client.h"

/* Also makes that secret the one of the environment. The endpoint is borrowed; timeouts and
 * connections are for the caller to set. */
static inline struct s3_options s3_test_options(const char *endpoint, const char *secret) {
    setenv("AWS_ACCESS_KEY_ID", "testing-access", 1);
    setenv("AWS_SECRET_ACCESS_KEY", secret, 1);
    unsetenv("AWS_SESSION_TOKEN");
    return (struct s3_options){.endpoint = endpoint,
                               .bucket = "tier",
                               .region = "us-east-1",
                               .path_style = true,
                               .access_key_file = "",
                               .secret_key_file = "",
                               .session_token_file = "",
                               .ca_file = ""};
}

#endif
