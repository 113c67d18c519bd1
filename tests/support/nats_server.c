#include "tests/support/nats_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_PATIENCE_MS = 20000, START_LOOK_MS = 5 };

static void die(const char *what) {
    fprintf(stderr, "nats_server: %s: %s\n", what, strerror(errno));
    abort();
}

static int open_socket(int port, struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        die("socket");
    }
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return fd;
}

static bool is_free(int port) {
    struct sockaddr_in address;
    int fd = open_socket(port, &address);
    bool free = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return free;
}

/* Below the ports that the system gives to outgoing connections: one of those could take the
 * port while a test has its server stopped, even a client that tries to reach that server. */
static int free_port(void) {
    for (int tries = 0; tries < 1000; tries++) {
        uint16_t chance;
        if (getrandom(&chance, sizeof chance, 0) != sizeof chance) {
            die("getrandom");
        }
        int port = 10240 + chance % 20000;
        if (is_free(port)) {
            return port;
        }
    }
    die("looking for a free port");
    return 0;
}

struct nats_server nats_server_new(void) {
    struct nats_server server = {.port = free_port()};
    snprintf(server.directory, sizeof server.directory, "/tmp/waybill-nats-XXXXXX");
    if (mkdtemp(server.directory) == NULL) {
        die("mkdtemp");
    }
    snprintf(server.url, sizeof server.url, "nats://127.0.0.1:%d", server.port);
    return server;
}

/* Runs a program that needs no shell and waits for it. */
static void run(const char *const *arguments) {
    pid_t pid = fork();
    if (pid == 0) {
        execvp(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        die(arguments[0]);
    }
}

static void exec_server(const struct nats_server *server) {
    char port[16];
    char data[96];
    char log[96];
    snprintf(port, sizeof port, "%d", server->port);
    snprintf(data, sizeof data, "%s/data", server->directory);
    snprintf(log, sizeof log, "%s/log", server->directory);
    const char *program = getenv("WAYBILL_TEST_NATS_SERVER");
    const char *const arguments[] = {"nats-server", "-a", "127.0.0.1", "-p", port, "-js", "-sd", data, "-l", log, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves none behind */
    if (program != NULL) {
        execv(program, (char *const *)arguments);
        _exit(127);
    }
    execvp("nats-server", (char *const *)arguments);
    execv("/usr/sbin/nats-server", (char *const *)arguments);
    _exit(127);
}

/* The server greets whoever connects with a line INFO once it serves. */
static bool greets(const struct nats_server *server) {
    struct sockaddr_in address;
    char greeting[4];
    int fd = open_socket(server->port, &address);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    bool good = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && poll(&wait, 1, 1000) == 1 &&
                recv(fd, greeting, sizeof greeting, MSG_WAITALL) == sizeof greeting &&
                memcmp(greeting, "INFO", sizeof greeting) == 0;
    close(fd);
    return good;
}

void nats_server_start(struct nats_server *server) {
    server->pid = fork();
    if (server->pid < 0) {
        die("fork");
    }
    if (server->pid == 0) {
        exec_server(server);
    }
    for (int waited = 0; !greets(server); waited += START_LOOK_MS) {
        int status;
        if (waitpid(server->pid, &status, WNOHANG) != 0 || waited > START_PATIENCE_MS) {
            errno = 0;
            die("nats-server does not start (is it installed?)");
        }
        usleep(START_LOOK_MS * 1000);
    }
}

static void end(struct nats_server *server, int number) {
    int status;
    if (server->pid == 0 || kill(server->pid, number) != 0 || waitpid(server->pid, &status, 0) != server->pid) {
        die("ending nats-server");
    }
    server->pid = 0;
}

void nats_server_kill(struct nats_server *server) {
    end(server, SIGKILL);
}

void nats_server_stop(struct nats_server *server) {
    end(server, SIGTERM);
}

void nats_server_halt(struct nats_server *server) {
    if (server->pid == 0 || kill(server->pid, SIGSTOP) != 0) {
        die("halting nats-server");
    }
}

void nats_server_resume(struct nats_server *server) {
    if (server->pid == 0 || kill(server->pid, SIGCONT) != 0) {
        die("resuming nats-server");
    }
}

static void remove_tree(const char *path) {
    run((const char *const[]){"rm", "-rf", path, NULL});
}

void nats_server_wipe(struct nats_server *server) {
    char data[96];
    snprintf(data, sizeof data, "%s/data", server->directory);
    remove_tree(data);
}

void nats_server_keep_data(struct nats_server *server) {
    char data[96];
    char kept[96];
    snprintf(data, sizeof data, "%s/data", server->directory);
    snprintf(kept, sizeof kept, "%s/kept", server->directory);
    remove_tree(kept);
    run((const char *const[]){"cp", "-a", data, kept, NULL});
}

void nats_server_restore_data(struct nats_server *server) {
    char data[96];
    char kept[96];
    snprintf(data, sizeof data, "%s/data", server->directory);
    snprintf(kept, sizeof kept, "%s/kept", server->directory);
    remove_tree(data);
    run((const char *const[]){"cp", "-a", kept, data, NULL});
}

void nats_server_free(struct nats_server *server) {
    if (server->pid != 0) {
        nats_server_kill(server);
    }
    remove_tree(server->directory);
}
