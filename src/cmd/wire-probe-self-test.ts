// Joins the self-test of the probes' way with the node, its pods and those who are told. Part of wire-ambient.ts.

import { randomBytes } from "node:crypto";
import { createProbeSelfTest, type ProbeSelfTest, type SelfTestPod } from "../agent/ambient/probe-self-test.ts";
import { tryProbePath } from "../agent/ambient/try-probe-path.ts";
import type { EventRecorder } from "../agent/events/event-recorder.ts";
import { FAMILIES } from "../core/address.ts";
import type { Pod } from "../core/kube/pod.ts";
import type { Logger } from "../core/log.ts";
import type { AgentMetrics } from "../core/metrics/agent-metrics.ts";
import type { AmbientHost } from "../core/rules/ambient-host.ts";
import type { PodCapture } from "../core/rules/pod-capture.ts";
import type { SystemClock } from "../platform/clock.ts";
import { openNetlink } from "../platform/linux/netlink-socket.ts";
import type { Poller } from "../platform/linux/poller.ts";
import { connectTcp, listenTcp } from "../platform/linux/tcp-socket.ts";
import type { WiredHostProbes } from "./wire-host-probes.ts";

export interface ProbeSelfTestInput {
  readonly host: AmbientHost;
  readonly hostProbes: Pick<WiredHostProbes, "book" | "netns">;
  /** In the mesh, all of it done. */
  readonly enrolled: () => readonly {
    readonly podUid: string;
    readonly podNamespace: string;
    readonly podName: string;
  }[];
  /** What stands in the pod's namespace, as last verified; undefined: nobody knows. */
  readonly standing: (podUid: string) => PodCapture | undefined;
  readonly podNetns: (podUid: string) => number | undefined;
  readonly ownPod: () => Pod | undefined;
  readonly recordEvent: EventRecorder["record"];
  readonly metrics: AgentMetrics;
  readonly clock: SystemClock;
  readonly poller: Poller;
  readonly log: Logger;
}

export function wireProbeSelfTest(input: ProbeSelfTestInput): ProbeSelfTest {
  const { host, hostProbes, metrics, clock, poller } = input;
  const deps = {
    ...{ listenTcp, connectTcp, openNetlink, clock },
    watch: poller.watch,
    randomBytes: (count: number) => new Uint8Array(randomBytes(count)),
  };
  const toldOf = new Set<4 | 6>();
  return createProbeSelfTest(
    {
      pods: () =>
        input.enrolled().flatMap(({ podUid: uid, podNamespace: namespace, podName: name }): SelfTestPod[] => {
          const capture = input.standing(uid);
          // Where inbound traffic is not captured, probes need no exemption.
          if (capture?.mode !== "ambient" || !capture.captureInbound) return [];
          const ips = hostProbes.book.listed(uid).filter(({ family }) => capture.families[`v${family}`]);
          return [{ uid, namespace, name, ips }];
        }),
      netns(podUid) {
        const node = hostProbes.netns();
        if (typeof node === "string") return node;
        const pod = input.podNetns(podUid);
        return pod === undefined ? "the pod's network namespace is not known" : { pod, node };
      },
      tryPath: (path, signal) => tryProbePath(deps, path, signal),
      clock,
      wallMs: Date.now,
      log: input.log,
      count: (family, result, pods) => metrics.probeSelfTest.set({ family: `ipv${family}`, result }, pods),
      // On the agent's own pod: it is about the node. kubelet's Events tell each pod of its own failing probes.
      changed(family, { verdict }, message) {
        const pod = input.ownPod();
        const isWrong = verdict === "fails" || verdict === "partly";
        if (pod === undefined || (!isWrong && !(verdict === "works" && toldOf.has(family)))) return;
        if (isWrong) toldOf.add(family);
        else toldOf.delete(family);
        const [type, reason] = isWrong
          ? (["Warning", "ProbePathBroken"] as const)
          : (["Normal", "ProbePathWorks"] as const);
        input.recordEvent({ pod, type, reason, message });
      },
    },
    { families: FAMILIES.filter((family) => host.families[`v${family}`]), probeSource: host.probeSource },
  );
}
