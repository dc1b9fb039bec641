/*
 * ztunnel [--socket PATH] [--dns] [--tunnel] [--no-proxy] [--answers] [--no-reuse-port] [--ready-port N]
 *
 * Long because every program of the testbed is one file: compile.ts makes one program of one source.
 * In order: addresses and sockets; connections; one pod's proxy; what ztunnel knows; messages; the conversation.
 *
 * Stands in for Istio's ztunnel on a node: takes pods from the node agent by ZDS, as strictly as the real one (facts from
 * ztunnel src/inpod and src/proxy at 1.30.3), and proxies their TCP for real, from listeners in each pod's namespace.
 * HBONE, identities and policy are not here: outbound connections go on to their original destination in plain text, or
 * with --tunnel through the destination's port 15008 by one line "CONNECT ip:port".
 *
 *   --socket PATH      the agent's socket; /var/run/ztunnel/ztunnel.sock unless told
 *   --dns              listen on 15053 of loopback, TCP and UDP, too; answers "ztunnel 15053"
 *   --no-proxy         acknowledges without a proxy: nothing is done in the pod's namespace, nobody listens there
 *   --answers          takes connections and goes nowhere with them: tells who took them, "captured PORT orig=ip:port", as the
 *                      sidecar's stand-in does, so that whoever asks sees it
 *   --no-reuse-port    two of them cannot overlap then: a pod's proxy does not start while another listens
 *   --ready-port N     tells GET /healthz/ready over HTTP on that port; 0 takes any and names it in the first line
 *
 * One JSON object a line on stdout. One process for each pod, in that pod's network namespace, and below it one for each
 * connection: to stop a pod is to kill its group, as abruptly as the real one does. SIGTERM drains: listeners are closed,
 * connections may end by themselves for a while.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ORIGINAL_DST 80 /* uapi/linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h */
#define ZTUNNEL_MARK 1337
#define MESSAGE_BYTES 1024 /* the real one's read buffer */
#define MAX_PODS 2048
#define RETRY_MS 5000
#define DRAIN_SECONDS 5
#define CONNECT_SECONDS 10
#define NO_PROXY ((pid_t)-1)
enum { OUTBOUND = 15001, INBOUND = 15006, HBONE = 15008, DNS = 15053, SOCKS = 15080 };

typedef struct sockaddr_storage address;

struct pod {
  char uid[MESSAGE_BYTES], name[MESSAGE_BYTES], namespace[MESSAGE_BYTES];
  int netns;     /* ours to close */
  pid_t process; /* 0: its proxy could not be started and is tried again; NO_PROXY: it has none */
  int is_in_snapshot;
};

static const char *socket_path = "/var/run/ztunnel/ztunnel.sock";
static int with_dns, with_tunnel, with_proxy = 1, with_answers, reuse_port = 1;
static struct pod *pods[MAX_PODS];
static size_t pod_count;
static int is_connected, has_snapshot;
static sigset_t no_signals;

static _Noreturn void fail(const char *action, const char *object) {
  fprintf(stderr, "ztunnel: Cannot %s %s: %s\n", action, object, strerror(errno));
  exit(1);
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Text from outside, for a JSON string: plain characters only. */
static const char *plain(const char *text) {
  static char buffers[4][MESSAGE_BYTES];
  static unsigned turn;
  char *kept = buffers[turn++ % 4];
  size_t length = 0;
  for (; *text && length < MESSAGE_BYTES - 1; text++)
    if (*text >= ' ' && *text < 127 && *text != '"' && *text != '\\') kept[length++] = *text;
  kept[length] = 0;
  return kept;
}

/* ---- addresses and sockets ---- */

static int port_of(const address *a) {
  return ntohs(a->ss_family == AF_INET ? ((const struct sockaddr_in *)a)->sin_port : ((const struct sockaddr_in6 *)a)->sin6_port);
}

static void set_port(address *a, int port) {
  if (a->ss_family == AF_INET) ((struct sockaddr_in *)a)->sin_port = htons((uint16_t)port);
  else ((struct sockaddr_in6 *)a)->sin6_port = htons((uint16_t)port);
}

static socklen_t length_of(const address *a) {
  return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static int is_same_ip(const address *a, const address *b) {
  if (a->ss_family != b->ss_family) return 0;
  if (a->ss_family == AF_INET)
    return ((const struct sockaddr_in *)a)->sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
  return !memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr, 16);
}

static const char *text_of(const address *a) {
  static char buffers[4][80];
  static unsigned turn;
  char ip[INET6_ADDRSTRLEN] = "?", *text = buffers[turn++ % 4];
  if (a->ss_family == AF_INET) {
    inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, ip, sizeof ip);
    snprintf(text, 80, "%s:%d", ip, port_of(a));
  } else {
    inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, ip, sizeof ip);
    snprintf(text, 80, "[%s]:%d", ip, port_of(a));
  }
  return text;
}

static void make_address(address *a, int family, int on_loopback, int port) {
  memset(a, 0, sizeof *a);
  a->ss_family = (sa_family_t)family;
  set_port(a, port);
  if (!on_loopback) return;
  if (family == AF_INET) ((struct sockaddr_in *)a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  else ((struct sockaddr_in6 *)a)->sin6_addr = in6addr_loopback;
}

/* "ip:port" or "[ip]:port". */
static int read_address(address *a, const char *text) {
  char ip[64];
  int port;
  int family = text[0] == '[' ? AF_INET6 : AF_INET;
  if (sscanf(text, family == AF_INET6 ? "[%63[^]]]:%d" : "%63[^:]:%d", ip, &port) != 2 || port < 1 || port > 65535) return -1;
  make_address(a, family, 0, port);
  void *target = family == AF_INET ? (void *)&((struct sockaddr_in *)a)->sin_addr : (void *)&((struct sockaddr_in6 *)a)->sin6_addr;
  return inet_pton(family, ip, target) == 1 ? 0 : -1;
}

static int set_flag(int fd, int level, int name) {
  int one = 1;
  return setsockopt(fd, level, name, &one, sizeof one);
}

static int make_transparent(int fd, int family) {
  return family == AF_INET ? set_flag(fd, IPPROTO_IP, IP_TRANSPARENT) : set_flag(fd, IPPROTO_IPV6, IPV6_TRANSPARENT);
}

/* Every socket of ztunnel carries the mark, listeners too: answers on what they accept then carry it as well. */
static int marked_socket(int family, int type) {
  int mark = ZTUNNEL_MARK, fd = socket(family, type | SOCK_CLOEXEC, 0);
  if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark)) {
    close(fd);
    return -1;
  }
  return fd;
}

struct listener {
  int fd, port, type;
};

/* -1 with errno; -2 where the kernel or the namespace has no such family. */
static int listen_on(int family, int type, int on_loopback, int port) {
  int fd = marked_socket(family, type | SOCK_NONBLOCK);
  if (fd < 0) return errno == EAFNOSUPPORT ? -2 : -1;
  if (type == SOCK_STREAM) set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
  if (reuse_port) set_flag(fd, SOL_SOCKET, SO_REUSEPORT);
  if (family == AF_INET6) set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
  if (!on_loopback) make_transparent(fd, family);
  address local;
  make_address(&local, family, on_loopback, port);
  if (!bind(fd, (struct sockaddr *)&local, length_of(&local)) && (type == SOCK_DGRAM || !listen(fd, 128))) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return error == EADDRNOTAVAIL ? -2 : -1; /* IPv6 switched off by sysctl */
}

/* ---- connections, each in a process of its own ---- */

static void copy(int from, int to) {
  char buffer[16384];
  for (;;) {
    ssize_t got = recv(from, buffer, sizeof buffer, 0);
    if (got <= 0) break;
    for (ssize_t sent = 0; sent < got;) {
      ssize_t count = send(to, buffer + sent, (size_t)(got - sent), MSG_NOSIGNAL);
      if (count < 0) {
        shutdown(from, SHUT_RD);
        return;
      }
      sent += count;
    }
  }
  shutdown(to, SHUT_WR);
}

/* Connects from inside the pod's namespace, under `source` unless that is the destination itself (the real one's way out
   for a pod that calls itself) or NULL. */
static int connect_to(const address *destination, const address *source) {
  int fd = marked_socket(destination->ss_family, SOCK_STREAM);
  if (fd < 0) return -1;
  struct timeval limit = {CONNECT_SECONDS, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (source && !is_same_ip(source, destination)) {
    address local = *source;
    set_port(&local, 0);
    set_flag(fd, IPPROTO_IP, IP_FREEBIND);
    if (local.ss_family == AF_INET6) set_flag(fd, IPPROTO_IPV6, IPV6_FREEBIND);
    if (make_transparent(fd, local.ss_family) || bind(fd, (struct sockaddr *)&local, length_of(&local))) goto refused;
  }
  if (!connect(fd, (const struct sockaddr *)destination, length_of(destination))) {
    limit.tv_sec = 0;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
  }
refused:;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* The line by which --tunnel names a destination; read byte by byte, as what follows belongs to the application. */
static int read_connect(int fd, address *destination) {
  char line[128];
  size_t length = 0;
  struct timeval limit = {CONNECT_SECONDS, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  while (length < sizeof line - 1 && recv(fd, line + length, 1, 0) == 1 && line[length] != '\n') length++;
  line[length] = 0;
  limit.tv_sec = 0;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (strncmp(line, "CONNECT ", 8)) return -1;
  return read_address(destination, line + 8);
}

static int connect_outbound(const address *destination, const char **way) {
  if (with_tunnel) {
    address gate = *destination;
    set_port(&gate, HBONE);
    int fd = connect_to(&gate, NULL);
    if (fd >= 0) {
      *way = "tunnel";
      dprintf(fd, "CONNECT %s\n", text_of(destination));
      return fd;
    }
  }
  *way = "direct";
  return connect_to(destination, NULL);
}

static void original_destination(int fd, address *destination) {
  address translated = {0};
  socklen_t length = sizeof *destination;
  getsockname(fd, (struct sockaddr *)destination, &length);
  length = sizeof translated;
  int level = destination->ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  if (!getsockopt(fd, level, ORIGINAL_DST, &translated, &length)) *destination = translated;
}

/* A few bytes into an empty buffer: nobody is waited for. */
static void tell_who_took(int fd, int port) {
  address destination = {0};
  original_destination(fd, &destination);
  if (dprintf(fd, "captured %d orig=%s\n", port, text_of(&destination)) > 0) shutdown(fd, SHUT_WR);
}

static _Noreturn void serve_connection(const struct pod *pod, int fd, int port) {
  address peer = {0}, local = {0}, destination = {0};
  socklen_t length = sizeof peer;
  const char *way = "direct", *direction = port == OUTBOUND ? "outbound" : port == HBONE ? "hbone" : "inbound";
  int onward = -1, is_told = 1;
  getpeername(fd, (struct sockaddr *)&peer, &length);
  length = sizeof local;
  getsockname(fd, (struct sockaddr *)&local, &length);
  destination = local;
  if (port == HBONE) {
    is_told = !read_connect(fd, &destination) && is_same_ip(&destination, &local);
  } else original_destination(fd, &destination);
  int to = port_of(&destination);
  const char *result = "forwarded";
  if (!is_told) result = "no destination";
  else if (to == OUTBOUND || to == INBOUND || to == HBONE) result = "self call";
  else {
    onward = port == OUTBOUND ? connect_outbound(&destination, &way) : connect_to(&destination, &peer);
    if (onward < 0) result = strerror(errno);
  }
  printf("{\"event\":\"connection\",\"uid\":\"%s\",\"pod\":\"%s\",\"direction\":\"%s\",\"peer\":\"%s\",\"destination\":\"%s\",\"way\":\"%s\",\"result\":\"%s\"}\n",
         plain(pod->uid), plain(pod->name), direction, text_of(&peer), text_of(&destination), way, result);
  fflush(stdout);
  if (onward < 0) {
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    _exit(0);
  }
  pid_t back = fork();
  if (back == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    copy(onward, fd);
    _exit(0);
  }
  copy(fd, onward);
  while (back > 0 && waitpid(back, NULL, 0) < 0 && errno == EINTR) {}
  _exit(0);
}

/* ---- one pod's proxy, a process in the pod's network namespace ---- */

static volatile sig_atomic_t is_draining;
static void on_term(int signal) { is_draining = signal; }

static void answer_dns(const struct listener *listener) {
  static const char answer[] = "ztunnel 15053\n";
  char question[512];
  address peer = {0};
  socklen_t length = sizeof peer;
  if (listener->type == SOCK_DGRAM) {
    if (recvfrom(listener->fd, question, sizeof question, MSG_DONTWAIT, (struct sockaddr *)&peer, &length) >= 0)
      sendto(listener->fd, answer, sizeof answer - 1, MSG_DONTWAIT, (struct sockaddr *)&peer, length);
    return;
  }
  int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  if (send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) > 0) shutdown(fd, SHUT_WR);
  close(fd);
}

static void accept_one(const struct pod *pod, const struct listener *listener, const struct listener *all, size_t count) {
  if (listener->port == DNS) {
    answer_dns(listener);
    return;
  }
  int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  if (with_answers) tell_who_took(fd, listener->port);
  else if (listener->port != SOCKS && fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, &no_signals, NULL);
    for (size_t i = 0; i < count; i++) close(all[i].fd);
    serve_connection(pod, fd, listener->port);
  }
  close(fd);
}

/* Never returns. Tells by `report` how the start went: nothing but its end is success, a text is what failed. */
static _Noreturn void proxy(const struct pod *pod, int report) {
  static const struct { int port, type, on_loopback; } WANTED[] = {
      {OUTBOUND, SOCK_STREAM, 0}, {INBOUND, SOCK_STREAM, 0}, {HBONE, SOCK_STREAM, 0},
      {SOCKS, SOCK_STREAM, 1},    {DNS, SOCK_STREAM, 1},     {DNS, SOCK_DGRAM, 1}};
  struct listener listeners[12];
  struct pollfd fds[12];
  size_t count = 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setpgid(0, 0);
  if (setns(pod->netns, CLONE_NEWNET)) {
    dprintf(report, "enter the namespace: %s", strerror(errno));
    _exit(1);
  }
  for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++) {
    if (WANTED[i].port == DNS && !with_dns) continue;
    for (int family = AF_INET;; family = AF_INET6) {
      int fd = listen_on(family, WANTED[i].type, WANTED[i].on_loopback, WANTED[i].port);
      if (fd == -1) {
        dprintf(report, "bind port %d: %s", WANTED[i].port, strerror(errno));
        _exit(1);
      }
      if (fd >= 0) listeners[count++] = (struct listener){fd, WANTED[i].port, WANTED[i].type};
      if (family == AF_INET6 || WANTED[i].port == SOCKS) break;
    }
  }
  signal(SIGCHLD, SIG_IGN); /* connections end unwatched */
  struct sigaction action = {.sa_handler = on_term};
  sigaction(SIGTERM, &action, NULL);
  close(report);
  for (size_t i = 0; i < count; i++) fds[i] = (struct pollfd){listeners[i].fd, POLLIN, 0};
  sigset_t blocked;
  sigprocmask(SIG_SETMASK, NULL, &blocked);
  while (!is_draining) {
    if (ppoll(fds, count, NULL, &no_signals) < 0) continue;
    for (size_t i = 0; i < count; i++)
      if (fds[i].revents) accept_one(pod, &listeners[i], listeners, count);
  }
  for (size_t i = 0; i < count; i++) close(listeners[i].fd);
  signal(SIGCHLD, SIG_DFL);
  sigprocmask(SIG_SETMASK, &no_signals, NULL);
  alarm(DRAIN_SECONDS); /* ends this process, and by that its connections */
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
  _exit(0);
}

/* NULL: it listens. Otherwise why it does not. */
static const char *start_proxy(struct pod *pod) {
  static char problem[256];
  int channel[2];
  if (!with_proxy) {
    pod->process = NO_PROXY;
    return NULL;
  }
  if (pipe2(channel, O_CLOEXEC)) return strerror(errno);
  pid_t child = fork();
  if (child == 0) {
    close(channel[0]);
    proxy(pod, channel[1]);
  }
  close(channel[1]);
  ssize_t length = child < 0 ? snprintf(problem, sizeof problem, "fork: %s", strerror(errno))
                             : read(channel[0], problem, sizeof problem - 1);
  close(channel[0]);
  if (length == 0) {
    pod->process = child;
    return NULL;
  }
  problem[length < 0 ? 0 : length] = 0;
  if (child > 0) waitpid(child, NULL, 0);
  return problem;
}

static void stop_proxy(struct pod *pod) {
  if (pod->process <= 0) { /* kill(-1) would be everybody */
    pod->process = 0;
    return;
  }
  kill(-pod->process, SIGKILL);
  kill(pod->process, SIGKILL);
  waitpid(pod->process, NULL, 0);
  pod->process = 0;
}

/* ---- what ztunnel knows (statemanager.rs) ---- */

static struct pod *find(const char *uid) {
  for (size_t i = 0; i < pod_count; i++)
    if (!strcmp(pods[i]->uid, uid)) return pods[i];
  return NULL;
}

static void forget(struct pod *pod) {
  for (size_t i = 0; i < pod_count; i++)
    if (pods[i] == pod) pods[i] = pods[--pod_count];
  stop_proxy(pod);
  close(pod->netns);
  free(pod);
}

static int is_same_netns(int a, int b) {
  struct stat left, right;
  return !fstat(a, &left) && !fstat(b, &right) && left.st_ino == right.st_ino && left.st_dev == right.st_dev;
}

static int has_pending(void) {
  for (size_t i = 0; i < pod_count; i++)
    if (!pods[i]->process) return 1;
  return 0;
}

static int is_ready(void) { return is_connected && has_snapshot && !has_pending(); }

static void begin_connection(void) {
  is_connected = 1;
  has_snapshot = 0;
  for (size_t i = pod_count; i-- > 0;) {
    pods[i]->is_in_snapshot = 0;
    if (!pods[i]->process) forget(pods[i]);
  }
}

static void retry_pending(void) {
  for (size_t i = 0; i < pod_count; i++) {
    if (pods[i]->process) continue;
    const char *problem = start_proxy(pods[i]);
    printf("{\"event\":\"retry\",\"uid\":\"%s\",\"result\":\"%s\"}\n", plain(pods[i]->uid), problem ? plain(problem) : "ok");
  }
}

/* ---- messages (protobuf; field numbers of istio.workload.zds) ---- */

struct field {
  uint64_t number, value;
  const uint8_t *bytes; /* NULL but for wire type 2; `value` is the length then */
};

static int varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
  *value = 0;
  for (int shift = 0; shift < 70 && *at < end; shift += 7) {
    uint8_t byte = *(*at)++;
    if (shift < 64) *value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return 0;
  }
  return -1;
}

/* 1: a field; 0: the end; -1: no message. Groups are not accepted: nobody who is met here sends any. */
static int next_field(const uint8_t **at, const uint8_t *end, struct field *field) {
  uint64_t tag;
  if (*at == end) return 0;
  if (varint(at, end, &tag) || tag >> 3 == 0 || tag >> 32) return -1;
  *field = (struct field){.number = tag >> 3};
  size_t fixed = 0;
  switch (tag & 7) {
    case 0: return varint(at, end, &field->value) ? -1 : 1;
    case 1: fixed = 8; break;
    case 5: fixed = 4; break;
    case 2:
      if (varint(at, end, &field->value) || field->value > (uint64_t)(end - *at)) return -1;
      field->bytes = *at;
      *at += field->value;
      return 1;
    default: return -1;
  }
  if ((size_t)(end - *at) < fixed) return -1;
  *at += fixed;
  return 1;
}

static void take_text(char *text, const struct field *field) {
  memcpy(text, field->bytes, field->value);
  text[field->value] = 0;
}

enum kind { NOTHING = 0, ADD = 1, DEL = 2, SNAPSHOT_SENT = 3, KEEP = 5 };
struct request {
  enum kind kind;
  int has_info;
  char uid[MESSAGE_BYTES], name[MESSAGE_BYTES], namespace[MESSAGE_BYTES];
};

static int read_info(const struct field *info, struct request *request) {
  const uint8_t *at = info->bytes, *end = at + info->value;
  struct field field;
  int more;
  request->has_info = 1;
  while ((more = next_field(&at, end, &field)) > 0) {
    if (field.bytes && field.number == 1) take_text(request->name, &field);
    if (field.bytes && field.number == 2) take_text(request->namespace, &field);
  }
  return more;
}

static int read_request(const uint8_t *bytes, size_t length, struct request *request) {
  const uint8_t *at = bytes, *end = bytes + length;
  struct field field, body = {0};
  int more;
  memset(request, 0, sizeof *request);
  while ((more = next_field(&at, end, &field)) > 0)
    if (field.bytes && (field.number <= SNAPSHOT_SENT || field.number == KEEP)) body = field;
  if (more < 0 || !body.bytes) return -1;
  request->kind = (enum kind)body.number;
  at = body.bytes;
  end = at + body.value;
  uint64_t uid_field = request->kind == DEL ? 2 : 1;
  while ((more = next_field(&at, end, &field)) > 0) {
    if (!field.bytes || request->kind == SNAPSHOT_SENT) continue;
    if (field.number == uid_field) take_text(request->uid, &field);
    else if (request->kind == ADD && field.number == 2 && read_info(&field, request) < 0) return -1;
  }
  return more;
}

/* An Ack within a WorkloadResponse. */
static int answer(int fd, const char *error) {
  uint8_t bytes[MESSAGE_BYTES];
  size_t length = strlen(error), at = 0;
  if (length > 100) length = 100; /* lengths of one byte */
  bytes[at++] = 0x0a;
  bytes[at++] = (uint8_t)(length ? length + 2 : 0);
  if (length) {
    bytes[at++] = 0x0a;
    bytes[at++] = (uint8_t)length;
    memcpy(bytes + at, error, length);
    at += length;
  }
  return send(fd, bytes, at, MSG_NOSIGNAL) == (ssize_t)at ? 0 : -1;
}

/* ---- the conversation (protocol.rs, workloadmanager.rs) ---- */

/* What to answer: "" for done, NULL when the agent broke the protocol. `netns` is taken over. */
static const char *process(const struct request *request, int netns) {
  static char problem[320];
  struct pod *pod = find(request->uid);
  switch (request->kind) {
    case ADD:
      if (!request->has_info) {
        close(netns);
        return NULL;
      }
      if (pod && pod->process && is_same_netns(pod->netns, netns)) {
        close(netns);
        pod->is_in_snapshot |= !has_snapshot;
        return "";
      }
      if (pod) forget(pod);
      if (pod_count == MAX_PODS || !(pod = calloc(1, sizeof *pod))) fail("serve", "so many pods");
      strcpy(pod->uid, request->uid);
      strcpy(pod->name, request->name);
      strcpy(pod->namespace, request->namespace);
      pod->netns = netns;
      pod->is_in_snapshot = !has_snapshot;
      pods[pod_count++] = pod;
      const char *reason = start_proxy(pod);
      if (!reason) return "";
      snprintf(problem, sizeof problem, "failure to start proxy : %s", reason);
      return problem;
    case KEEP:
      if (has_snapshot) return NULL;
      if (pod) pod->is_in_snapshot = 1;
      return "";
    case DEL:
      if (pod && (has_snapshot || !pod->process)) forget(pod);
      else if (pod) pod->is_in_snapshot = 0;
      return "";
    case SNAPSHOT_SENT:
      if (has_snapshot) return NULL;
      has_snapshot = 1;
      for (size_t i = pod_count; i-- > 0;)
        if (!pods[i]->is_in_snapshot && pods[i]->process) forget(pods[i]);
      return "";
    default: return NULL;
  }
}

static const char *kind_name(enum kind kind) {
  return kind == ADD ? "add" : kind == DEL ? "del" : kind == KEEP ? "keep" : kind == SNAPSHOT_SENT ? "snapshot-sent" : "?";
}

enum next { READ_ON, CONNECT_ANEW, GIVE_UP };

/* One datagram with its descriptors; room for two, so that a second one is seen. */
static enum next receive(int fd) {
  uint8_t bytes[MESSAGE_BYTES];
  union {
    char space[CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct iovec content = {bytes, sizeof bytes};
  struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct request request = {0};
  int netns = -1, descriptors = 0;
  ssize_t length = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return READ_ON;
  if (length <= 0) return CONNECT_ANEW;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (part->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
      int received;
      memcpy(&received, CMSG_DATA(part) + i * sizeof(int), sizeof received);
      if (descriptors++ == 0) netns = received;
      else close(received);
    }
  }
  const char *problem = NULL;
  if (descriptors > 1) problem = "Expected 1 FD";
  else if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) problem = "received truncated message";
  else if (read_request(bytes, (size_t)length, &request)) problem = "no request";
  else if (request.kind == ADD && descriptors == 0) problem = "No control message";
  else if (request.kind != ADD && descriptors > 0) problem = "Unexpected control message";
  if (problem) {
    char error[128];
    snprintf(error, sizeof error, "failure to read message : %s", problem);
    printf("{\"event\":\"bad-message\",\"result\":\"%s\"}\n", error);
    if (netns >= 0) close(netns);
    answer(fd, error);
    return CONNECT_ANEW;
  }
  const char *error = process(&request, netns);
  printf("{\"event\":\"%s\",\"uid\":\"%s\",\"pod\":\"%s/%s\",\"result\":\"%s\",\"pods\":%zu,\"ready\":%s}\n", kind_name(request.kind),
         plain(request.uid), plain(request.namespace), plain(request.name), !error ? "protocol error" : *error ? plain(error) : "ok",
         pod_count, is_ready() ? "true" : "false");
  if (answer(fd, error ? error : "failure to process message : protocol error")) return CONNECT_ANEW;
  return error ? READ_ON : GIVE_UP;
}

static int connect_to_agent(void) {
  static const uint8_t hello[] = {0x08, 0x01};
  struct sockaddr_un agent = {.sun_family = AF_UNIX};
  strncpy(agent.sun_path, socket_path, sizeof agent.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("open a socket for", socket_path);
  if (!connect(fd, (struct sockaddr *)&agent, sizeof agent)) {
    begin_connection();
    printf("{\"event\":\"connected\"}\n");
    if (send(fd, hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello) return fd;
    is_connected = 0;
  }
  close(fd);
  return -1;
}

static int listen_for_readiness(int *port) {
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), family = AF_INET6;
  if (fd < 0) fd = socket(family = AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  address local;
  socklen_t length = sizeof local;
  make_address(&local, family, 0, *port);
  set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
  if (fd < 0 || bind(fd, (struct sockaddr *)&local, length_of(&local)) || listen(fd, 16)) fail("listen for", "readiness");
  getsockname(fd, (struct sockaddr *)&local, &length);
  *port = port_of(&local);
  return fd;
}

static void tell_readiness(int listener) {
  char request[1024];
  struct timeval limit = {1, 0};
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (recv(fd, request, sizeof request, 0) > 0)
    dprintf(fd, "HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", is_ready() ? "200 OK" : "503 Service Unavailable");
  close(fd);
}

static void reap(void) {
  int status;
  for (pid_t gone; (gone = waitpid(-1, &status, WNOHANG)) > 0;)
    for (size_t i = 0; i < pod_count; i++)
      if (pods[i]->process == gone) {
        printf("{\"event\":\"proxy-died\",\"uid\":\"%s\",\"status\":%d}\n", plain(pods[i]->uid), status);
        pods[i]->process = 0;
      }
}

static void drain(void) {
  printf("{\"event\":\"draining\",\"pods\":%zu}\n", pod_count);
  for (size_t i = 0; i < pod_count; i++)
    if (pods[i]->process > 0) kill(pods[i]->process, SIGTERM);
  for (size_t i = 0; i < pod_count; i++)
    if (pods[i]->process > 0) waitpid(pods[i]->process, NULL, 0);
  printf("{\"event\":\"drained\"}\n");
}

int main(int argc, char **argv) {
  int ready_port = -1, agent = -1;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--dns")) with_dns = 1;
    else if (!strcmp(argv[i], "--tunnel")) with_tunnel = 1;
    else if (!strcmp(argv[i], "--no-proxy")) with_proxy = 0;
    else if (!strcmp(argv[i], "--answers")) with_answers = 1;
    else if (!strcmp(argv[i], "--no-reuse-port")) reuse_port = 0;
    else if (!strcmp(argv[i], "--socket") && i + 1 < argc) socket_path = argv[++i];
    else if (!strcmp(argv[i], "--ready-port") && i + 1 < argc) ready_port = atoi(argv[++i]);
    else {
      fprintf(stderr, "ztunnel: Cannot use \"%s\": [--socket PATH] [--dns] [--tunnel] [--no-proxy] [--answers] [--no-reuse-port] [--ready-port N] is accepted\n", argv[i]);
      return 2;
    }
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  /* Nothing here outlives the process that wanted it; in a container the parent is the runtime's starter, which goes. */
  if (getppid() != 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGINT);
  sigaddset(&watched, SIGCHLD);
  sigprocmask(SIG_BLOCK, &watched, &no_signals);
  int signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  int readiness = ready_port >= 0 ? listen_for_readiness(&ready_port) : -1;
  long backoff = 10, connect_at = now_ms(), retry_at = 0;
  printf("{\"event\":\"started\",\"readyPort\":%d}\n", ready_port);
  for (;;) {
    if (agent < 0 && now_ms() >= connect_at) {
      agent = connect_to_agent();
      backoff = agent >= 0 ? 10 : backoff * 2 > 15000 ? 15000 : backoff * 2;
      connect_at = now_ms() + backoff;
    }
    if (!has_pending()) retry_at = 0;
    else if (!retry_at) retry_at = now_ms() + RETRY_MS;
    else if (now_ms() >= retry_at) {
      retry_pending();
      retry_at = now_ms() + RETRY_MS;
    }
    long due = agent < 0 ? connect_at : now_ms() + 60000;
    if (retry_at && retry_at < due) due = retry_at;
    long left = due - now_ms();
    struct pollfd fds[] = {{signals, POLLIN, 0}, {agent, POLLIN, 0}, {readiness, POLLIN, 0}};
    if (poll(fds, 3, left > 0 ? (int)left : 0) < 0) continue;
    struct signalfd_siginfo signal;
    while (read(signals, &signal, sizeof signal) == sizeof signal) {
      reap();
      if (signal.ssi_signo == SIGCHLD) continue;
      drain();
      return 0;
    }
    if (fds[2].revents) tell_readiness(readiness);
    if (agent < 0 || !fds[1].revents) continue;
    enum next next = receive(agent);
    if (next == READ_ON) continue;
    close(agent);
    agent = -1;
    is_connected = 0;
    connect_at = now_ms();
    printf("{\"event\":\"disconnected\"}\n");
    if (next == GIVE_UP) {
      drain();
      return 1;
    }
  }
}
