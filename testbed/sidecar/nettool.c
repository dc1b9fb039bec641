/*
 * nettool [--netns PATH] [--uid N] [--gid N] COMMAND ...
 *
 *   sidecar [--transparent] [--dns] [--owner UID:GID]
 *                                stands in for Envoy: listens on 15001 and 15006, tells each connection's original destination;
 *                                with --dns for its resolver as well: 15053 of loopback, TCP and UDP. --owner: whose its
 *                                sockets are for netfilter, while the process keeps the right to make them transparent
 *   ztunnel                      stands in for ztunnel in a pod: listens on 15001, 15006 and 15008, and for DNS on 15053 of
 *                                loopback; all its sockets carry mark 1337 and are transparent
 *   serve PORT|PORT/udp|PORT/http...
 *                                stands in for an application: answers "direct PORT", over HTTP as the body of a 200
 *   probe [--timeout MS] IP PORT connects, reads the answer, prints what happened
 *   pause                        process 1 of a pod sandbox
 *
 * One JSON object a line on stdout. It is the whole content of the testbed's image and runs on the node as well,
 * inside a pod's network namespace by --netns. It relays nothing: who captured a connection is all that is asked.
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
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* include/uapi/linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h: both are 80. */
#define ORIGINAL_DST 80
#define MAX_LISTENERS 64
#define ZTUNNEL_MARK 1337

typedef struct sockaddr_storage address;
struct listener {
  int fd;
  int port;
  int type;
  int is_http;
};

static void fail(const char *action, const char *object) {
  fprintf(stderr, "nettool: Cannot %s %s: %s\n", action, object, strerror(errno));
  exit(1);
}

static long number(const char *text, long max) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno || end == text || *end || value < 0 || value > max) {
    fprintf(stderr, "nettool: Cannot use \"%s\": a number from 0 to %ld is wanted\n", text, max);
    exit(2);
  }
  return value;
}

static int port_of(const address *a) {
  return ntohs(a->ss_family == AF_INET ? ((const struct sockaddr_in *)a)->sin_port : ((const struct sockaddr_in6 *)a)->sin6_port);
}

static const char *text_of(const address *a, char *buffer, size_t size) {
  char ip[INET6_ADDRSTRLEN] = "?";
  if (a->ss_family == AF_INET) {
    inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, ip, sizeof ip);
    snprintf(buffer, size, "%s:%d", ip, port_of(a));
  } else {
    inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, ip, sizeof ip);
    snprintf(buffer, size, "[%s]:%d", ip, port_of(a));
  }
  return buffer;
}

static socklen_t make_address(address *a, int family, int port) {
  memset(a, 0, sizeof *a);
  a->ss_family = (sa_family_t)family;
  if (family == AF_INET) {
    ((struct sockaddr_in *)a)->sin_port = htons((uint16_t)port);
    return sizeof(struct sockaddr_in);
  }
  ((struct sockaddr_in6 *)a)->sin6_port = htons((uint16_t)port);
  return sizeof(struct sockaddr_in6);
}

enum place { EVERYWHERE, ON_LOOPBACK };

/* On every socket that listens, and so on those of its connections; 0: none. */
static int socket_mark;

/* Listens on every address of one family, or on its loopback address; -1 when the kernel has no such family. */
static int listen_on(int family, int type, enum place place, int port, int transparent) {
  int one = 1, fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  char name[32];
  snprintf(name, sizeof name, "port %d", port);
  if (fd < 0) {
    if (errno == EAFNOSUPPORT) return -1;
    fail("open a socket for", name);
  }
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  if (transparent && setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
                                family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT, &one, sizeof one))
    fail("make transparent", name);
  if (socket_mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &socket_mark, sizeof socket_mark)) fail("mark", name);
  /* Who answers a datagram has to say from which of its addresses. */
  if (type == SOCK_DGRAM) setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family == AF_INET ? IP_PKTINFO : IPV6_RECVPKTINFO, &one, sizeof one);
  address local;
  socklen_t length = make_address(&local, family, port);
  if (place == ON_LOOPBACK && family == AF_INET) ((struct sockaddr_in *)&local)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (place == ON_LOOPBACK && family == AF_INET6) ((struct sockaddr_in6 *)&local)->sin6_addr = in6addr_loopback;
  if (bind(fd, (struct sockaddr *)&local, length)) {
    if (errno == EADDRNOTAVAIL) { /* IPv6 switched off by sysctl */
      close(fd);
      return -1;
    }
    fail("bind", name);
  }
  if (type == SOCK_STREAM && listen(fd, 128)) fail("listen on", name);
  return fd;
}

static size_t listen_in_both(struct listener *listeners, size_t count, int type, enum place place, int port, int transparent) {
  const int families[] = {AF_INET, AF_INET6};
  for (size_t i = 0; i < 2; i++) {
    int fd = listen_on(families[i], type, place, port, transparent);
    if (fd < 0) continue;
    if (count == MAX_LISTENERS) {
      fprintf(stderr, "nettool: Cannot listen on port %d: at most %d listeners\n", port, MAX_LISTENERS);
      exit(2);
    }
    listeners[count++] = (struct listener){.fd = fd, .port = port, .type = type};
  }
  return count;
}

/* REDIRECT leaves the destination in conntrack, TPROXY in the socket's own address. */
static void original_destination(int fd, address *original) {
  socklen_t length = sizeof *original;
  getsockname(fd, (struct sockaddr *)original, &length);
  address translated = {0};
  length = sizeof translated;
  if (!getsockopt(fd, original->ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, ORIGINAL_DST, &translated, &length))
    *original = translated;
}

/* One datagram, answered from the address it was sent to. Nobody tells a datagram's original destination. */
static void answer_datagram(const struct listener *listener, int is_sidecar) {
  address peer = {0};
  char question[512], line[64];
  union {
    char space[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct cmsghdr align;
  } control = {0};
  struct iovec content = {question, sizeof question};
  struct msghdr message = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &content, .msg_iovlen = 1,
                           .msg_control = &control, .msg_controllen = sizeof control};
  if (recvmsg(listener->fd, &message, 0) < 0) return;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part))
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) ((struct in_pktinfo *)CMSG_DATA(part))->ipi_ifindex = 0;
    else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) ((struct in6_pktinfo *)CMSG_DATA(part))->ipi6_ifindex = 0;
  content = (struct iovec){line, (size_t)snprintf(line, sizeof line, is_sidecar ? "captured %d\n" : "direct %d\n", listener->port)};
  sendmsg(listener->fd, &message, 0);
}

static void answer(const struct listener *listener, int is_sidecar) {
  if (listener->type == SOCK_DGRAM) {
    answer_datagram(listener, is_sidecar);
    return;
  }
  address peer = {0}, original = {0};
  socklen_t length = sizeof peer;
  int fd = accept4(listener->fd, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
  if (fd < 0) return;
  char peer_text[80], original_text[80], line[256];
  original_destination(fd, &original);
  text_of(&peer, peer_text, sizeof peer_text);
  text_of(&original, original_text, sizeof original_text);
  int captured = is_sidecar && port_of(&original) != listener->port;
  int size = captured ? snprintf(line, sizeof line, "captured %d orig=%s\n", listener->port, original_text)
                      : snprintf(line, sizeof line, "direct %d\n", listener->port);
  printf("{\"event\":\"connection\",\"captured\":%s,\"port\":%d,\"peer\":\"%s\",\"original\":\"%s\"}\n",
         captured ? "true" : "false", listener->port, peer_text, original_text);
  if (listener->is_http) {
    struct timeval limit = {2, 0};
    char request[4096];
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (recv(fd, request, sizeof request, 0) > 0) dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", size);
  }
  if (send(fd, line, (size_t)size, MSG_NOSIGNAL) == size) shutdown(fd, SHUT_WR);
  close(fd);
}

static _Noreturn void serve(struct listener *listeners, size_t count, int is_sidecar) {
  struct pollfd fds[MAX_LISTENERS];
  for (size_t i = 0; i < count; i++) fds[i] = (struct pollfd){listeners[i].fd, POLLIN, 0};
  printf("{\"event\":\"listening\",\"listeners\":%zu}\n", count);
  for (;;) {
    if (poll(fds, count, -1) < 0 && errno != EINTR) fail("wait for", "connections");
    for (size_t i = 0; i < count; i++)
      if (fds[i].revents) answer(&listeners[i], is_sidecar);
  }
}

static _Noreturn void sidecar(int argc, char **argv) {
  int transparent = 0, dns = 0;
  for (int i = 0; i < argc; i++) {
    char *gid = i + 1 < argc ? strchr(argv[i + 1], ':') : NULL;
    if (argv[i][0] != '-') break; /* the arguments of the proxy it stands in for, as injection writes them */
    if (!strcmp(argv[i], "--transparent")) transparent = 1;
    else if (!strcmp(argv[i], "--dns")) dns = 1;
    else if (!strcmp(argv[i], "--owner") && gid) {
      *gid = 0;
      setfsgid((gid_t)number(gid + 1, 0x7fffffff));
      setfsuid((uid_t)number(argv[++i], 0x7fffffff));
    } else {
      fprintf(stderr, "nettool: Cannot use \"%s\": --transparent, --dns or --owner UID:GID is wanted\n", argv[i]);
      exit(2);
    }
  }
  if (getppid() != 0) prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of ids has cleared it */
  struct listener listeners[8];
  size_t count = listen_in_both(listeners, 0, SOCK_STREAM, EVERYWHERE, 15001, transparent);
  count = listen_in_both(listeners, count, SOCK_STREAM, EVERYWHERE, 15006, transparent);
  if (dns) {
    count = listen_in_both(listeners, count, SOCK_STREAM, ON_LOOPBACK, 15053, 0);
    count = listen_in_both(listeners, count, SOCK_DGRAM, ON_LOOPBACK, 15053, 0);
  }
  serve(listeners, count, 1);
}

static _Noreturn void ztunnel(void) {
  const int ports[] = {15001, 15006, 15008};
  struct listener listeners[16];
  size_t count = 0;
  socket_mark = ZTUNNEL_MARK;
  for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) count = listen_in_both(listeners, count, SOCK_STREAM, EVERYWHERE, ports[i], 1);
  count = listen_in_both(listeners, count, SOCK_STREAM, ON_LOOPBACK, 15053, 0);
  count = listen_in_both(listeners, count, SOCK_DGRAM, ON_LOOPBACK, 15053, 0);
  serve(listeners, count, 1);
}

static _Noreturn void application(int argc, char **argv) {
  struct listener listeners[MAX_LISTENERS];
  size_t count = 0;
  for (int i = 0; i < argc; i++) {
    char *protocol = strchr(argv[i], '/');
    int is_udp = protocol && !strcmp(protocol, "/udp"), is_http = protocol && !strcmp(protocol, "/http");
    if (is_udp || is_http) *protocol = 0;
    size_t first = count;
    count = listen_in_both(listeners, count, is_udp ? SOCK_DGRAM : SOCK_STREAM, EVERYWHERE, (int)number(argv[i], 65535), 0);
    while (first < count) listeners[first++].is_http = is_http;
  }
  serve(listeners, count, 0);
}

static const char *outcome_of(int error) {
  switch (error) {
    case ECONNREFUSED: return "refused";
    case ECONNRESET: return "reset";
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL: return "unreachable";
    case EAGAIN:
    case ETIMEDOUT: return "timeout";
    default: return "failed";
  }
}

static int report(const char *outcome, int error) {
  printf("{\"outcome\":\"%s\",\"error\":\"%s\"}\n", outcome, strerror(error));
  return 0;
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

static int probe(int argc, char **argv) {
  long timeout = 2000;
  if (argc > 2 && !strcmp(argv[0], "--timeout")) {
    timeout = number(argv[1], 60000);
    argc -= 2;
    argv += 2;
  }
  if (argc != 2) {
    fprintf(stderr, "usage: nettool probe [--timeout MS] IP PORT\n");
    return 2;
  }
  address target;
  int family = strchr(argv[0], ':') ? AF_INET6 : AF_INET, port = (int)number(argv[1], 65535);
  socklen_t length = make_address(&target, family, port);
  void *ip = family == AF_INET ? (void *)&((struct sockaddr_in *)&target)->sin_addr : (void *)&((struct sockaddr_in6 *)&target)->sin6_addr;
  if (inet_pton(family, argv[0], ip) != 1) {
    fprintf(stderr, "nettool: Cannot use \"%s\": an IP address is wanted\n", argv[0]);
    return 2;
  }
  long deadline = now_ms() + timeout;
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
  if (fd < 0) return report("unreachable", errno);
  if (connect(fd, (struct sockaddr *)&target, length)) {
    if (errno != EINPROGRESS) return report(outcome_of(errno), errno);
    if (!wait_for(fd, POLLOUT, deadline)) return report("timeout", ETIMEDOUT);
    length = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) return report(outcome_of(error), error);
  }
  char line[256];
  size_t size = 0;
  while (size < sizeof line - 1 && !memchr(line, '\n', size)) {
    if (!wait_for(fd, POLLIN, deadline)) return report("timeout", ETIMEDOUT);
    ssize_t got = recv(fd, line + size, sizeof line - 1 - size, 0);
    if (got < 0) return report(outcome_of(errno), errno);
    if (got == 0) break;
    size += (size_t)got;
  }
  /* The answer may come from anybody: only plain characters go into the JSON line. */
  size_t kept = 0;
  for (size_t i = 0; i < size; i++)
    if (line[i] >= ' ' && line[i] < 127 && line[i] != '"' && line[i] != '\\') line[kept++] = line[i];
  line[kept] = 0;
  printf("{\"outcome\":\"answered\",\"answer\":\"%s\"}\n", line);
  return 0;
}

static int pause_forever(void) {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGINT);
  sigaddset(&watched, SIGCHLD);
  sigprocmask(SIG_BLOCK, &watched, NULL);
  for (int signal; !sigwait(&watched, &signal);) {
    if (signal != SIGCHLD) return 0;
    while (waitpid(-1, NULL, WNOHANG) > 0) {}
  }
  return 1;
}

static void enter_netns(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET)) fail("enter network namespace", path);
  close(fd);
}

int main(int argc, char **argv) {
  long uid = -1, gid = -1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (argc--, argv++; argc > 1 && !strncmp(argv[0], "--", 2); argc -= 2, argv += 2) {
    if (!strcmp(argv[0], "--netns")) enter_netns(argv[1]);
    else if (!strcmp(argv[0], "--uid")) uid = number(argv[1], 0x7fffffff);
    else if (!strcmp(argv[0], "--gid")) gid = number(argv[1], 0x7fffffff);
    else break;
  }
  if (gid >= 0 && setresgid((gid_t)gid, (gid_t)gid, (gid_t)gid)) fail("become", "the group");
  if (uid >= 0 && setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid)) fail("become", "the user");
  const char *command = argc > 0 ? argv[0] : "";
  if (!strcmp(command, "pause")) return pause_forever();
  /* After setuid, which clears it: nothing here outlives the process that wanted to know. In a container (no parent
     that we could see) the parent is the runtime's starter, which always goes first. */
  if (getppid() != 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!strcmp(command, "sidecar")) sidecar(argc - 1, argv + 1);
  if (!strcmp(command, "ztunnel")) ztunnel();
  if (!strcmp(command, "serve") && argc > 1) application(argc - 1, argv + 1);
  if (!strcmp(command, "probe")) return probe(argc - 1, argv + 1);
  fprintf(stderr, "usage: nettool [--netns PATH] [--uid N] [--gid N] sidecar [--transparent] [--dns] [--owner UID:GID] | ztunnel | serve PORT[/udp|/http]... | probe IP PORT | pause\n");
  return 2;
}
