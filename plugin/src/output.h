/*
 * Writing to descriptors that take what they are given in pieces, slowly or not at all.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"

/* Waits for ever, so until answer_at_last()'s signal. */
#define OUTPUT_NO_DEADLINE INT64_MAX

/*
 * Writes all of it. False when the descriptor fails, or takes nothing until the deadline; what it took until then is written.
 * A blocking descriptor that takes a part may hold a write of more than PIPE_BUF bytes longer than that. Safe in a signal handler.
 */
bool output_write(int fd, struct slice bytes, int64_t deadline_ms);

#endif
