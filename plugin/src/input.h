/*
 * Standard input: the network configuration as the runtime writes it, bounded in size and time.
 */
#ifndef INPUT_H
#define INPUT_H

#include "slice.h"

#define INPUT_MAX (1024u * 1024)

/*
 * All of stdin. Ends with code 5 when it cannot be read or does not end within 10 seconds, with code 6 when it is
 * larger than INPUT_MAX. The bytes stay where they are until the process ends.
 */
struct slice input_read(void);

#endif
