// A node for the verifier within this process: pods in a list, their network namespaces, netfilter and its notifications real.

import type { VerificationRecord } from "../../src/agent/verify/verification-record.ts";
import { createVerifier, type Verifier } from "../../src/agent/verify/verifier.ts";
import type { Pod } from "../../src/core/kube/pod.ts";
import type { Logger } from "../../src/core/log.ts";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import type { RepairMode } from "../../src/core/policy/repair-decision.ts";
import { createSystemClock } from "../../src/platform/clock.ts";
import { dupNetns } from "../../src/platform/linux/dup-netns.ts";
import { setsockopt } from "../../src/platform/linux/libc.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { repairOptions, runningSidecarPod, SETTINGS } from "../../testbed/sidecar-samples.ts";
import { backendOf } from "./backend-fixture.ts";

const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
/** An interface with an address, and nobody behind it. */
const POD_NETWORK = `link add eth0 type veth peer name peer0
link set eth0 up
link set peer0 up
addr add 10.0.0.5/24 dev eth0
route add default dev eth0
`;
const DEADLINE_MS = 60_000;

export interface VerifiedNode extends AsyncDisposable {
  readonly verifier: Verifier;
  readonly backend: ReturnType<typeof backendOf>;
  /** Reason and message of each, oldest first. */
  readonly events: readonly { readonly reason: string; readonly message: string; readonly pod: string }[];
  readonly counted: readonly string[];
  /** A running pod with a namespace of its own, which holds an address and nothing else. */
  addPod(
    name: string,
    annotations?: Readonly<Record<string, string>>,
  ): { readonly pod: Pod; readonly netns: TestNetns };
  /** The API shows the pod again, unchanged. */
  touch(pod: Pod): void;
  /** The pod is gone from the API. */
  deletePod(pod: Pod): void;
  start(): void;
  /** Resolves when the pod's record satisfies the condition. */
  until(pod: Pod, condition: (record: VerificationRecord) => boolean): Promise<VerificationRecord>;
  /** Resolves when all of them do. */
  untilAll(pods: readonly Pod[], condition: (record: VerificationRecord) => boolean): Promise<void>;
}

/** A node whose timer does not fire within a test unless `intervalMs` says so. */
export function createVerifiedNode(
  options: { readonly dialect?: BackendDialect; readonly repair?: RepairMode; readonly intervalMs?: number } = {},
): VerifiedNode {
  const clock = createSystemClock();
  const dialect = options.dialect ?? "iptables-nft";
  const failures: unknown[] = [];
  const poller = createPoller((error) => void failures.push(error));
  const backend = backendOf(dialect);
  const pods = new Map<string, Pod>();
  const namespaces = new Map<string, TestNetns>();
  const listeners = new Set<(event: { type: "add" | "update" | "delete"; pod: Pod }) => void>();
  const events: { reason: string; message: string; pod: string }[] = [];
  const counted: string[] = [];
  const ending = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const log: Logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => log };
  const verifier = createVerifier(
    {
      pods: {
        get: (uid) => pods.get(uid),
        list: () => [...pods.values()],
        subscribe(listener) {
          listeners.add(listener);
          return { [Symbol.dispose]: () => void listeners.delete(listener) };
        },
        waitSynced: async () => {},
      },
      netns: {
        get(pod) {
          const netns = namespaces.get(pod.uid);
          return netns && { fd: netns.fd, dev: netns.handle.dev, ino: netns.handle.ino, source: "add" };
        },
        find: async (wanted) => new Map(wanted.map((pod) => [pod, { kind: "not-found", message: "no such pod here" }])),
        retain: () => {},
      },
      backend: {
        ...backend,
        dialectFor: () => (dialect === "nftables" ? "nftables" : "iptables"),
        hasGenerations: () => dialect !== "iptables-legacy",
      },
      dup: dupNetns,
      openNetlink,
      joinGroup,
      watchReadable: (fd, onReadable) => poller.watch(fd, { readable: true, writable: false }, onReadable),
      decisions: { get: () => undefined, unproven: () => undefined, prove: () => {}, keep: () => {} },
      recordEvent: ({ reason, message, pod }) => void events.push({ reason, message, pod: pod.name }),
      metrics: {
        drift: (action) => void counted.push(`drift ${action}`),
        podRepaired: (result) => void counted.push(`repair ${result}`),
      },
      clock,
      wallMs: Date.now,
      random: () => 0.5,
      yieldToLoop: () => new Promise((resolve) => void setImmediate(resolve)),
      log,
    },
    {
      settings: SETTINGS,
      strictFamilies: false,
      repair: repairOptions(options.repair ?? "repair"),
      intervalMs: options.intervalMs ?? 3_600_000,
    },
  );

  const untilAll: VerifiedNode["untilAll"] = async (wanted, condition) => {
    const deadline = clock.nowMs() + DEADLINE_MS;
    for (;;) {
      const open = wanted.find(({ uid }) => {
        const record = verifier.record(uid);
        return record === undefined || !condition(record);
      });
      if (open === undefined) return;
      if (clock.nowMs() > deadline) {
        throw new Error(`Pod ${open.name} does not get there: ${JSON.stringify(verifier.record(open.uid))}`);
      }
      await new Promise((resolve) => void setTimeout(resolve, 1));
    }
  };

  return {
    ...{ verifier, backend, events, counted, untilAll },
    addPod(name, annotations) {
      const pod = runningSidecarPod(name, annotations);
      const netns = createNetns();
      netns.mustExec(["ip", "-batch", "-"], { input: POD_NETWORK });
      namespaces.set(pod.uid, netns);
      pods.set(pod.uid, pod);
      for (const listener of listeners) listener({ type: "add", pod });
      return { pod, netns };
    },
    touch(pod) {
      for (const listener of listeners) listener({ type: "update", pod });
    },
    deletePod(pod) {
      pods.delete(pod.uid);
      namespaces.get(pod.uid)?.[Symbol.dispose]();
      namespaces.delete(pod.uid);
      for (const listener of listeners) listener({ type: "delete", pod });
    },
    start() {
      running = verifier.run(ending.signal);
    },
    async until(pod, condition) {
      await untilAll([pod], condition);
      return verifier.record(pod.uid) as VerificationRecord;
    },
    async [Symbol.asyncDispose]() {
      ending.abort(new Error("the test is over"));
      await running;
      await poller.close();
      for (const netns of namespaces.values()) netns[Symbol.dispose]();
      if (failures.length > 0) throw new AggregateError(failures, "A callback of the poller failed");
    },
  };
}

/** Subscribes a netlink socket to a multicast group (netlink(7), NETLINK_ADD_MEMBERSHIP). */
function joinGroup(fd: number, group: number): void {
  const value = new Uint8Array(new Int32Array([group]).buffer);
  if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, value, 4) !== 0)
    throw new Error(`Cannot join group ${group}`);
}
