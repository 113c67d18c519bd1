#include <string.h>

#include "common/client/client_parts.h"

enum { POLL_MS = 200 };

static bool start(struct waybill_client *client, const struct waybill_scrub *scrub, struct arena *arena,
                  const char **scrub_id, struct error *error) {
    Waybill__V1__StartScrubRequest request = WAYBILL__V1__START_SCRUB_REQUEST__INIT;
    request.bucket = client_text(scrub->bucket);
    request.repair = scrub->repair;
    request.quarantine = scrub->quarantine;
    request.hot_only = scrub->hot_only;
    request.bytes_per_second = scrub->bytes_per_second;
    const Waybill__V1__StartScrubResponse *response = (const Waybill__V1__StartScrubResponse *)client_call(
        client, client->object, "/waybill.v1.AdminService/StartScrub", &request.base,
        &waybill__v1__start_scrub_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *scrub_id = response->scrub_id;
    return true;
}

/* One look; what it answers lives in the arena. */
static Waybill__V1__GetScrubResponse *look(struct waybill_client *client, const char *scrub_id, int64_t first,
                                           struct arena *arena, struct error *error) {
    Waybill__V1__GetScrubRequest request = WAYBILL__V1__GET_SCRUB_REQUEST__INIT;
    request.scrub_id = client_text(scrub_id);
    request.first_finding = first;
    return (Waybill__V1__GetScrubResponse *)client_call(client, client->object, "/waybill.v1.AdminService/GetScrub",
                                                        &request.base, &waybill__v1__get_scrub_response__descriptor,
                                                        arena, error);
}

static bool has_failed(const Waybill__V1__GetScrubResponse *response, struct error *error) {
    return response->done && response->error_reason[0] != '\0' &&
           !error_set(error, ERROR_ABORTED, "SCRUB_ENDED_EARLY", "%s: %s", response->error_reason,
                      response->error_message);
}

/* Shows what is new until the scrub is over; then `end` holds the last answer. */
static bool follow(struct waybill_client *client, const char *scrub_id, const struct waybill_scrub_watcher *watcher,
                   struct arena *arena, Waybill__V1__GetScrubResponse **end, struct error *error) {
    int64_t seen = 0;
    for (;;) {
        struct arena looked_at;
        arena_init(&looked_at);
        Waybill__V1__GetScrubResponse *response = look(client, scrub_id, seen, &looked_at, error);
        bool good = response != NULL;
        bool over = good && response->done && response->n_findings == 0;
        bool pause = good && !response->done && response->n_findings == 0;
        if (good) {
            seen += (int64_t)response->n_findings;
            watcher->look(watcher->self, response);
            good = !over || !has_failed(response, error);
        }
        arena_free(&looked_at);
        if (over && good) {
            *end = look(client, scrub_id, seen, arena, error);
            return *end != NULL;
        }
        if (!good || (pause && !client_pause(client, POLL_MS, error))) {
            return false;
        }
    }
}

bool waybill_scrub(struct waybill_client *client, const struct waybill_scrub *scrub,
                   const struct waybill_scrub_watcher *watcher, struct arena *arena,
                   Waybill__V1__GetScrubResponse **end, struct error *error) {
    const char *scrub_id;
    return start(client, scrub, arena, &scrub_id, error) && follow(client, scrub_id, watcher, arena, end, error);
}
