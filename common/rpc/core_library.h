/* The C core as a library: begun once by each server and channel, ended by each. Its own log
 * lines come out as ours. */
#ifndef WAYBILL_RPC_CORE_LIBRARY_H
#define WAYBILL_RPC_CORE_LIBRARY_H

void core_library_begin(void);
/* The last one waits until the core's threads are gone. */
void core_library_end(void);

#endif
