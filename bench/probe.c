/* A client that sends at a fixed rate and records every latency.
 *
 *     probe PORT QPS SECONDS CORE QUERIES SAMPLES
 *
 * Sends QPS queries per second to 127.0.0.1:PORT at fixed times, independent of the replies. So a
 * server that stalls delays many queries, and each of them counts. The latency is the time from the
 * call of send to the moment at which the kernel puts the reply into the socket (SO_TIMESTAMPNS). It
 * does not contain the time that this process needs to wake up.
 *
 * QUERIES has one `NAME TYPE` per line, as for dnsperf, with the types A, AAAA, and SRV. SAMPLES gets
 * one pair of native unsigned 64-bit integers per answered query: the send time in ns since the first
 * query, and the latency in ns. Prints one JSON object: sent, answered, and late_ns, the largest
 * delay of a send behind its schedule, in ns.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { QUERIES = 65536, QUERY = 300, IDS = 65536 };
static const int64_t SECOND = 1000000000;
static const int64_t LINGER = 1000000000; /* ns until the last replies must arrive */

static unsigned char (*queries)[QUERY];
static int sizes[QUERIES], known;
static int64_t sent_at[IDS]; /* by query ID; 0: no query in flight */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* CLOCK_REALTIME, because the kernel uses it for the time stamps of packets. */
static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

/* Packs a query without EDNS into out; returns its size, or 0 for an invalid name. */
static int pack(const char *name, const char *type, unsigned char *out)
{
    int code = !strcasecmp(type, "A") ? 1 : !strcasecmp(type, "AAAA") ? 28 : 33;
    unsigned char *at = out + 12;
    if (strlen(name) > 250)
        return 0;
    memset(out, 0, 12);
    out[2] = 1; /* RD, as in queries of stub resolvers */
    out[5] = 1;
    while (*name) {
        size_t label = strcspn(name, ".");
        if (label == 0 || label > 63)
            return 0;
        *at++ = (unsigned char)label;
        memcpy(at, name, label);
        at += label;
        name += label + (name[label] == '.');
    }
    *at++ = 0;
    *at++ = 0;
    *at++ = (unsigned char)code;
    *at++ = 0;
    *at++ = 1;
    return (int)(at - out);
}

static void load(const char *path)
{
    char name[256], type[16];
    FILE *file = fopen(path, "r");
    if (!file || !(queries = malloc((size_t)QUERIES * QUERY)))
        die(path);
    while (known < QUERIES && fscanf(file, "%255s %15s", name, type) == 2)
        if ((sizes[known] = pack(name, type, queries[known])))
            known++;
    fclose(file);
    if (!known) {
        fprintf(stderr, "%s: no queries\n", path);
        exit(1);
    }
}

static int64_t stamp(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
        }
    return now();
}

/* Reads all available replies; returns the number of pairs written to `samples`. */
static int64_t drain(int fd, int64_t first, FILE *samples)
{
    unsigned char packet[4096], control[128];
    int64_t answered = 0;
    for (;;) {
        struct iovec part = {packet, sizeof packet};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
        if (got < 0 && errno == ECONNREFUSED)
            continue;
        if (got < 0)
            return answered;
        int id = packet[0] << 8 | packet[1];
        if (got < 12 || !(packet[2] & 0x80) || !sent_at[id])
            continue;
        uint64_t pair[2] = {(uint64_t)(sent_at[id] - first),
                            (uint64_t)(stamp(&message) - sent_at[id])};
        sent_at[id] = 0;
        answered++;
        if (fwrite(pair, sizeof pair, 1, samples) != 1)
            die("samples");
    }
}

static void wait_until(int fd, int64_t when)
{
    int64_t left = when - now();
    if (left <= 0)
        return;
    struct timespec t = {left / SECOND, left % SECOND};
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    ppoll(&readable, 1, &t, NULL);
}

static int open_socket(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((unsigned short)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, room = 4 << 20, fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) < 0)
        die("SO_TIMESTAMPNS");
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: probe PORT QPS SECONDS CORE QUERIES SAMPLES\n");
        return 2;
    }
    int64_t qps = atoll(argv[2]);
    int64_t total = (int64_t)((double)qps * atof(argv[3])), answered = 0, late = 0;
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET((size_t)atoi(argv[4]), &core);
    if (qps < 1 || qps > 1000000 || sched_setaffinity(0, sizeof core, &core) < 0)
        die("QPS or CORE");
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    load(argv[5]);
    FILE *samples = fopen(argv[6], "wb");
    if (!samples)
        die(argv[6]);
    int fd = open_socket(atoi(argv[1]));

    int64_t first = now() + SECOND / 100;
    for (int64_t i = 0; i < total; i++) {
        int64_t due = first + i * SECOND / qps;
        do {
            answered += drain(fd, first, samples);
            wait_until(fd, due);
        } while (now() < due);
        unsigned char *query = queries[i % known];
        int id = (int)(i % IDS);
        query[0] = (unsigned char)(id >> 8);
        query[1] = (unsigned char)id;
        int64_t at = now();
        late = at - due > late ? at - due : late;
        sent_at[id] = at;
        if (send(fd, query, (size_t)sizes[i % known], 0) < 0 && errno != ECONNREFUSED)
            die("send");
    }
    int64_t end = now() + LINGER;
    while (now() < end && answered < total) {
        answered += drain(fd, first, samples);
        wait_until(fd, end);
    }
    answered += drain(fd, first, samples);
    if (fclose(samples))
        die("samples");
    printf("{\"sent\": %lld, \"answered\": %lld, \"late_ns\": %lld}\n", (long long)total,
           (long long)answered, (long long)late);
    return 0;
}
