#include "object-svc/peer/advertised_address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_every_address(const char *host, size_t size) {
    static const char *const all[] = {"0.0.0.0", "[::]", "[::0]", "[0:0:0:0:0:0:0:0]"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strlen(all[i]) == size && memcmp(all[i], host, size) == 0) {
            return true;
        }
    }
    return false;
}

bool advertised_address(const char *configured, const char *listen, int port, char out[ADVERTISED_ADDRESS_BYTES],
                        struct error *error) {
    if (*configured != '\0') {
        snprintf(out, ADVERTISED_ADDRESS_BYTES, "%s", configured);
        return true;
    }
    const char *colon = strrchr(listen, ':');
    size_t size = colon != NULL ? (size_t)(colon - listen) : strlen(listen);
    char name[256] = "";
    if (!is_every_address(listen, size)) {
        snprintf(out, ADVERTISED_ADDRESS_BYTES, "%.*s:%d", (int)size, listen, port);
        return true;
    }
    if (gethostname(name, sizeof name - 1) != 0) {
        return error_set_errno(error, errno, "advertise_address: cannot read the host name; set it");
    }
    snprintf(out, ADVERTISED_ADDRESS_BYTES, "%s:%d", name, port);
    return true;
}
