/* The floor: the least work of a server per reply.
 *
 *     floor PORT
 *
 * Sends each datagram that arrives at 127.0.0.1:PORT back with the QR bit set, in batches of
 * recvmmsg and sendmmsg. A child process does the same for length-prefixed messages over TCP
 * (RFC 1035, section 4.2.2), so that UDP and TCP have separate loops. It looks up, parses, and
 * checks nothing, except the limits of its buffers.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BATCH = 64, PACKET = 2048, CLIENTS = 64, STREAM = 65536 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on(int type, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((unsigned short)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, room = 4 << 20;
    int fd = socket(AF_INET, type, 0);
    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
        die("bind");
    if (type == SOCK_STREAM && listen(fd, CLIENTS) < 0)
        die("listen");
    return fd;
}

static void serve_udp(int fd)
{
    static unsigned char packets[BATCH][PACKET];
    static struct sockaddr_in peers[BATCH];
    static struct iovec parts[BATCH];
    static struct mmsghdr batch[BATCH];

    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){packets[i], PACKET};
            batch[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
                                               .msg_namelen = sizeof peers[i],
                                               .msg_iov = &parts[i],
                                               .msg_iovlen = 1};
        }
        int got = recvmmsg(fd, batch, BATCH, MSG_WAITFORONE, NULL);
        if (got < 0) {
            if (errno == EINTR || errno == ECONNREFUSED)
                continue;
            die("recvmmsg");
        }
        for (int i = 0; i < got; i++) {
            packets[i][2] |= 0x80;
            parts[i].iov_len = batch[i].msg_len;
        }
        for (int done = 0; done < got;) {
            int sent = sendmmsg(fd, batch + done, (unsigned)(got - done), 0);
            done += sent > 0 ? sent : 1;
        }
    }
}

struct stream {
    int have;
    unsigned char bytes[STREAM];
};

/* Reads the available octets and echoes each complete message; returns 0 at the end of the stream. */
static int echo_stream(int fd, struct stream *s)
{
    ssize_t got = read(fd, s->bytes + s->have, (size_t)(STREAM - s->have));
    if (got <= 0)
        return 0;
    s->have += (int)got;
    int whole = 0;
    while (s->have - whole >= 2) {
        int size = 2 + (s->bytes[whole] << 8 | s->bytes[whole + 1]);
        if (size > STREAM)
            return 0;
        if (whole + size > s->have)
            break;
        if (size >= 2 + 12)
            s->bytes[whole + 4] |= 0x80;
        whole += size;
    }
    for (int done = 0; done < whole;) {
        ssize_t sent = write(fd, s->bytes + done, (size_t)(whole - done));
        if (sent <= 0)
            return 0;
        done += (int)sent;
    }
    memmove(s->bytes, s->bytes + whole, (size_t)(s->have - whole));
    s->have -= whole;
    return 1;
}

static void serve_tcp(int fd)
{
    static struct stream streams[CLIENTS];
    struct pollfd watched[1 + CLIENTS];
    int one = 1;

    for (int i = 0; i <= CLIENTS; i++)
        watched[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    watched[0].fd = fd;
    for (;;) {
        if (poll(watched, 1 + CLIENTS, -1) < 0 && errno != EINTR)
            die("poll");
        for (int i = 1; i <= CLIENTS; i++)
            if (watched[i].fd >= 0 && watched[i].revents &&
                !echo_stream(watched[i].fd, &streams[i - 1])) {
                close(watched[i].fd);
                watched[i].fd = -1;
            }
        if (!(watched[0].revents & POLLIN))
            continue;
        int peer = accept(fd, NULL, NULL), slot = 1;
        while (slot <= CLIENTS && watched[slot].fd >= 0)
            slot++;
        if (peer < 0)
            continue;
        if (slot > CLIENTS) {
            close(peer);
            continue;
        }
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watched[slot].fd = peer;
        watched[slot].revents = 0;
        streams[slot - 1].have = 0;
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: floor PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int udp = listen_on(SOCK_DGRAM, atoi(argv[1]));
    int tcp = listen_on(SOCK_STREAM, atoi(argv[1]));
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            return 1;
        serve_tcp(tcp);
    }
    close(tcp);
    serve_udp(udp);
}
