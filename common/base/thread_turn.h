/* Which threads go first where there are more of them than processors. Needs no privilege; where the
 * system refuses, or is too old to know, threads stay as they are. */
#ifndef WAYBILL_BASE_THREAD_TURN_H
#define WAYBILL_BASE_THREAD_TURN_H

/* Lets the calling thread, and those that it makes later, stand back behind all others: 0 not at all,
 * 19 the most, as nice(2). It never comes further forward than it was. */
void thread_turn_stand_back(int nice);
/* The calling thread's turns are short, so that it gets one soon after it woke; for a thread that
 * others wait for and that has little to do each time. Not those of the threads that it makes. Linux
 * 6.12 and later. */
void thread_turn_be_prompt(void);

#endif
