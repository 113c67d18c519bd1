/* The changes that object-svc reports. Each report is taken or refused for itself; only a
 * failing store fails the request, or that it comes late: ABORTED, REPORT_LATE with the detail newest_number. Used by
 * the commit engine only. */
#ifndef WAYBILL_COMMIT_REPORT_CHANGES_H
#define WAYBILL_COMMIT_REPORT_CHANGES_H

#include "metadata-svc/commit/change_builder.h"

bool change_reports(struct change_builder *builder, struct commit_request *request);

#endif
