/*
 * What the plugin can prove about a pod by itself. Pure: the request in, a decision out.
 * "Unknown" is never read as "not in the mesh": what is not proven here is asked of the agent.
 */
#ifndef DECIDE_H
#define DECIDE_H

#include "env.h"
#include "netconf.h"
#include "state.h"

enum decision {
	ASK_AGENT,
	PASS_NOT_KUBERNETES,
	PASS_OWN_AGENT,
	PASS_EXCLUDED_NAMESPACE,
	PASS_NO_SIDECAR,
	PASS_NEVER_ENROLLED,
};

enum decision decide(const struct cni_args *args, const struct netconf *netconf);

/*
 * What the state file adds for a pod about which decide() said ASK_AGENT while nobody answers:
 * PASS_EXCLUDED_NAMESPACE, which needs no waiting for the agent;
 * PASS_NEVER_ENROLLED, which counts only once the waiting was in vain (docs/adr/0008): an ambient pod without sidecar in a
 * namespace of which no pod was ever enrolled;
 * ASK_AGENT for all others: they wait, and are refused.
 */
enum decision decide_unanswered(const struct cni_args *args, const struct netconf *netconf, const struct state *state);

#endif
