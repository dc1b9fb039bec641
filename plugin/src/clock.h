/*
 * Monotonic time in milliseconds. Deadlines are points of this clock.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t clock_now_ms(void);
void clock_sleep_ms(int64_t ms);

/*
 * Waits until the descriptor is ready for the events of poll(2), or has failed or ended.
 * False when the deadline has passed; a deadline in the past still finds what is ready now.
 */
bool clock_wait_ready(int fd, short events, int64_t deadline_ms);

#endif
