/* One try of one request: headers, signature (SigV4), the bytes there and back, by libcurl.
 *
 * Before a body of more than 1 MiB libcurl asks the server whether it wants it (Expect), so that one
 * that refuses need not be sent it.
 *
 * Any thread; a handle belongs to one at a time. */
#ifndef WAYBILL_S3_S3_TRANSFER_H
#define WAYBILL_S3_S3_TRANSFER_H

#include <curl/curl.h>
#include <stdatomic.h>

#include "object-svc/cold/s3/s3_credentials.h"
#include "object-svc/cold/s3/s3_request.h"

/* Borrowed. */
struct s3_server {
    const char *base;    /* scheme, host, and the bucket where it is in the path; no '/' at its end */
    const char *signing; /* CURLOPT_AWS_SIGV4 */
    const char *ca_file; /* "": the system's */
    int64_t connect_timeout_ms;
    int64_t stall_timeout_ms;
    const atomic_bool *given_up; /* no request is to go on; looked at within a second; or NULL */
};

/* Whether the request, or all of them, was given up. */
bool s3_transfer_is_to_end(const struct s3_server *server, const struct s3_request *request);

/* Fills the answer, all but its code; its message, where there is no whole answer, says why.
 * CURLE_PARTIAL_FILE where a range came short, CURLE_ABORTED_BY_CALLBACK where it was given up. */
CURLcode s3_transfer_run(CURL *curl, const struct s3_server *server, const struct s3_request *request,
                         const struct s3_credentials *credentials, struct s3_answer *answer);

#endif
