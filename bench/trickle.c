/* Holds many slow TCP connections, as an attacker would.
 *
 *     trickle PORT CONNECTIONS SECONDS CORE
 *
 * Opens CONNECTIONS to 127.0.0.1:PORT within one second, and prints "open". Then it sends one octet
 * of a query per second on each connection, spread evenly. No query is ever complete before the
 * server closes the connection. It reopens closed connections, at the rate at which it sends octets,
 * so their number stays almost constant: connections without a pause would keep the core busy and
 * delay the other clients on it. Ends after SECONDS, on SIGTERM, or with the process that started
 * it. Prints one JSON object: seconds, octets (sent), and reopened (closed by the server).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 60000, SPARE = 64 };
static const int64_t SECOND = 1000000000;

/* Length, header, and question of "a." A IN. The last octet is never sent. */
static const unsigned char query[] = {0, 19, 0, 1, 1, 0, 0, 1, 0, 0, 0,
                                      0, 0, 0, 1, 'a', 0, 0, 1, 0, 1};

static int sockets[MAX_CONNECTIONS];
static size_t sent[MAX_CONNECTIONS]; /* octets sent on each connection */
static volatile sig_atomic_t ended;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void end(int number)
{
    (void)number;
    ended = 1;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static void open_one(int events, int i, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((unsigned short)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event closed = {.events = EPOLLIN | EPOLLRDHUP, .data.u32 = (uint32_t)i};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect");
    if (epoll_ctl(events, EPOLL_CTL_ADD, fd, &closed) < 0)
        die("epoll_ctl");
    sockets[i] = fd;
    sent[i] = 0;
}

/* Reopens one closed connection, if any. The server sends nothing, so each event is a close. */
static int reopen(int events, int port)
{
    struct epoll_event found;
    if (epoll_wait(events, &found, 1, 0) != 1)
        return 0;
    close(sockets[found.data.u32]);
    open_one(events, (int)found.data.u32, port);
    return 1;
}

/* Sleeps until `when`; returns the time after that. */
static int64_t wait_until(int64_t when)
{
    int64_t at;
    while ((at = now()) < when && !ended) {
        struct timespec t = {(when - at) / SECOND, (when - at) % SECOND};
        nanosleep(&t, NULL);
    }
    return at;
}

static void make_room(int connections)
{
    struct rlimit files;
    rlim_t wanted = (rlim_t)connections + SPARE;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        die("RLIMIT_NOFILE");
    if (files.rlim_cur >= wanted)
        return;
    files.rlim_cur = wanted;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        die("RLIMIT_NOFILE");
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: trickle PORT CONNECTIONS SECONDS CORE\n");
        return 2;
    }
    int port = atoi(argv[1]), connections = atoi(argv[2]);
    int64_t seconds = atoll(argv[3]), octets = 0, reopened = 0;
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET((size_t)atoi(argv[4]), &core);
    if (connections < 1 || connections > MAX_CONNECTIONS ||
        sched_setaffinity(0, sizeof core, &core) < 0)
        die("CONNECTIONS or CORE");
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGTERM, end);
    signal(SIGPIPE, SIG_IGN);
    make_room(connections);
    int events = epoll_create1(0);
    if (events < 0)
        die("epoll");
    int64_t first = now(), at = first;
    for (int i = 0; i < connections && !ended; i++) {
        at = wait_until(first + i * SECOND / connections);
        open_one(events, i, port);
    }
    printf("open\n");
    fflush(stdout);

    first = at = now();
    for (int64_t i = 0; !ended && at < first + seconds * SECOND; i++) {
        at = wait_until(first + i * SECOND / connections);
        reopened += reopen(events, port);
        int one = (int)(i % connections);
        /* Never sends the last octet, so the server waits until its timeout. */
        if (sent[one] + 1 < sizeof query &&
            send(sockets[one], query + sent[one], 1, MSG_DONTWAIT) == 1) {
            sent[one]++;
            octets++;
        }
    }
    printf("{\"seconds\": %.3f, \"octets\": %lld, \"reopened\": %lld}\n",
           (double)(at - first) / (double)SECOND, (long long)octets, (long long)reopened);
    return 0;
}
