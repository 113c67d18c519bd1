/* How jemalloc, where a program has it, deals with memory that was given back: it returns it to the system
 * after a second instead of ten. Bulk streams take and give back a mebibyte at a time on many threads;
 * what lay idle of that in jemalloc's arenas was half of what metadata-svc had. Nor are there four arenas for each
 * processor, each with idle pieces of its own: two held half of that again, and no commit was slower (an arena for
 * each processor cost a tenth). MALLOC_CONF overrides both. */
extern const char *malloc_conf;
const char *malloc_conf = "dirty_decay_ms:1000,narenas:2";
