/*
 * The socket contract's frames (../CONTRACT.md, version 1): a header and type-length-value items, little-endian.
 * Bytes only: no socket, no waiting.
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "slice.h"

#define FRAME_VERSION 1
#define FRAME_HEADER_SIZE 16
#define FRAME_REQUEST_MAX (2u * 1024 * 1024)
#define FRAME_ANSWER_MAX (1024u * 1024)

enum frame_type { FRAME_REQUEST = 1, FRAME_ANSWER = 2, FRAME_VERSION_REFUSED = 3 };

enum frame_flag { FRAME_NO_ANSWER_WANTED = 1 };

enum request_key {
	REQUEST_COMMAND = 1,
	REQUEST_CONTAINER_ID,
	REQUEST_NETNS,
	REQUEST_IFNAME,
	REQUEST_ARGS,
	REQUEST_PATH,
	REQUEST_STDIN,
	REQUEST_PLUGIN_VERSION,
	REQUEST_REMAINING_MS,
	REQUEST_KEYS,
};

enum answer_key { ANSWER_EXIT_CODE = 1, ANSWER_STDOUT, ANSWER_LOG, ANSWER_KEYS };

enum version_refused_key { REFUSED_HIGHEST_VERSION = 1, REFUSED_KEYS };

struct frame_header {
	uint16_t version;
	uint16_t type;
	uint32_t payload_size;
	uint32_t flags;
};

/* A frame ready to be sent. Values are kept by reference; the pieces point into the object itself, so it must not be moved. */
struct frame {
	unsigned char header[FRAME_HEADER_SIZE];
	unsigned char item_heads[REQUEST_KEYS][8];
	struct iovec pieces[1 + 2 * REQUEST_KEYS];
	uint16_t piece_count; /* fits msg_iovlen, an int in musl and a size_t in glibc */
};

/* A request of the values, indexed by request_key; empty ones are left out. False when it exceeds FRAME_REQUEST_MAX. */
bool frame_build_request(struct frame *frame, const struct slice values[REQUEST_KEYS], uint32_t flags);

/* False when the magic is another. */
bool frame_parse_header(const unsigned char bytes[FRAME_HEADER_SIZE], struct frame_header *header);

/*
 * Fills values[1 .. keys - 1]; absent ones get .at == NULL, unknown keys are skipped.
 * False when an item reaches beyond the payload or a known key comes twice.
 */
bool frame_parse_items(struct slice payload, struct slice *values, unsigned keys);

/* A decimal number of 1 to 9 digits and nothing else. */
bool frame_parse_decimal(struct slice text, unsigned *number);

#endif
