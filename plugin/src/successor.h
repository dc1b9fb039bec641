/*
 * The file this process was started from may be replaced while it waits for an agent: by another version of ours, or by
 * upstream's plugin when the node is given back to upstream's agent, which knows nothing of our socket. The request is then
 * the new file's: this process becomes it, as if the runtime had started it.
 */
#ifndef SUCCESSOR_H
#define SUCCESSOR_H

#include "slice.h"

/* To be called first. Without an absolute argv[0], which every runtime gives, nothing is ever seen. */
void successor_watch(char *const argv[]);

/*
 * Becomes the file that lies where ours did, if that is another one and has been there for a while: an agent that
 * replaces it takes that long to put the rest beside it. Happens once in a row. It has the same environment and one variable
 * more, and request is its stdin. Returns when there is nothing to become, or it cannot be executed.
 */
void successor_take_over(struct slice request);

#endif
