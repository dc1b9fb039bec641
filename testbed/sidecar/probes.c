/*
 * probes TIMEOUT_MS NETNS...
 *
 * Sends one packet's worth of question at a time, as whom and from where each line of stdin says, and prints what came
 * back, one line each, in the same order:
 *
 *   NETNS PROTOCOL UID:GID SOURCE|- SPORT MARK DESTINATION DPORT
 *
 * NETNS is a place in the list above. PROTOCOL is tcp or udp, or "invalid": a segment that connection tracking calls
 * INVALID (SYN, FIN and ACK at once), followed by a SYN; whoever holds the port resets the first, unless it was dropped.
 * A MARK other than 0 is put on the packets, and SOURCE may then be somebody else's address, as a transparent proxy does.
 * Answers are "answered TEXT", "reset", "refused", "dropped", "unreachable", "timeout" or "failed REASON".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_NETNS 8

typedef union {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} address;

struct probe {
  unsigned netns, uid, gid, sport, mark, dport;
  char protocol[16], source[64], destination[64];
};

static int netns_fds[MAX_NETNS];
static int timeout_ms;

static _Noreturn void fail(const char *action, const char *object) {
  fprintf(stderr, "probes: Cannot %s %s: %s\n", action, object, strerror(errno));
  exit(1);
}

static socklen_t make_address(address *a, int family, const char *ip, unsigned port) {
  memset(a, 0, sizeof *a);
  a->any.sa_family = (sa_family_t)family;
  void *bytes = family == AF_INET ? (void *)&a->v4.sin_addr : (void *)&a->v6.sin6_addr;
  if (strcmp(ip, "-") && inet_pton(family, ip, bytes) != 1) {
    errno = EINVAL;
    fail("read the address", ip);
  }
  if (family == AF_INET) a->v4.sin_port = htons((uint16_t)port);
  else a->v6.sin6_port = htons((uint16_t)port);
  return family == AF_INET ? sizeof a->v4 : sizeof a->v6;
}

static const char *outcome_of(int error) {
  switch (error) {
    case ECONNREFUSED: return "refused";
    case ECONNRESET: return "reset";
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL: return "unreachable";
    default: return strerror(error);
  }
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, long deadline) {
  struct pollfd pfd = {fd, events, 0};
  for (;;) {
    long left = deadline - now_ms();
    int count = poll(&pfd, 1, left > 0 ? (int)left : 0);
    if (count >= 0 || errno != EINTR) return count > 0;
  }
}

/* Connects, says something where nobody would answer silence, and reads one line. */
static void converse(const struct probe *p, int family, int fd, char *result, size_t size) {
  address from, to;
  int one = 1, error = 0;
  long deadline = now_ms() + timeout_ms;
  socklen_t length = make_address(&to, family, p->destination, p->dport);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (p->mark != 0) {
    int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, option = family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT;
    if (setsockopt(fd, level, option, &one, sizeof one)) fail("make transparent", p->source);
    if (setsockopt(fd, SOL_SOCKET, SO_MARK, &p->mark, sizeof p->mark)) fail("mark", p->source);
  }
  make_address(&from, family, p->source, p->sport);
  if (bind(fd, &from.any, length)) {
    snprintf(result, size, "failed to bind: %s", strerror(errno));
    return;
  }
  if (connect(fd, &to.any, length)) {
    if (errno == EINPROGRESS && !wait_for(fd, POLLOUT, deadline)) {
      snprintf(result, size, "timeout");
      return;
    }
    if (errno != EINPROGRESS) error = errno;
    else getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error});
  }
  if (!error && !strcmp(p->protocol, "udp") && send(fd, "?", 1, 0) < 0) error = errno;
  char line[256] = "";
  size_t got = 0;
  while (!error && got < sizeof line - 1 && !memchr(line, '\n', got)) {
    if (!wait_for(fd, POLLIN, deadline)) {
      snprintf(result, size, "timeout");
      return;
    }
    ssize_t count = recv(fd, line + got, sizeof line - 1 - got, 0);
    if (count < 0) error = errno;
    else if (count == 0) break;
    else got += (size_t)count;
  }
  line[strcspn(line, "\n")] = 0;
  if (error) snprintf(result, size, "%s", outcome_of(error));
  else snprintf(result, size, "answered %s", line);
}

static uint16_t checksum_v4(const struct in_addr *from, const struct in_addr *to, const struct tcphdr *tcp) {
  uint32_t sum = htons(IPPROTO_TCP) + htons(sizeof *tcp);
  uint16_t words[4 + sizeof *tcp / 2];
  memcpy(words, from, 4);
  memcpy(words + 2, to, 4);
  memcpy(words + 4, tcp, sizeof *tcp);
  for (size_t i = 0; i < sizeof words / 2; i++) sum += words[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static void send_segment(int fd, const struct probe *p, int family, unsigned sport, int is_valid) {
  address from, to;
  make_address(&from, family, p->source, 0);
  socklen_t length = make_address(&to, family, p->destination, 0);
  struct tcphdr tcp = {.th_sport = htons((uint16_t)sport), .th_dport = htons((uint16_t)p->dport), .th_seq = htonl(1000),
                       .th_off = 5, .th_win = htons(1024)};
  tcp.th_flags = is_valid ? TH_SYN : TH_SYN | TH_FIN | TH_ACK;
  if (family == AF_INET) tcp.th_sum = checksum_v4(&from.v4.sin_addr, &to.v4.sin_addr, &tcp);
  if (sendto(fd, &tcp, sizeof tcp, 0, &to.any, length) < 0) fail("send to", p->destination);
}

/* The network keeps the order: when the second segment is answered, no answer to the first will come. */
static void send_invalid(const struct probe *p, int family, int fd, char *result, size_t size) {
  int offset = 16;
  address from;
  socklen_t length = make_address(&from, family, p->source, 0);
  if (bind(fd, &from.any, length)) fail("bind", p->source);
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, &offset, sizeof offset);
  send_segment(fd, p, family, p->sport, 0);
  send_segment(fd, p, family, p->sport + 1, 1);
  long deadline = now_ms() + timeout_ms;
  snprintf(result, size, "dropped");
  while (wait_for(fd, POLLIN, deadline)) {
    unsigned char packet[2048];
    ssize_t count = recv(fd, packet, sizeof packet, 0);
    size_t header = family == AF_INET && count > 0 ? (packet[0] & 15) * 4u : 0;
    struct tcphdr tcp;
    if (count < 0 || (size_t)count < header + sizeof tcp) continue;
    memcpy(&tcp, packet + header, sizeof tcp);
    if (tcp.th_sport != htons((uint16_t)p->dport)) continue;
    if (tcp.th_dport == htons((uint16_t)p->sport) && tcp.th_flags & TH_RST) snprintf(result, size, "reset");
    if (tcp.th_dport == htons((uint16_t)(p->sport + 1))) return;
  }
  snprintf(result, size, "timeout");
}

static void run(const struct probe *p, char *result, size_t size) {
  int family = strchr(p->destination, ':') ? AF_INET6 : AF_INET, is_raw = !strcmp(p->protocol, "invalid");
  int type = is_raw ? SOCK_RAW : !strcmp(p->protocol, "udp") ? SOCK_DGRAM : SOCK_STREAM;
  if (setns(netns_fds[p->netns], CLONE_NEWNET)) fail("enter", "a network namespace");
  /* Netfilter asks who made the socket, by file system ids; every other right stays. */
  setfsgid(p->gid);
  setfsuid(p->uid);
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, is_raw ? IPPROTO_TCP : 0);
  setfsuid(0);
  setfsgid(0);
  if (fd < 0) fail("open a socket to", p->destination);
  if (is_raw) send_invalid(p, family, fd, result, size);
  else converse(p, family, fd, result, size);
  close(fd);
}

int main(int argc, char **argv) {
  if (argc < 3 || argc > 2 + MAX_NETNS || (timeout_ms = atoi(argv[1])) <= 0) {
    fprintf(stderr, "usage: probes TIMEOUT_MS NETNS... (at most %d)\n", MAX_NETNS);
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 2; i < argc; i++)
    if ((netns_fds[i - 2] = open(argv[i], O_RDONLY | O_CLOEXEC)) < 0) fail("open", argv[i]);
  char line[512], result[512];
  while (fgets(line, sizeof line, stdin)) {
    struct probe p;
    int fields = sscanf(line, "%u %15s %u:%u %63s %u %u %63s %u", &p.netns, p.protocol, &p.uid, &p.gid, p.source, &p.sport, &p.mark,
                        p.destination, &p.dport);
    if (fields != 9 || (int)p.netns >= argc - 2) {
      fprintf(stderr, "probes: Cannot read the probe: %s", line);
      return 2;
    }
    run(&p, result, sizeof result);
    printf("%s\n", result);
  }
  return 0;
}
