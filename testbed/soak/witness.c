/*
 * witness POD_NETNS PEER_NETNS PORT POD_IP... -- PEER_IP...
 *
 * Connects out of a pod to its peer and from the peer into the pod, in every family that both have, again and again from its first
 * instruction on, and tells who answered: every change at once, and what is the case once a second. It knows nothing of meshes
 * but the two answers of the testbed's stand-ins: "captured PORT ..." is a proxy's, "direct PORT" an application's.
 *
 * One line each: {"way":"out4","began":MS,"ended":MS,"outcome":"captured"}, by CLOCK_MONOTONIC; at SIGTERM {"tries":N}.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_WAYS 8
#define TIMEOUT_MS 1000.0
#define HEARTBEAT_MS 1000.0
/* Often at first, when a gap would be; then as often as many pods at once can bear. */
#define HASTE_MS 1000.0
#define HASTY_PAUSE_MS 10.0
#define PAUSE_MS 300.0

struct way {
  char name[16];
  int netns, fd;
  struct sockaddr_storage to;
  socklen_t length;
  double began, next, told;
  char outcome[16], line[64];
  size_t got;
};

static struct way ways[MAX_WAYS];
static size_t way_count;
static volatile sig_atomic_t is_over;
static void on_term(int signal) { is_over = signal; }

static _Noreturn void fail(const char *action, const char *object) {
  fprintf(stderr, "witness: Cannot %s %s: %s\n", action, object, strerror(errno));
  exit(1);
}

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static void add_way(const char *direction, int netns, const char *ip, int port) {
  struct way *way = &ways[way_count++];
  int is_v6 = strchr(ip, ':') != NULL;
  snprintf(way->name, sizeof way->name, "%s%d", direction, is_v6 ? 6 : 4);
  way->netns = netns;
  way->fd = -1;
  if (is_v6) {
    struct sockaddr_in6 *to = (struct sockaddr_in6 *)&way->to;
    *to = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET6, ip, &to->sin6_addr) != 1) fail("read", ip);
    way->length = sizeof *to;
  } else {
    struct sockaddr_in *to = (struct sockaddr_in *)&way->to;
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, ip, &to->sin_addr) != 1) fail("read", ip);
    way->length = sizeof *to;
  }
}

static const char *outcome_of(int error) {
  switch (error) {
    case ECONNREFUSED: return "refused";
    case ECONNRESET:
    case EPIPE: return "reset";
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL: return "unreachable";
    case ETIMEDOUT: return "timeout";
    default: return "failed";
  }
}

static void conclude(struct way *way, const char *outcome, double started) {
  double now = now_ms();
  if (way->fd >= 0) {
    struct linger reset = {1, 0}; /* no port waits for late segments */
    setsockopt(way->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(way->fd);
  }
  way->fd = -1;
  way->next = now + (now - started < HASTE_MS ? HASTY_PAUSE_MS : PAUSE_MS);
  if (!strcmp(outcome, way->outcome) && now - way->told < HEARTBEAT_MS) return;
  snprintf(way->outcome, sizeof way->outcome, "%s", outcome);
  way->told = now;
  printf("{\"way\":\"%s\",\"began\":%.3f,\"ended\":%.3f,\"outcome\":\"%s\"}\n", way->name, way->began, now, outcome);
}

static void begin(struct way *way, double started) {
  way->began = now_ms();
  way->got = 0;
  if (setns(way->netns, CLONE_NEWNET)) fail("enter the namespace of", way->name);
  way->fd = socket(way->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (way->fd < 0) fail("open a socket for", way->name);
  if (connect(way->fd, (struct sockaddr *)&way->to, way->length) && errno != EINPROGRESS) conclude(way, outcome_of(errno), started);
}

/* The answer is one line, and its first word is all that counts. */
static void advance(struct way *way, double started) {
  ssize_t got = recv(way->fd, way->line + way->got, sizeof way->line - 1 - way->got, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN)) return;
  if (got < 0) {
    conclude(way, outcome_of(errno), started);
    return;
  }
  way->got += (size_t)got;
  way->line[way->got] = 0;
  if (got > 0 && !strchr(way->line, '\n') && way->got < sizeof way->line - 1) return;
  conclude(way, !strncmp(way->line, "captured ", 9) ? "captured" : !strncmp(way->line, "direct ", 7) ? "direct" : "closed", started);
}

int main(int argc, char **argv) {
  if (argc < 7) {
    fprintf(stderr, "usage: witness POD_NETNS PEER_NETNS PORT POD_IP... -- PEER_IP...\n");
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (getppid() != 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct sigaction action = {.sa_handler = on_term};
  sigaction(SIGTERM, &action, NULL);
  int pod = open(argv[1], O_RDONLY | O_CLOEXEC), peer = open(argv[2], O_RDONLY | O_CLOEXEC), port = atoi(argv[3]);
  if (pod < 0 || peer < 0) fail("open the namespaces", argv[1]);
  int is_out = 0;
  for (int i = 4; i < argc; i++) {
    if (!strcmp(argv[i], "--")) is_out = 1;
    else if (way_count == MAX_WAYS) break;
    else add_way(is_out ? "out" : "in", is_out ? pod : peer, argv[i], port);
  }
  double started = now_ms();
  unsigned long tries = 0;
  while (!is_over) {
    struct pollfd fds[MAX_WAYS];
    double now = now_ms(), due = now + 1000;
    for (size_t i = 0; i < way_count; i++) {
      struct way *way = &ways[i];
      if (way->fd >= 0 && now - way->began > TIMEOUT_MS) conclude(way, "timeout", started);
      if (way->fd < 0 && now >= way->next) {
        tries++;
        begin(way, started);
      }
      double at = way->fd < 0 ? way->next : way->began + TIMEOUT_MS;
      if (at < due) due = at;
      fds[i] = (struct pollfd){way->fd, POLLIN, 0};
    }
    double left = due - now_ms();
    if (poll(fds, (nfds_t)way_count, left > 0 ? (int)left + 1 : 0) < 0) continue;
    for (size_t i = 0; i < way_count; i++)
      if (ways[i].fd >= 0 && fds[i].revents) advance(&ways[i], started);
  }
  printf("{\"tries\":%lu}\n", tries);
  return 0;
}
