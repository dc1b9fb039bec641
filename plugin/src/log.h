/*
 * Log lines: one JSON object a line on stderr, and only when something is wrong or worth knowing.
 * Runtimes keep stderr or drop it; nothing may depend on it.
 */
#ifndef LOG_H
#define LOG_H

#include "slice.h"

/* What every later line says about the request. The texts are kept by reference. */
void log_about(struct slice pod_namespace, struct slice pod_name, const char *container_id);

void log_info(const char *message);
void log_warn(const char *message);

/* A line that the agent asks the plugin to print. It becomes the message of a line of our own form. */
void log_from_agent(struct slice message);

#endif
