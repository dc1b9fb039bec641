/*
 * backend-echo serve [--transparent] PORT...   answers every byte with "PORT\n", PORT being where it listens
 * backend-echo hold IP PORT                    one connection: asks for every line of its input, prints the answer
 * backend-echo hammer IP PORT                  new connections one after the other until its input ends, then one line:
 *                                              "PORT=COUNT ... failed=COUNT"
 *
 * Who answers tells whether a connection was captured. An answer that takes more than 3 s counts as none: a lost SYN is
 * sent again after 1 s. Ends when its input ends.
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
#include <sys/time.h>
#include <unistd.h>

#define MAX_SOCKETS 512
#define MAX_PORTS 65536

static int dial(const char *ip, int port) {
  struct sockaddr_storage address = {0};
  socklen_t length;
  struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
  if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    length = sizeof *v4;
  } else if (inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    length = sizeof *v6;
  } else {
    fprintf(stderr, "backend-echo: %s is no address\n", ip);
    exit(2);
  }
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval limit = {.tv_sec = 3};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd, (struct sockaddr *)&address, length) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

/* The port that answers one byte, -1 when nobody does. */
static int ask(int fd) {
  char answer[16] = {0};
  if (send(fd, "x", 1, MSG_NOSIGNAL) != 1) return -1;
  for (size_t have = 0; have < sizeof answer - 1; have++) {
    if (recv(fd, answer + have, 1, 0) != 1) return -1;
    if (answer[have] == '\n') return atoi(answer);
  }
  return -1;
}

static int hold(const char *ip, int port) {
  int fd = dial(ip, port);
  printf("%d\n", fd < 0 ? -1 : ask(fd));
  fflush(stdout);
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    printf("%d\n", fd < 0 ? -1 : ask(fd));
    fflush(stdout);
  }
  return 0;
}

static int hammer(const char *ip, int port) {
  static unsigned answers[MAX_PORTS];
  unsigned failed = 0;
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  for (unsigned round = 0; poll(&input, 1, 0) == 0; round++) {
    int fd = dial(ip, port);
    int answer = fd < 0 ? -1 : ask(fd);
    if (answer < 0) failed++;
    else answers[answer]++;
    if (fd >= 0) {
      struct linger reset = {.l_onoff = 1};
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
      close(fd);
    }
    if (round == 0) {
      printf("started\n");
      fflush(stdout);
    }
    usleep(200);
  }
  for (int at = 0; at < MAX_PORTS; at++)
    if (answers[at] > 0) printf("%d=%u ", at, answers[at]);
  printf("failed=%u\n", failed);
  return 0;
}

static int serve(int count, char **ports, int transparent) {
  struct pollfd sockets[MAX_SOCKETS] = {{.fd = STDIN_FILENO, .events = POLLIN}};
  int port_of[MAX_SOCKETS] = {0};
  nfds_t used = 1;
  int on = 1;
  for (int index = 0; index < count; index++) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(ports[index]))};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (transparent && setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on) != 0) perror("IP_TRANSPARENT");
    if (transparent && setsockopt(fd, SOL_IPV6, 75 /* IPV6_TRANSPARENT */, &on, sizeof on) != 0) perror("IPV6_TRANSPARENT");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 256) != 0) {
      fprintf(stderr, "backend-echo: cannot listen on %s: %s\n", ports[index], strerror(errno));
      return 1;
    }
    sockets[used] = (struct pollfd){.fd = fd, .events = POLLIN};
    port_of[used++] = -atoi(ports[index]);
  }
  printf("listening\n");
  fflush(stdout);
  for (;;) {
    if (poll(sockets, used, -1) < 0) return 1;
    if (sockets[0].revents != 0) return 0;
    for (nfds_t at = 1; at < used; at++) {
      if (sockets[at].revents == 0) continue;
      if (port_of[at] < 0) {
        int fd = accept4(sockets[at].fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && used < MAX_SOCKETS) {
          sockets[used] = (struct pollfd){.fd = fd, .events = POLLIN};
          port_of[used++] = -port_of[at];
        } else if (fd >= 0) close(fd);
        continue;
      }
      char byte;
      if (recv(sockets[at].fd, &byte, 1, 0) == 1) {
        char answer[16];
        int length = snprintf(answer, sizeof answer, "%d\n", port_of[at]);
        send(sockets[at].fd, answer, (size_t)length, MSG_NOSIGNAL);
      } else {
        close(sockets[at].fd);
        used--;
        sockets[at] = sockets[used];
        port_of[at] = port_of[used];
        at--;
      }
    }
  }
}

int main(int argc, char **argv) {
  if (argc >= 4 && strcmp(argv[1], "hold") == 0) return hold(argv[2], atoi(argv[3]));
  if (argc >= 4 && strcmp(argv[1], "hammer") == 0) return hammer(argv[2], atoi(argv[3]));
  if (argc >= 3 && strcmp(argv[1], "serve") == 0) {
    int transparent = strcmp(argv[2], "--transparent") == 0;
    return serve(argc - 2 - transparent, argv + 2 + transparent, transparent);
  }
  fprintf(stderr, "usage: backend-echo serve|hold|hammer ...\n");
  return 2;
}
