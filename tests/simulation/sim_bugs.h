/* Known bugs that the simulator can be told to plant, each at an interface between parts, so that
 * the product's code stays as it is. A test demands that each is found. */
#ifndef WAYBILL_SIM_BUGS_H
#define WAYBILL_SIM_BUGS_H

enum sim_bug {
    BUG_NONE,
    BUG_ACK_BEFORE_FLUSH,          /* a commit is answered while its batch is only in memory */
    BUG_PUBLISH_BEFORE_FLUSH,      /* the publisher sees a batch that is not durable yet */
    BUG_TORN_BATCH,                /* record and event are written in two batches */
    BUG_FLUSH_FAILURE_DENIED,      /* a failed flush is answered like a good one */
    BUG_REQUEST_IDS_FORGOTTEN,     /* request ids are not written */
    BUG_STALE_CACHE,               /* some batches are written past the record cache */
    BUG_SPOOL_NOT_FLUSHED,         /* the spool's flush does nothing */
    BUG_RELEASE_BEFORE_REPORT,     /* a payload is released once it was pulled */
    BUG_RELEASE_AT_FIRST_COPY,     /* a payload is released at the first report, whatever the policy says */
    BUG_RELEASE_FORGOTTEN,         /* a payload is never released */
    BUG_OLD_VERSION_ACCEPTED,      /* a report counts for the key's latest version, whichever it names */
    BUG_RECONCILE_SKIPPED,         /* a start leaves in the spool what nobody wants */
    BUG_PUBLISH_WITHOUT_REWIND,    /* after a loss the publisher goes on where it was */
    BUG_PUBLISH_STOPS_AT_OTHERS,   /* the publisher does not see its events behind messages of others */
    BUG_PUBLISH_WITHOUT_FENCING,   /* the stream takes events in whatever order they come */
    BUG_ACK_BEFORE_STORE,          /* an event is acknowledged when it is delivered */
    BUG_FAILURES_ACKNOWLEDGED,     /* an event is acknowledged though its payload could not be stored */
    BUG_HOT_NOT_FLUSHED,           /* the hot volumes' flush does nothing */
    BUG_HOT_NAMES_NOT_FLUSHED,     /* nor is the directory ever flushed */
    BUG_REPORT_BEFORE_COMMIT,      /* objects are reported before they are in the hot store for good */
    BUG_HOT_DROPPED_BEFORE_COMMIT, /* the hot copy goes before the move is committed */
    BUG_COLD_NOT_VERIFIED,         /* what the cold store took is not read back */
    BUG_COLD_WRITE_DENIED,         /* a cold write that failed counts as done, and is not read back */
    BUG_REVERT_PAST_NEWER,         /* a failed version is taken back although a newer one was written */
    BUG_DEADLINES_FORGOTTEN,       /* nobody looks for what falls due */
    BUG_LATE_REPORTS_BELIEVED,     /* reports count in whatever order they come */
    BUG_MOVES_UNGUARDED,           /* a copy is given up while a move tells of it */
    BUG_INGEST_UNGUARDED,          /* a copy is given up while ingest tells of it */
    BUG_NEEDED_VERSIONS_TRIMMED,   /* a version goes though all newer ones may fail */
    BUG_OUTAGES_COUNT,             /* somebody who is away uses attempts up */
    BUG_ATTEMPTS_FORGOTTEN,        /* attempts are never counted */
    BUG_LETTERS_NOT_FLUSHED,       /* dead letters are kept in memory only */
    BUG_DROPS_FORGOTTEN,           /* nobody is told to drop what no version needs */
    BUG_DROPS_NOT_DONE,            /* a drop is reported that was not made */
    BUG_SHARED_DROPPED,            /* an object is to be dropped though another version shares it */
    BUG_IDLE_UPLOADS_KEPT,         /* uploads that nobody goes on with are kept for ever */
    BUG_OFFSETS_BELIEVED,          /* an upload goes on wherever its producer says */
    BUG_COUNT,
};

const char *sim_bug_name(enum sim_bug bug);
const char *sim_bug_about(enum sim_bug bug);
/* BUG_COUNT where there is none of that name. */
enum sim_bug sim_bug_of(const char *name);

#endif
