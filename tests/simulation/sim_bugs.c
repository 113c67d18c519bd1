#include "tests/simulation/sim_bugs.h"

#include <string.h>

static const struct {
    const char *name;
    const char *about;
} bugs[BUG_COUNT] = {
    [BUG_NONE] = {"none", "the product as it is"},
    [BUG_ACK_BEFORE_FLUSH] = {"ack-before-flush", "a commit is answered while its batch is only in memory"},
    [BUG_PUBLISH_BEFORE_FLUSH] = {"publish-before-flush", "the publisher sees a batch that is not durable yet"},
    [BUG_TORN_BATCH] = {"torn-batch", "record and event are written in two batches"},
    [BUG_FLUSH_FAILURE_DENIED] = {"flush-failure-denied", "a failed flush is answered like a good one"},
    [BUG_REQUEST_IDS_FORGOTTEN] = {"request-ids-forgotten", "request ids are not written"},
    [BUG_STALE_CACHE] = {"stale-cache", "some batches are written past the record cache"},
    [BUG_SPOOL_NOT_FLUSHED] = {"spool-not-flushed", "the spool's flush does nothing"},
    [BUG_RELEASE_BEFORE_REPORT] = {"release-before-report", "a payload is released once it was pulled"},
    [BUG_RELEASE_AT_FIRST_COPY] = {"release-at-first-copy",
                                   "a payload is released at the first report, whatever the policy says"},
    [BUG_RELEASE_FORGOTTEN] = {"release-forgotten", "a payload is never released"},
    [BUG_OLD_VERSION_ACCEPTED] = {"old-version-accepted",
                                  "a report counts for the key's latest version, whichever it names"},
    [BUG_RECONCILE_SKIPPED] = {"reconcile-skipped", "a start leaves in the spool what nobody wants"},
    [BUG_PUBLISH_WITHOUT_REWIND] = {"publish-without-rewind", "after a loss the publisher goes on where it was"},
    [BUG_PUBLISH_STOPS_AT_OTHERS] = {"publish-stops-at-others",
                                     "the publisher does not see its events behind messages of others"},
    [BUG_PUBLISH_WITHOUT_FENCING] = {"publish-without-fencing", "the stream takes events in whatever order they come"},
    [BUG_ACK_BEFORE_STORE] = {"ack-before-store", "an event is acknowledged when it is delivered"},
    [BUG_FAILURES_ACKNOWLEDGED] = {"failures-acknowledged",
                                   "an event is acknowledged though its payload could not be stored"},
    [BUG_HOT_NOT_FLUSHED] = {"hot-not-flushed", "the hot volumes' flush does nothing"},
    [BUG_HOT_NAMES_NOT_FLUSHED] = {"hot-names-not-flushed", "the hot volumes' directory is never flushed"},
    [BUG_REPORT_BEFORE_COMMIT] = {"report-before-commit",
                                  "objects are reported before they are in the hot store for good"},
    [BUG_HOT_DROPPED_BEFORE_COMMIT] = {"hot-dropped-before-commit", "the hot copy goes before the move is committed"},
    [BUG_COLD_NOT_VERIFIED] = {"cold-not-verified", "what the cold store took is not read back"},
    [BUG_COLD_WRITE_DENIED] = {"cold-write-denied", "a cold write that failed counts as done, and is not read back"},
    [BUG_REVERT_PAST_NEWER] = {"revert-past-newer", "a failed version is taken back although a newer one was written"},
    [BUG_DEADLINES_FORGOTTEN] = {"deadlines-forgotten", "nobody looks for what falls due"},
    [BUG_LATE_REPORTS_BELIEVED] = {"late-reports-believed", "reports count in whatever order they come"},
    [BUG_MOVES_UNGUARDED] = {"moves-unguarded", "a copy is given up while a move tells of it"},
    [BUG_INGEST_UNGUARDED] = {"ingest-unguarded", "a copy is given up while ingest tells of it"},
    [BUG_OUTAGES_COUNT] = {"outages-count", "somebody who is away uses a payload's attempts up"},
    [BUG_ATTEMPTS_FORGOTTEN] = {"attempts-forgotten", "attempts at a payload are never counted"},
    [BUG_LETTERS_NOT_FLUSHED] = {"letters-not-flushed", "dead letters are kept in memory only"},
    [BUG_DROPS_FORGOTTEN] = {"drops-forgotten", "nobody is told to drop what no version needs any more"},
    [BUG_DROPS_NOT_DONE] = {"drops-not-done", "a drop is reported that was not made"},
    [BUG_SHARED_DROPPED] = {"shared-dropped", "an object is to be dropped though another version shares it"},
    [BUG_IDLE_UPLOADS_KEPT] = {"idle-uploads-kept", "uploads that nobody goes on with are kept for ever"},
    [BUG_OFFSETS_BELIEVED] = {"offsets-believed", "an upload goes on wherever its producer says"},
    [BUG_NEEDED_VERSIONS_TRIMMED] = {"needed-versions-trimmed", "a version goes though all newer ones may fail yet"},
};

const char *sim_bug_name(enum sim_bug bug) {
    return bugs[bug].name;
}

const char *sim_bug_about(enum sim_bug bug) {
    return bugs[bug].about;
}

enum sim_bug sim_bug_of(const char *name) {
    int bug = BUG_NONE;
    while (bug < BUG_COUNT && strcmp(bugs[bug].name, name) != 0) {
        bug++;
    }
    return (enum sim_bug)bug;
}
