// The handle on an API stand-in that runs beside us (stand-in-process.ts): where it is, its pods, what it was asked.
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { AgentApiServer } from "../testbed/node/agent.ts";

export interface StandInSetup {
  readonly host: string;
  readonly nodeName: string;
  readonly namespace: string;
  /** The pods have no address yet and their containers wait. */
  readonly starting: boolean;
  /** How many pods of each kind, about 9 kB of JSON each with a sidecar; `dual`: a proxy with ISTIO_DUAL_STACK; `ambient`: in
   * ambient mode by their label; `resident`: the same, and running whatever `starting` says. */
  readonly pods: Readonly<Partial<Record<PodKind, number>>>;
}

export type PodKind = "plain" | "sidecar" | "dual" | "ambient" | "resident";

export interface StandInPod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** Of pods in ambient mode: what they get, each its own, v4 first. */
  readonly ips: readonly string[];
}

export interface StandInAccess extends AgentApiServer {
  readonly kubeconfig: string;
  readonly pods: readonly StandInPod[];
}

export type StandInRequest = "requests" | "clear" | { readonly renew: readonly string[] };

export interface StandIn extends StandInAccess, AsyncDisposable {
  /** A pod by its name, `plain-0`, `sidecar-0`, ... @throws {Error} when there is none. */
  pod(name: string): StandInPod;
  /** "verb resource" of every request since the start or the last clear. */
  requests(): Promise<readonly string[]>;
  clearRequests(): Promise<void>;
  /** Deletes these pods and makes others of the same names, with new UIDs, as a controller does. */
  renew(names: readonly string[]): Promise<void>;
}

/** Whether an ADD may have waited for a request: Events are written later, by whoever verifies (that a family of the pod
 * passes by its proxy, once per pod), and so is what else is known to come after the answer. */
export function isForAdd(request: string, afterwards: readonly string[] = []): boolean {
  return request !== "create events" && !afterwards.includes(request);
}

/** Starts one; it ends with `dispose` or with this process. @throws {Error} when it does not come up. */
export async function startStandIn(setup: StandInSetup): Promise<StandIn> {
  const child = fork(join(import.meta.dirname, "stand-in-process.ts"), [JSON.stringify(setup)]);
  const exited = once(child, "exit");
  const next = async (): Promise<unknown> => {
    const gone = exited.then(([status]): never => {
      throw new Error(`Cannot use the API stand-in: it ended with ${status}`);
    });
    return (await Promise.race([once(child, "message"), gone]))[0];
  };
  const ask = (request: StandInRequest): Promise<unknown> => {
    const answer = next();
    child.send(request);
    return answer;
  };
  // The other side of the channel is our own file: its messages are what it declares.
  const access = (await next()) as StandInAccess;
  const pods = new Map(access.pods.map((pod) => [pod.name, pod]));
  return {
    ...access,
    pod(name) {
      const found = pods.get(name);
      if (found === undefined) throw new Error(`Cannot use pod ${name}: the stand-in has ${pods.size} others`);
      return found;
    },
    requests: async () => (await ask("requests")) as readonly string[],
    clearRequests: async () => void (await ask("clear")),
    async renew(names) {
      for (const pod of (await ask({ renew: names })) as readonly StandInPod[]) pods.set(pod.name, pod);
    },
    async [Symbol.asyncDispose]() {
      child.disconnect();
      await exited;
    },
  };
}
