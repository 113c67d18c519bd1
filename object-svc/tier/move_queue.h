/* Moves that are asked for one by one, by people or by reads, on a few threads of their own.
 *
 * A move is known by its direction and object; asking for one that waits or runs joins it. Whoever
 * wants to hear of its end waits with a callback; whoever does not asks again, and hears how far it
 * is, or how it ended, which is kept for ten seconds. At most MOVE_QUEUE_MAX moves wait or run, and MOVE_WAITERS_MAX
 * callbacks wait; more are refused with RESOURCE_EXHAUSTED (MOVES_FULL). Any thread. */
#ifndef WAYBILL_TIER_MOVE_QUEUE_H
#define WAYBILL_TIER_MOVE_QUEUE_H

#include "object-svc/peer/peer_table.h"
#include "object-svc/tier/tier_moves.h"

enum { MOVE_QUEUE_MAX = 1024, MOVE_WAITERS_MAX = 1024, MOVE_QUEUE_THREADS = 2 };

struct move_queue;

enum move_direction { MOVE_TO_HOT, MOVE_TO_COLD };

struct move_queue_options {
    struct tier_ports ports;
    /* Where an object that leaves hot is in the hot volumes of other replicas, they are asked to do
     * their part; NULL: there are none. */
    struct peer_table *peers;
    unsigned bucket_percent; /* of the places, that one bucket comes to alone (common/base/fair_share.h); 0: 100 */
    /* After each move, from its thread; may be NULL. */
    void (*moved)(void *self, enum move_direction direction, const struct moved_object *object, bool good);
    void *self;
};

/* One that is asked for; borrowed during the call. */
struct move_wish {
    enum move_direction direction;
    struct moved_object object;
    int64_t version; /* one that has the object, not always the one that brought it */
    bool here;       /* MOVE_TO_COLD: this replica has, or may have, a hot copy */
    /* MOVE_TO_COLD: other replicas that have one. */
    const char *const *replicas;
    size_t replica_count;
    /* NULL: nobody waits. Else called once, with NULL for success, from a thread of the queue or,
     * where the queue stops, of whoever stops it; not when asking fails. */
    void (*done)(void *self, const struct error *error);
    void *self;
    bool background; /* nobody will ask how it ended */
};

struct move_queue *move_queue_start(const struct move_queue_options *options);
/* Ends what runs at its next step and fails what waits (UNAVAILABLE, DRAINING); from then on all
 * that is asked for fails like that. */
void move_queue_stop(struct move_queue *queue);
void move_queue_free(struct move_queue *queue); /* after the stop; NULL is fine */

/* How far a move is. */
struct move_state {
    bool ended; /* and well; told once, to one that does not wait */
    uint64_t moved_bytes;
};

/* Begins the move or joins it. False with the reason why it failed, where nobody has been told yet. */
bool move_queue_ask(struct move_queue *queue, const struct move_wish *wish, struct move_state *state,
                    struct error *error);
/* Whoever asks sees elsewhere that the object is where it is to be. */
void move_queue_forget(struct move_queue *queue, const struct uuid *payload_id);
/* Moves that wait or run. */
unsigned move_queue_length(struct move_queue *queue);

#endif
