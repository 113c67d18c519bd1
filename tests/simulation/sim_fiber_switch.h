/* Changing stacks, in a way that AddressSanitizer understands. */
#ifndef WAYBILL_SIM_FIBER_SWITCH_H
#define WAYBILL_SIM_FIBER_SWITCH_H

#include <stddef.h>
#include <ucontext.h>

struct fiber_context {
    ucontext_t machine;
    const void *stack;
    size_t stack_bytes;
    void *fake_stack; /* the sanitizer's */
};

void fiber_prepare(struct fiber_context *context, void *stack, size_t bytes, void (*enter)(void));
void fiber_destroy(struct fiber_context *context);
/* First thing on a new stack. */
void fiber_entered(struct fiber_context *context);
void fiber_switch(struct fiber_context *from, struct fiber_context *to);
/* For the last time. */
void fiber_leave(struct fiber_context *from, struct fiber_context *to);

#endif
