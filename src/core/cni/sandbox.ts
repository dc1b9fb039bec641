/**
 * A sandbox as the runtime tells of it, and what both modes answer where it cannot be captured. Which pod belongs to which mode
 * is core/policy.
 */
import type { IpAddress } from "../address.ts";
import { CniError } from "./cni-error.ts";

/** A sandbox that the runtime is making, or asks about. */
export interface Sandbox {
  readonly containerId: string;
  readonly podName: string;
  readonly podNamespace: string;
  /** As the runtime gave it; undefined where it gives none. */
  readonly podUid: string | undefined;
  readonly netnsFd: number;
  /** Undefined: this runtime passes no annotations. */
  readonly annotations: Readonly<Record<string, string>> | undefined;
  /** Addresses the plugins before us gave the pod. */
  readonly ips: readonly IpAddress[];
}

type Named = Pick<Sandbox, "podNamespace" | "podName">;

/** The pod as messages name it. */
export function podOf({ podNamespace, podName }: Named): string {
  return `${podNamespace}/${podName}`;
}

/** Rules in there would cut the node off. */
export function refuseOwnNetns(sandbox: Named): CniError {
  const state = "its network namespace is the node's or the agent's own";
  return new CniError("invalidNetns", `Cannot capture pod ${podOf(sandbox)}: ${state}`);
}

/** Which families to capture is told by its addresses. */
export function refuseWithoutAddress(sandbox: Named): CniError {
  const state = "its network namespace has no address beyond loopback and link-local";
  return new CniError("tryAgainLater", `Cannot capture pod ${podOf(sandbox)}: ${state}`, {
    details:
      "The primary CNI plugin has to give the pod an address before istio-cni runs: istio-cni belongs last in the chain.",
  });
}

/** The answer to CHECK; undefined: nothing differs. */
export function refuseDrift(sandbox: Named, drift: readonly string[]): CniError | undefined {
  const [first] = drift;
  if (first === undefined) return undefined;
  const message = `Pod ${podOf(sandbox)} is not captured as it should be: ${first}`;
  return new CniError("internal", message, { details: drift.join("; ") });
}

/** At the end of an ADD, before anything of it is kept: the plugin is gone, or its time is up, so the runtime's DEL may have
 * passed and found nothing. Undefined: somebody takes the answer, also that of an agent that ends.
 * @param signal its reason is a RequestEnd (agent/plugin-api/plugin-server.ts). */
export function refuseGivenUp(
  sandbox: Named,
  { aborted, reason }: { readonly aborted: boolean; readonly reason: unknown },
): CniError | undefined {
  if (!aborted || reason === "agent-ends") return undefined;
  return new CniError("tryAgainLater", `Cannot start pod ${podOf(sandbox)}: the runtime has given its sandbox up`);
}
