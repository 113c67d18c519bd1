#include "tests/simulation/sim_fiber_switch.h"

#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

void fiber_prepare(struct fiber_context *context, void *stack, size_t bytes, void (*enter)(void)) {
    *context = (struct fiber_context){.stack = stack, .stack_bytes = bytes};
    if (getcontext(&context->machine) != 0) {
        abort();
    }
    context->machine.uc_stack.ss_sp = stack;
    context->machine.uc_stack.ss_size = bytes;
    makecontext(&context->machine, enter, 0);
}

void fiber_destroy(struct fiber_context *context) {
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(context->stack, context->stack_bytes);
#else
    (void)context;
#endif
}

#ifdef __SANITIZE_ADDRESS__

/* The scheduler runs on the program's own stack, which the first switch away from it tells of. */
static struct fiber_context *left;

static void arrive(struct fiber_context *context) {
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(context->fake_stack, &stack, &bytes);
    if (left != NULL && left->stack == NULL) {
        left->stack = stack;
        left->stack_bytes = bytes;
    }
}

void fiber_entered(struct fiber_context *context) {
    arrive(context);
}

void fiber_switch(struct fiber_context *from, struct fiber_context *to) {
    left = from;
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
    if (swapcontext(&from->machine, &to->machine) != 0) {
        abort();
    }
    arrive(from);
}

void fiber_leave(struct fiber_context *from, struct fiber_context *to) {
    left = from;
    __sanitizer_start_switch_fiber(NULL, to->stack, to->stack_bytes);
    setcontext(&to->machine);
    abort();
}

#else

void fiber_entered(struct fiber_context *context) {
    (void)context;
}

void fiber_switch(struct fiber_context *from, struct fiber_context *to) {
    if (swapcontext(&from->machine, &to->machine) != 0) {
        abort();
    }
}

void fiber_leave(struct fiber_context *from, struct fiber_context *to) {
    (void)from;
    setcontext(&to->machine);
    abort();
}

#endif
