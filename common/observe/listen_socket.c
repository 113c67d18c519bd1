#include "common/observe/listen_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* "host:port" or "[v6]:port" in two. */
static bool split(const char *address, char host[256], const char **port) {
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon - address >= 256 || colon[1] == '\0') {
        return false;
    }
    size_t length = (size_t)(colon - address);
    bool bracketed = address[0] == '[' && length > 2 && address[length - 1] == ']';
    memcpy(host, address + bracketed, length - 2 * bracketed);
    host[length - 2 * bracketed] = '\0';
    *port = colon + 1;
    return true;
}

static int bind_first(const struct addrinfo *found, int backlog) {
    int socket_fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol);
    if (socket_fd < 0) {
        return -1;
    }
    int on = 1;
    if (setsockopt(socket_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(socket_fd, found->ai_addr, found->ai_addrlen) != 0 || listen(socket_fd, backlog) != 0) {
        int saved = errno;
        close(socket_fd);
        errno = saved;
        return -1;
    }
    return socket_fd;
}

static bool read_port(int socket_fd, int *port) {
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(socket_fd, (struct sockaddr *)&bound, &size) != 0) {
        return false;
    }
    *port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                              : ((struct sockaddr_in *)&bound)->sin_port);
    return true;
}

int listen_socket_open(const char *address, int backlog, int *port, struct error *error) {
    char host[256];
    const char *service;
    if (!split(address, host, &service)) {
        error_set(error, ERROR_INVALID_ARGUMENT, "BAD_ADDRESS", "%s: not host:port", address);
        return -1;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int problem = getaddrinfo(host, service, &hints, &found);
    if (problem != 0) {
        error_set(error, ERROR_UNAVAILABLE, "BAD_ADDRESS", "%s: %s", address, gai_strerror(problem));
        return -1;
    }
    int socket_fd = bind_first(found, backlog);
    if (socket_fd >= 0 && !read_port(socket_fd, port)) {
        close(socket_fd);
        socket_fd = -1;
    }
    if (socket_fd < 0) {
        error_set(error, ERROR_UNAVAILABLE, "ADDRESS_IN_USE", "cannot listen on %s: %s", address, strerror(errno));
    }
    freeaddrinfo(found);
    return socket_fd;
}
