/* Many watchers of one SSE address in one thread, so that the measured server has a core of its own.
 * Counts deliveries, their latency (event's "sent_ns", CLOCK_MONOTONIC, to its arrival), and breaks
 * in the order of "seq". Started and compiled by serving.py; prints one JSON object.
 *
 *   watchers PORT PATH COUNT LAST_SEQ SECONDS
 *
 * "ready\n" on stdout means that every watcher has had its first bytes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REST 70000      /* longest unfinished line kept between two reads */
#define BUCKETS 4000000 /* microseconds; the last holds everything longer */

struct watcher {
    int fd;
    int has_begun;
    long seq;
    int rest_size;
    char *rest;
};

static uint32_t *histogram;
static long deliveries, disorders, finished, begun, closed;
static double sum_us, worst_us;
static long last_seq;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void record(int64_t sent, int64_t now) {
    double us = (now - sent) / 1000.0;
    long bucket = us < 0 ? 0 : (long)us;
    histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    sum_us += us;
    if (us > worst_us) worst_us = us;
}

/* One whole line of the stream. */
static void take_line(struct watcher *w, char *line, int64_t now) {
    if (strncmp(line, "data:", 5) != 0) return;
    char *seq = strstr(line, "\"seq\":");
    char *sent = strstr(line, "\"sent_ns\":");
    if (!seq || !sent) return;
    long number = atol(seq + 6);
    if (w->seq && number != w->seq + 1) disorders++;
    w->seq = number;
    deliveries++;
    record(atoll(sent + 10), now);
    if (number == last_seq) finished++;
}

static void take(struct watcher *w, char *data, int size, int64_t now) {
    static char buffer[REST + 262144 + 1];
    memcpy(buffer, w->rest, w->rest_size);
    memcpy(buffer + w->rest_size, data, size);
    size += w->rest_size;
    char *at = buffer, *end = buffer + size, *stop;
    while ((stop = memchr(at, '\n', end - at))) {
        *stop = 0;
        take_line(w, at, now);
        at = stop + 1;
    }
    w->rest_size = end - at;
    if (w->rest_size > REST) w->rest_size = 0;
    w->rest = realloc(w->rest, w->rest_size ? w->rest_size : 1);
    memcpy(w->rest, at, w->rest_size);
}

static int open_watcher(int port, const char *path) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("connect");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    char request[1024];
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n\r\n",
                        path, port);
    if (write(fd, request, size) != size) exit(1);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static double percentile(double share) {
    long wanted = (long)(deliveries * share), seen = 0;
    for (long us = 0; us < BUCKETS; us++)
        if ((seen += histogram[us]) > wanted) return us / 1000.0;
    return worst_us / 1000.0;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    int port = atoi(argv[1]), count = atoi(argv[3]);
    last_seq = atol(argv[4]);
    int64_t deadline = 0, patience = atoll(argv[5]) * 1000000000;
    histogram = calloc(BUCKETS, sizeof *histogram);
    struct watcher *watchers = calloc(count, sizeof *watchers);
    int poll = epoll_create1(0);
    struct rlimit files = {count + 64, count + 64};
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < count; i++) {
        watchers[i].fd = open_watcher(port, argv[2]);
        watchers[i].rest = malloc(1);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &watchers[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, watchers[i].fd, &event);
    }
    static char data[262144];
    struct epoll_event events[256];
    while (finished < count && closed < count) {
        int ready = epoll_wait(poll, events, 256, 100);
        for (int i = 0; i < ready; i++) {
            struct watcher *w = events[i].data.ptr;
            int size = read(w->fd, data, sizeof data);
            int64_t now = now_ns();
            if (size <= 0) {
                if (size < 0 && errno == EAGAIN) continue;
                epoll_ctl(poll, EPOLL_CTL_DEL, w->fd, NULL);
                closed++;
                continue;
            }
            if (!w->has_begun) {
                w->has_begun = 1;
                if (++begun == count) {
                    puts("ready");
                    fflush(stdout);
                    deadline = now + patience;
                }
            }
            take(w, data, size, now);
        }
        if (deadline && now_ns() > deadline) break;
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"deliveries\":%ld,\"mean_ms\":%.3f,\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"worst_ms\":%.3f,\"out_of_order\":%ld,\"finished\":%ld,\"client_cpu_s\":%.3f}\n",
           deliveries, deliveries ? sum_us / deliveries / 1000 : 0, percentile(.50), percentile(.95),
           percentile(.99), worst_us / 1000, disorders, finished,
           used.ru_utime.tv_sec + used.ru_stime.tv_sec +
               (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
