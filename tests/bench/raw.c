#include "tests/bench/raw.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { WRITE_BYTES = 1 << 20, SYNC_BYTES = 64 << 20, FILE_BYTES = 1 << 30, ALIGNMENT = 4096 };

static _Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_us(void) {
    return clock_monotonic_us(&system_clock);
}

static uint8_t *new_block(void) {
    uint8_t *block = aligned_alloc(ALIGNMENT, WRITE_BYTES);
    if (block == NULL) {
        abort();
    }
    for (size_t i = 0; i < WRITE_BYTES; i++) {
        block[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    return block;
}

/* ---- the disk ---- */

static void write_run(int file, const uint8_t *block, off_t at) {
    for (off_t end = at + SYNC_BYTES; at < end; at += WRITE_BYTES) {
        if (pwrite(file, block, WRITE_BYTES, at) != WRITE_BYTES) {
            die("writing");
        }
    }
    if (fdatasync(file) != 0) {
        die("flushing");
    }
}

double raw_disk(const char *directory, bool direct, int64_t measure_us) {
    char path[4096];
    snprintf(path, sizeof path, "%s/raw-XXXXXX", directory);
    int file = mkostemp(path, direct ? O_DIRECT : 0);
    if (file < 0) {
        die(path);
    }
    unlink(path);
    if (posix_fallocate(file, 0, FILE_BYTES) != 0) {
        die("reserving space");
    }
    uint8_t *block = new_block();
    int64_t begin = now_us();
    int64_t bytes = 0;
    while (now_us() < begin + measure_us) {
        write_run(file, block, (off_t)(bytes % FILE_BYTES));
        bytes += SYNC_BYTES;
    }
    double seconds = (double)(now_us() - begin) / 1e6;
    free(block);
    close(file);
    return (double)bytes / seconds;
}

/* ---- loopback ---- */

struct sender {
    int socket;
    int64_t end_us;
};

static void *run_sender(void *argument) {
    const struct sender *sender = argument;
    uint8_t *block = new_block();
    while (now_us() < sender->end_us) {
        if (send(sender->socket, block, WRITE_BYTES, 0) < 0) {
            die("sending");
        }
    }
    free(block);
    close(sender->socket);
    return NULL;
}

static void connect_to_self(int *client, int *server) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    *client = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
        connect(*client, (struct sockaddr *)&address, size) != 0 || (*server = accept(listener, NULL, NULL)) < 0) {
        die("connecting");
    }
    close(listener);
}

double raw_loopback(int64_t measure_us) {
    struct sender sender;
    int receiver;
    connect_to_self(&sender.socket, &receiver);
    int64_t begin = now_us();
    sender.end_us = begin + measure_us;
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_sender, &sender) != 0) {
        abort();
    }
    uint8_t *block = new_block();
    int64_t bytes = 0;
    ssize_t got;
    while ((got = recv(receiver, block, WRITE_BYTES, 0)) > 0) {
        bytes += got;
    }
    double seconds = (double)(now_us() - begin) / 1e6;
    pthread_join(thread, NULL);
    free(block);
    close(receiver);
    return (double)bytes / seconds;
}
