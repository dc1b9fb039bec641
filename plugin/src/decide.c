/*
 * The decision. See decide.h.
 */
#include "decide.h"

#include "json.h"

/* The DaemonSet's name in upstream's chart, with the dash before the pod's own suffix. */
#define OWN_POD_PREFIX "istio-cni-node-"

/* Written by istio's sidecar injector into every pod that it has changed. */
#define SIDECAR_STATUS "sidecar.istio.io/status"

static bool is_own_agent(const struct cni_args *args, const struct netconf *netconf)
{
	return slice_starts_with(args->pod_name, OWN_POD_PREFIX) && netconf->pod_namespace.size > 0 &&
	       json_string_is(netconf->pod_namespace, args->pod_namespace);
}

/* Whether an array of strings, absent when its size is 0, has that namespace. */
static bool is_among(struct slice namespaces, struct slice namespace)
{
	struct json_walk walk;
	struct slice name;

	if (namespaces.size == 0)
		return false;
	walk = json_walk(namespaces);
	while (json_next_item(&walk, &name))
		if (json_string_is(name, namespace))
			return true;
	return false;
}

/* The runtime told the annotations, and the injector's is not among them. */
static bool is_without_sidecar(const struct netconf *netconf)
{
	struct slice status;

	return netconf->pod_annotations.size > 0 && !json_member(netconf->pod_annotations, SIDECAR_STATUS, &status);
}

enum decision decide(const struct cni_args *args, const struct netconf *netconf)
{
	if (args->pod_name.size == 0 || args->pod_namespace.size == 0)
		return PASS_NOT_KUBERNETES;

	/* Before everything else: the agent's pod must start on a node on which nothing of the agent works. */
	if (is_own_agent(args, netconf))
		return PASS_OWN_AGENT;
	if (is_among(netconf->exclude_namespaces, args->pod_namespace))
		return PASS_EXCLUDED_NAMESPACE;

	/* In ambient mode labels decide too, and runtimes do not pass labels. */
	if (!netconf->ambient_enabled && is_without_sidecar(netconf))
		return PASS_NO_SIDECAR;
	return ASK_AGENT;
}

enum decision decide_unanswered(const struct cni_args *args, const struct netconf *netconf, const struct state *state)
{
	if (is_among(state->excluded_namespaces, args->pod_namespace))
		return PASS_EXCLUDED_NAMESPACE;

	/* Conflist and state file have to agree on the mode: between them may lie the change of it. */
	if (netconf->ambient_enabled && state->is_ambient && !state->is_strict && state->knows_enrollment &&
	    is_without_sidecar(netconf) && !is_among(state->enrolling_namespaces, args->pod_namespace) &&
	    !is_among(state->pod_enrolling_namespaces, args->pod_namespace))
		return PASS_NEVER_ENROLLED;
	return ASK_AGENT;
}
