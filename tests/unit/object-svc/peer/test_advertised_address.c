// rooms: object_peer
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "object-svc/peer/advertised_address.h"

static void check(const char *configured, const char *listen, const char *wanted) {
    char address[ADVERTISED_ADDRESS_BYTES];
    struct error error = {0};
    cr_assert(advertised_address(configured, listen, 7080, address, &error), "%s", error.message);
    cr_assert_str_eq(address, wanted);
}

Test(advertised_address, what_is_configured_is_taken_as_it_is) {
    check("dns:///object-3.object-svc:443", "0.0.0.0:7080", "dns:///object-3.object-svc:443");
}

Test(advertised_address, the_port_is_the_one_that_is_listened_on) {
    check("", "127.0.0.1:0", "127.0.0.1:7080");
    check("", "[::1]:0", "[::1]:7080");
}

Test(advertised_address, every_address_becomes_the_name_of_the_machine) {
    char name[256] = "";
    char wanted[300];
    cr_assert_eq(gethostname(name, sizeof name - 1), 0);
    snprintf(wanted, sizeof wanted, "%s:7080", name);
    check("", "0.0.0.0:7080", wanted);
    check("", "[::]:0", wanted);
}
