/* Lets Criterion run under ThreadSanitizer. Criterion's sandbox (BoxFort) maps its arena at a
 * random fixed address that it makes of rand_r(), and ThreadSanitizer allows fixed mappings
 * only in a few ranges. This rand_r, which comes before libc's, gives addresses in one of
 * them: 0x200000000000 + (r << 24) is then 0x550000000000 to 0x567fff000000. Linked only into
 * tests of thread-sanitized builds. */
int rand_r(unsigned *seed);

int rand_r(unsigned *seed) {
    *seed = *seed * 1103515245u + 12345u;
    return 0x350000 + (int)((*seed >> 8) % 0x17000u);
}
