/* A PutRecordRequest as a change, for PutRecord and for each item of BatchPutRecords. */
#ifndef WAYBILL_API_PUT_REQUEST_H
#define WAYBILL_API_PUT_REQUEST_H

#include "metadata-svc/commit/commit_request.h"
#include "waybill/v1/metadata_service.pb-c.h"

/* Checks the request, of which `wire` is the wire form, and takes it over; it must outlive the
 * change. */
bool put_request_take(const Waybill__V1__PutRecordRequest *request, struct bytes wire, struct commit_request *commit,
                      struct error *error);
/* The answer to a committed change, in its arena. */
Waybill__V1__PutRecordResponse *put_request_answer(const struct commit_request *commit);

#endif
