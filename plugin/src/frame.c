/*
 * Frames of the socket contract. See frame.h.
 */
#include "frame.h"

#define ITEM_HEAD_SIZE 8

static const unsigned char magic[4] = { 'I', 'C', 'N', 'I' };

static void put_u16(unsigned char *at, uint16_t value)
{
	at[0] = (unsigned char)(value & 0xff);
	at[1] = (unsigned char)(value >> 8);
}

static void put_u32(unsigned char *at, uint32_t value)
{
	put_u16(at, (uint16_t)(value & 0xffff));
	put_u16(at + 2, (uint16_t)(value >> 16));
}

static uint16_t get_u16(const unsigned char *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get_u32(const unsigned char *at)
{
	return get_u16(at) | (uint32_t)get_u16(at + 2) << 16;
}

/* sendmsg(2) only reads what an iovec points to, but its type cannot say so. */
static struct iovec piece_of(const void *at, size_t size)
{
	union {
		const void *read_only;
		void *writable;
	} pointer = { .read_only = at };

	return (struct iovec){ .iov_base = pointer.writable, .iov_len = size };
}

bool frame_build_request(struct frame *frame, const struct slice values[REQUEST_KEYS], uint32_t flags)
{
	size_t payload_size = 0;

	frame->piece_count = 0;
	frame->pieces[frame->piece_count++] = piece_of(frame->header, FRAME_HEADER_SIZE);
	for (uint16_t key = 1; key < REQUEST_KEYS; key++) {
		unsigned char *head = frame->item_heads[key];

		if (values[key].size == 0)
			continue;
		if (values[key].size > FRAME_REQUEST_MAX)
			return false;
		put_u16(head, key);
		put_u16(head + 2, 0);
		put_u32(head + 4, (uint32_t)values[key].size);
		frame->pieces[frame->piece_count++] = piece_of(head, ITEM_HEAD_SIZE);
		frame->pieces[frame->piece_count++] = piece_of(values[key].at, values[key].size);
		payload_size += ITEM_HEAD_SIZE + values[key].size;
	}
	if (payload_size > FRAME_REQUEST_MAX)
		return false;

	memcpy(frame->header, magic, sizeof(magic));
	put_u16(frame->header + 4, FRAME_VERSION);
	put_u16(frame->header + 6, FRAME_REQUEST);
	put_u32(frame->header + 8, (uint32_t)payload_size);
	put_u32(frame->header + 12, flags);
	return true;
}

bool frame_parse_header(const unsigned char bytes[FRAME_HEADER_SIZE], struct frame_header *header)
{
	if (memcmp(bytes, magic, sizeof(magic)) != 0)
		return false;
	*header = (struct frame_header){
		.version = get_u16(bytes + 4),
		.type = get_u16(bytes + 6),
		.payload_size = get_u32(bytes + 8),
		.flags = get_u32(bytes + 12),
	};
	return true;
}

bool frame_parse_items(struct slice payload, struct slice *values, unsigned keys)
{
	const unsigned char *at = (const unsigned char *)payload.at;
	size_t left = payload.size;

	for (unsigned key = 0; key < keys; key++)
		values[key] = (struct slice){ NULL, 0 };
	while (left > 0) {
		uint16_t key;
		uint32_t size;

		if (left < ITEM_HEAD_SIZE)
			return false;
		key = get_u16(at);
		size = get_u32(at + 4);
		at += ITEM_HEAD_SIZE;
		left -= ITEM_HEAD_SIZE;
		if (size > left)
			return false;
		if (key > 0 && key < keys) {
			if (values[key].at != NULL)
				return false;
			values[key] = (struct slice){ (const char *)at, size };
		}
		at += size;
		left -= size;
	}
	return true;
}

bool frame_parse_decimal(struct slice text, unsigned *number)
{
	if (text.size == 0 || text.size > 9)
		return false;
	*number = 0;
	for (size_t i = 0; i < text.size; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		*number = *number * 10 + (unsigned)(text.at[i] - '0');
	}
	return true;
}
