/* How much of a listing is printed. */
#ifndef WAYBILL_CLI_PAGING_H
#define WAYBILL_CLI_PAGING_H

#include "cli/options.h"

/* As many as are listed where nothing is said, and the largest page. */
enum { PAGING_MOST = 1000 };

struct paging_options {
    char *limit, *page_size, *page_token;
    int all;
};
#define PAGING_OPTIONS(given_)                                                                                         \
    OPTION_TEXT("limit", &(given_)->limit, "N", "at most so many entries [1000]"),                                     \
        OPTION_FLAG("all", 'a', &(given_)->all, "all of them"),                                                        \
        OPTION_TEXT("page-size", &(given_)->page_size, "N", "entries a call asks for, 1 to 1000 [1000]"),              \
        OPTION_TEXT("page-token", &(given_)->page_token, "TOKEN",                                                      \
                    "go on where a listing with this nextPageToken ended")

bool paging_take(struct cli *cli, const struct paging_options *given, struct waybill_paging *paging);

/* A listing under way. */
struct listing {
    struct cli *cli;
    bool more; /* it ended before the last page */
    bool failed;
    struct error error; /* of the output */
};
/* To be called after each page was printed; returns whether to go on. */
bool listing_page_done(struct listing *listing, const char *next_page_token);
/* Tells people that there is more, where they gave no limit; returns the exit status. */
int listing_end(struct listing *listing, const struct paging_options *given, const char *subject);

#endif
