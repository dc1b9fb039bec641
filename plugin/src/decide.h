/*
 * What the plugin can prove about a pod by itself. Pure: the request in, a decision out.
 * "Unknown" is never read as "not in the mesh": what is not proven here is asked of the agent.
 */
#ifndef DECIDE_H
#define DECIDE_H

#include "env.h"
#include "netconf.h"

enum decision {
	ASK_AGENT,
	PASS_NOT_KUBERNETES,
	PASS_OWN_AGENT,
	PASS_EXCLUDED_NAMESPACE,
	PASS_NO_SIDECAR,
};

enum decision decide(const struct cni_args *args, const struct netconf *netconf);

#endif
