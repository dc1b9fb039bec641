// For tests: what agents decided on pods, as agent/pod-records knows it, with inodes for identities.
import type { StartedWith } from "../src/agent/verify/desired-capture.ts";
import type { VerifierDeps } from "../src/agent/verify/verifier.ts";

export class FakeDecisions {
  /** By pod UID: what holds for the pod's sandbox. */
  readonly decided = new Map<string, StartedWith>();
  /** What an agent before this one has left, and for which namespace. */
  readonly left = new Map<string, StartedWith & { readonly ino: bigint }>();
  /** What was told, in order: "web out (annotations)", "web in (add, in place)". */
  readonly kept: string[] = [];
  /** The kernel does not answer. */
  isMute = false;

  readonly deps: VerifierDeps["decisions"] = {
    get: (uid) => this.decided.get(uid),
    unproven: (uid) => this.left.get(uid),
    prove: (uid, { ino }) => {
      const left = this.left.get(uid);
      if (left === undefined || this.isMute) return;
      this.left.delete(uid);
      if (left.ino === ino) this.decided.set(uid, left);
    },
    keep: (pod, decision) => {
      const { capture, decidedBy, wasInPlace } = decision;
      const words = [decidedBy, ...(wasInPlace ? ["in place"] : [])];
      this.kept.push(`${pod.name} ${capture === undefined ? "out" : "in"} (${words.join(", ")})`);
    },
  };
}
