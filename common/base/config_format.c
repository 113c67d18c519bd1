/* What the strings of a configuration may look like. They are checked where they come in,
 * so that a typing error is told at the start and not at the first call. */
#include <string.h>

#include "common/base/config.h"

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool is_made_of(const char *text, const char *characters, size_t max) {
    size_t length = strlen(text);
    return length >= 1 && length <= max && strspn(text, characters) == length;
}

static bool is_port(const char *text) {
    if (!is_made_of(text, "0123456789", 5)) {
        return false;
    }
    unsigned port = 0;
    for (; *text != '\0'; text++) {
        port = port * 10 + (unsigned)(*text - '0');
    }
    return port <= 65535;
}

static bool is_address(const char *text) {
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !is_port(colon + 1)) {
        return false;
    }
    size_t host = (size_t)(colon - text);
    if (text[0] == '[') {
        return host >= 4 && host <= 64 && text[host - 1] == ']' &&
               strspn(text + 1, "0123456789abcdefABCDEF:.") == host - 2;
    }
    return host >= 1 && host <= 253 && strspn(text, ALNUM ".-_") == host;
}

static bool is_optional_address(const char *text) {
    return *text == '\0' || is_address(text);
}

static bool is_token(const char *text) {
    return is_made_of(text, ALNUM "_-", 32);
}

static bool is_host_name(const char *text) {
    return is_made_of(text, ALNUM "._-", 64);
}

static bool is_optional_host_name(const char *text) {
    return *text == '\0' || is_host_name(text);
}

static bool is_path(const char *text) {
    size_t length = strlen(text);
    return length >= 1 && length <= 1024;
}

static bool is_optional_path(const char *text) {
    return strlen(text) <= 1024;
}

static bool is_target(const char *text) {
    if (is_address(text)) {
        return true;
    }
    /* "host:port" apart, gRPC wants a scheme; without one a forgotten port would go unnoticed. */
    static const char *const schemes[] = {"dns:", "ipv4:", "ipv6:", "unix:", "xds:"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t length = strlen(schemes[i]);
        if (strncmp(text, schemes[i], length) == 0) {
            return text[length] != '\0' && strlen(text) <= 512 && strchr(text, ' ') == NULL;
        }
    }
    return false;
}

static bool is_optional_target(const char *text) {
    return *text == '\0' || is_target(text);
}

static bool is_nats_url(const char *text, size_t length) {
    static const char *const schemes[] = {"nats://", "tls://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t scheme = strlen(schemes[i]);
        if (length > scheme && strncmp(text, schemes[i], scheme) == 0) {
            return memchr(text, ' ', length) == NULL;
        }
    }
    return false;
}

static bool is_nats_urls(const char *text) {
    for (;;) {
        size_t length = strcspn(text, ",");
        if (!is_nats_url(text, length)) {
            return false;
        }
        if (text[length] == '\0') {
            return true;
        }
        text += length + 1;
    }
}

static bool is_optional_targets(const char *text) {
    char one[513];
    if (*text == '\0') {
        return true;
    }
    for (;;) {
        size_t length = strcspn(text, ",");
        if (length >= sizeof one) {
            return false;
        }
        memcpy(one, text, length);
        one[length] = '\0';
        if (!is_target(one)) {
            return false;
        }
        if (text[length] == '\0') {
            return true;
        }
        text += length + 1;
    }
}

const struct config_format config_format_address = {"host:port, port 0 to 65535", is_address};
const struct config_format config_format_optional_address = {"host:port, port 0 to 65535, or empty",
                                                             is_optional_address};
const struct config_format config_format_token = {"1 to 32 of A-Z a-z 0-9 _ -", is_token};
const struct config_format config_format_host_name = {"1 to 64 of A-Z a-z 0-9 . _ -", is_host_name};
const struct config_format config_format_optional_host_name = {"1 to 64 of A-Z a-z 0-9 . _ -, or empty",
                                                               is_optional_host_name};
const struct config_format config_format_path = {"a path of 1 to 1024 bytes", is_path};
const struct config_format config_format_optional_path = {"a path of at most 1024 bytes, or empty", is_optional_path};
const struct config_format config_format_target = {"host:port, or a gRPC target such as dns:///host:port", is_target};
const struct config_format config_format_optional_target = {
    "host:port, or a gRPC target such as dns:///host:port, or empty", is_optional_target};
const struct config_format config_format_optional_targets = {
    "host:port, or a gRPC target such as dns:///host:port, several with a comma between, or empty",
    is_optional_targets};
const struct config_format config_format_nats_urls = {
    "nats://host:port or tls://host:port, several with a comma between", is_nats_urls};
