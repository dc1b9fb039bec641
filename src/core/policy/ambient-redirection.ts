// The annotation by which an ambient pod tells the mesh that it is in (contract 7.4, 9): istiod sends HBONE to exactly
// `enabled`. What it should be by what has been seen, and the patch that makes it so. Who sends the patch, and when, is not
// decided here.

/** Upstream's name and words (istio.io/api annotation.AmbientRedirection). */
export const REDIRECTION_ANNOTATION = "ambient.istio.io/redirection";

/** `pending`: the pod should be in and is not wholly; nobody but agents reads it. */
export type Redirection = "enabled" | "pending" | "none";

export interface RedirectionFacts {
  /** By policy. `unknown`: its namespace has not been seen; nothing is concluded. `over`: deleted or finished. */
  readonly wanted: "in" | "out" | "over" | "unknown";
  /** Of the rules in its namespace. `broken`: not as they should be, which may be none or some. `finishing`: they redirect
   * nothing new, and keep up what ztunnel has not finished. `unknown`: nobody has looked since something changed. */
  readonly rules: "stand" | "broken" | "finishing" | "absent" | "unknown";
  /** Of the ztunnel that gets new pods. `sent`: no word yet. `refused`: it is told again by itself. `absent`: it was never told,
   * or there is none. */
  readonly ztunnel: "acknowledged" | "sent" | "refused" | "absent";
  /** What the API shows. */
  readonly current: Redirection;
}

/** What a pod's annotation says; any other word than upstream's two is none. */
export function redirectionOf(annotations: Readonly<Record<string, string>>): Redirection {
  const value = annotations[REDIRECTION_ANNOTATION];
  return value === "enabled" || value === "pending" ? value : "none";
}

/**
 * What the annotation should be. `enabled` is claimed for rules that stand and a ztunnel that has acknowledged, and not
 * otherwise. A claim made is taken back when either is known to be gone, not while one is only out of sight: a ztunnel that
 * restarts comes back with the same pods, and taking back and claiming anew would make istiod reconsider each of them twice.
 */
export function decideRedirection({ wanted, rules, ztunnel, current }: RedirectionFacts): Redirection {
  if (wanted === "unknown") return current;
  if (wanted !== "in") return "none";
  if (rules === "stand" && ztunnel === "acknowledged") return "enabled";
  const isDenied = (rules !== "stand" && rules !== "unknown") || ztunnel === "refused";
  if (current === "enabled") return isDenied ? "pending" : "enabled";
  // Rules that stand without ztunnel hold the pod's traffic: whoever looks at the pod should see that it is waiting.
  return rules === "stand" ? "pending" : current;
}

/** A merge patch (RFC 7396) of the pod's `status` subresource, which is all that the chart lets an agent patch. */
export function redirectionPatch(value: Redirection): {
  readonly metadata: { readonly annotations: Readonly<Record<string, string | null>> };
} {
  return { metadata: { annotations: { [REDIRECTION_ANNOTATION]: value === "none" ? null : value } } };
}
