#include "common/stream/stuck_watch.h"

enum stuck_verdict stuck_watch_look(struct stuck_watch *watch, uint64_t delivered, uint64_t waiting, bool room) {
    bool stuck = waiting > 0 && room && delivered == watch->delivered;
    watch->delivered = delivered;
    watch->looks = stuck ? watch->looks + 1 : 0;
    if (watch->looks == STUCK_REMAKE_LOOKS) {
        watch->looks = 0;
        return STUCK_REMAKE;
    }
    return watch->looks == STUCK_RENEW_LOOKS ? STUCK_RENEW : STUCK_NOT;
}
