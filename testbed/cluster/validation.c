/*
 * validation [--v6]
 *
 * Stands in for istio-validation: what a pod's rules must do before its proxy may start, seen from inside the pod as the
 * proxy's user. Listens on 127.0.0.1:15001 and :15006, connects once a second from 127.0.0.1 to 127.0.0.6:15002, where
 * nobody listens, and succeeds when such a connection arrives with 15002 as original destination (v6: ::1 and ::6).
 * After 5 s it ends with 126, the code by which upstream's repair knows an uncaptured pod. Reads no other argument.
 * Written from the observed behaviour: tools/istio-iptables/pkg/validation/validator.go of istio 1.30.3.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* include/uapi/linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h: both are 80. */
#define ORIGINAL_DST 80
#define PROBE_PORT 15002
#define TIMEOUT_MS 5000
#define INTERVAL_MS 1000
#define NOT_CAPTURED 126

typedef struct sockaddr_storage address;

static void fail(const char *action) {
  fprintf(stderr, "validation: Cannot %s: %s\n", action, strerror(errno));
  exit(1);
}

static socklen_t make_address(address *a, int family, const char *ip, int port) {
  memset(a, 0, sizeof *a);
  a->ss_family = (sa_family_t)family;
  if (family == AF_INET) {
    struct sockaddr_in *in = (struct sockaddr_in *)a;
    in->sin_port = htons((uint16_t)port);
    if (inet_pton(family, ip, &in->sin_addr) != 1) fail("read an address");
    return sizeof *in;
  }
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)a;
  in6->sin6_port = htons((uint16_t)port);
  if (inet_pton(family, ip, &in6->sin6_addr) != 1) fail("read an address");
  return sizeof *in6;
}

static int bound_socket(int family, const char *ip, int port) {
  int one = 1, fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  address local;
  socklen_t length = make_address(&local, family, ip, port);
  if (fd < 0) fail("open a socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&local, length)) fail("bind");
  return fd;
}

static int is_captured(int listener, int family) {
  address original = {0};
  socklen_t length = sizeof original;
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return 0;
  int failed = getsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, ORIGINAL_DST, &original, &length);
  close(fd);
  if (failed) return 0;
  int port = ntohs(family == AF_INET ? ((struct sockaddr_in *)&original)->sin_port : ((struct sockaddr_in6 *)&original)->sin6_port);
  printf("validation: a connection arrived, original destination port %d\n", port);
  return port == PROBE_PORT;
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
  int family = argc > 1 && !strcmp(argv[1], "--v6") ? AF_INET6 : AF_INET, client = -1;
  const char *loopback = family == AF_INET ? "127.0.0.1" : "::1";
  address target;
  socklen_t length = make_address(&target, family, family == AF_INET ? "127.0.0.6" : "::6", PROBE_PORT);
  struct pollfd listeners[2];
  const int ports[2] = {15001, 15006};

  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < 2; i++) {
    listeners[i] = (struct pollfd){bound_socket(family, loopback, ports[i]), POLLIN, 0};
    if (listen(listeners[i].fd, 16)) fail("listen");
  }
  for (long start = now_ms(), next = start; now_ms() - start < TIMEOUT_MS; next += INTERVAL_MS) {
    /* Whether it connects is told by the listeners: without rules it is refused, or lost. */
    if (client >= 0) close(client);
    client = bound_socket(family, loopback, 0);
    if (connect(client, (struct sockaddr *)&target, length) && errno != EINPROGRESS) perror("validation: connect");
    for (long left; (left = next + INTERVAL_MS - now_ms()) > 0;) {
      if (poll(listeners, 2, (int)left) <= 0) continue;
      for (int i = 0; i < 2; i++)
        if (listeners[i].revents && is_captured(listeners[i].fd, family)) return 0;
    }
  }
  fprintf(stderr, "validation: not captured within %d ms\n", TIMEOUT_MS);
  return NOT_CAPTURED;
}
