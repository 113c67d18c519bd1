/* gRPC, built without ThreadSanitizer, hands our objects from thread to thread out of its
 * sight. Under TSan these two tell it of the hand-over; else they are nothing. */
#ifndef WAYBILL_RPC_SYNC_ANNOTATIONS_H
#define WAYBILL_RPC_SYNC_ANNOTATIONS_H

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define handover_release(address) __tsan_release(address)
#define handover_acquire(address) __tsan_acquire(address)
#else
#define handover_release(address) ((void)(address))
#define handover_acquire(address) ((void)(address))
#endif

#endif
