/*
 * One connection to the agent's socket: connect, send a frame with a descriptor, receive a frame. All by deadline.
 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdint.h>

#include "frame.h"

enum connection_outcome {
	CONNECTION_DONE,
	CONNECTION_TIMED_OUT,
	CONNECTION_PEER_GONE, /* ended before the first byte of an answer */
	CONNECTION_BROKEN,    /* an answer that ends in its middle, is too large or is no frame */
};

/* A connected descriptor, or -1 with errno: ENOENT, ECONNREFUSED and EAGAIN mean that nobody listens (yet). */
int connection_open(const char *socket_path);

/* Sends the frame, and with its first byte the descriptor when it is not -1. The frame's pieces are used up. */
enum connection_outcome connection_send(int connection, struct frame *frame, int descriptor, int64_t deadline_ms);

/* The frame of the answer; its payload stays valid until the next call. */
enum connection_outcome connection_receive(int connection, struct frame_header *header, struct slice *payload,
					   int64_t deadline_ms);

#endif
