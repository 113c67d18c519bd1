/* What a GetRecordRequest asks for, for GetRecord and for each item of BatchGetRecords. */
#ifndef WAYBILL_API_RECORD_READING_H
#define WAYBILL_API_RECORD_READING_H

#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/store/record.h"
#include "waybill/v1/metadata_service.pb-c.h"

bool record_reading_check(const Waybill__V1__GetRecordRequest *request, struct error *error);
/* NOT_FOUND for what does not exist, and for a tombstone unless show_deleted is set. */
bool record_reading_find(struct metadata_api *api, const Waybill__V1__GetRecordRequest *request, struct arena *arena,
                         struct record *record, struct error *error);

#endif
