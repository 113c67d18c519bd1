/* How jemalloc, where a program has it, deals with memory that was given back: it returns it to the system
 * after a second instead of ten. Bulk streams take and give back a mebibyte at a time on many threads;
 * what lay idle of that in jemalloc's arenas was half of what metadata-svc had. */
extern const char *malloc_conf;
const char *malloc_conf = "dirty_decay_ms:1000";
