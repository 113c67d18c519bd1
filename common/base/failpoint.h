/* Failpoints: named places, before, in and after each step that makes something durable, at which
 * a test lets the process end as if by kill -9.
 *
 *   return FAILPOINT("spool.flush.before") && sync_segments(...) && FAILPOINT("spool.flush.after");
 *
 * Armed by the setting `failpoint`, `NAME` or `NAME:COUNT`: the process ends at the COUNT-th pass
 * of that place. At most one is armed, and only at the start; a place that is not costs one
 * branch that is always the same.
 *
 * They are in every build, so that what is tested is what runs in production, and recovery can be
 * rehearsed there. That gives nobody a new power: whoever sets a service's configuration can end
 * it anyway. An armed one is told as an error in the log, at the start and when it ends the process.
 *
 * Names have the noun, the step, and `before` or `after` it, or what is half done; tests/fault/test_failpoints.py arms
 * every one that a program has, and docs/operations/failpoints.md explains them. */
#ifndef WAYBILL_BASE_FAILPOINT_H
#define WAYBILL_BASE_FAILPOINT_H

#include <stdbool.h>

#include "common/base/config.h"

struct failpoint {
    const char *name;
    bool armed; /* written before threads start */
};

/* The linker gathers all that are part of a program. True, so that it can stand in a chain of
 * steps; not for headers, where there would be several of one name. */
#define FAILPOINT(name_)                                                                                               \
    __extension__({                                                                                                    \
        static struct failpoint failpoint_ = {.name = (name_)};                                                        \
        static struct failpoint *failpoint_listed_ __attribute__((used, section("waybill_failpoints"))) = &failpoint_; \
        if (__builtin_expect(failpoint_.armed, 0)) {                                                                   \
            failpoint_pass(&failpoint_);                                                                               \
        }                                                                                                              \
        failpoint_passed();                                                                                            \
    })

static inline bool failpoint_passed(void) {
    return true;
}

/* Ends the process if it is the pass that was asked for. */
void failpoint_pass(const struct failpoint *failpoint);

/* What the setting may look like: empty, NAME or NAME:COUNT. */
extern const struct config_format failpoint_format;

/* For main(), before threads start and after log_setup: arms what the setting names, "" for
 * none. False: no such failpoint in this program, which is told with the names that there are. */
bool failpoint_arm(const char *setting);

/* For main(): all names, one a line. Returns the exit status. */
int failpoint_list(void);

#endif
