// For tests: a node in memory. Namespaces hold one capture each and number their generations; sockets hear of commits; time
// passes when the test says so.

import type { VerifiedAmbient } from "../src/agent/verify/ambient-rules.ts";
import type { BackendPod } from "../src/agent/verify/look-at-pod.ts";
import { createVerifier, type Verifier, type VerifierOptions } from "../src/agent/verify/verifier.ts";
import { type IpAddress, parseIpAddress } from "../src/core/address.ts";
import type { Pod } from "../src/core/kube/pod.ts";
import type { Logger } from "../src/core/log.ts";
import { NFT_MSG } from "../src/core/netlink/nfnetlink.ts";
import { NETLINK_PROTOCOL } from "../src/core/netlink/rtnetlink.ts";
import type { RepairOptions } from "../src/core/policy/repair-decision.ts";
import type { PodCapture } from "../src/core/rules/pod-capture.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../src/core/rules/sidecar-capture.ts";
import type { NetlinkSocket } from "../src/platform/linux/netlink-socket.ts";
import { FakeDecisions } from "./fake-decisions.ts";
import { encodeNewGeneration, type Writer } from "./generation-message.ts";
import { repairOptions, runningSidecarPod, SETTINGS } from "./sidecar-samples.ts";
import { TurnedClock } from "./turned-clock.ts";

const AGENT: Writer = { pid: 1000, program: "install-cni" };
const DEV = 4n;

interface FakeNetns {
  readonly ino: bigint;
  addresses: readonly string[];
  capture: PodCapture | undefined;
  generation: number;
  /** The capture stands in this one. */
  otherDialect?: string | undefined;
  /** Of the proxy; undefined: the kernel does not tell. */
  connections?: number | undefined;
  /** Nothing new is redirected. */
  isDetached?: boolean;
  isLoopbackOff?: boolean;
}

interface FakeSocket {
  readonly netns: FakeNetns;
  readonly protocol: number;
  readonly waiting: (Uint8Array | Error)[];
  onReadable: (() => void) | undefined;
  isSubscribed: boolean;
}

export class FakeNode {
  readonly pods = new Map<string, Pod>();
  /** By pod UID. */
  readonly namespaces = new Map<string, FakeNetns>();
  /** Pods whose namespace the registry holds. */
  readonly held = new Set<string>();
  readonly decisions = new FakeDecisions();
  readonly sockets = new Map<number, FakeSocket>();
  readonly events: string[] = [];
  readonly counted: string[] = [];
  readonly logged: string[] = [];
  /** What was asked of the node, in order: "drift web", "apply web", "find web,api". */
  readonly asked: string[] = [];
  /** Descriptors of namespaces that are open, with what they lead to. */
  readonly open = new Map<number, FakeNetns>();
  readonly clock = new TurnedClock();
  /** Refuses to apply with this sentence. */
  applyFailure: string | undefined;
  /** Refuses to open sockets with this sentence. */
  socketFailure: string | undefined;
  findFailure: string | undefined;
  findKind = "not-found";
  findReason = "no-process";
  isForbidden = false;
  hasGenerations = true;
  /** Undefined: sidecar mode. */
  ambient: VerifiedAmbient | undefined;
  /** Called within every look, before the answer: the place to change things meanwhile. */
  meanwhile: (podName: string) => void = () => undefined;
  #nextFd = 100;
  readonly #listeners = new Set<(event: { type: "add" | "update" | "delete"; pod: Pod }) => void>();
  readonly #ending = new AbortController();
  #running: Promise<void> = Promise.resolve();

  /** A running pod, whose namespace the registry holds unless told. */
  addPod(
    name: string,
    options: {
      readonly annotations?: Readonly<Record<string, string>>;
      readonly isHeld?: boolean;
      readonly addresses?: readonly string[];
      readonly change?: Partial<Pod>;
    } = {},
  ): Pod {
    const pod: Pod = { ...runningSidecarPod(name, options.annotations), ...options.change };
    const addresses = options.addresses ?? ["10.0.0.5"];
    this.namespaces.set(pod.uid, { ino: BigInt(this.#nextFd++), addresses, capture: undefined, generation: 1 });
    if (options.isHeld ?? true) this.held.add(pod.uid);
    this.show("add", pod);
    return pod;
  }

  show(type: "add" | "update" | "delete", pod: Pod): void {
    if (type === "delete") this.pods.delete(pod.uid);
    else this.pods.set(pod.uid, pod);
    for (const listener of this.#listeners) listener({ type, pod });
  }

  /** Somebody else commits to nf_tables. */
  write(pod: Pod, capture: PodCapture | undefined, by: Writer = { pid: 4711, program: "iptables" }): void {
    this.#commit(this.netnsOf(pod), capture, by);
  }

  /** The sockets that listen to the pod's rules fail at the next read, with this code. What the poller gets to see of it. */
  failSockets(pod: Pod, code: string): unknown[] {
    const netns = this.netnsOf(pod);
    const thrown: unknown[] = [];
    for (const socket of this.sockets.values()) {
      if (socket.netns !== netns) continue;
      socket.waiting.push(Object.assign(new Error(code), { code }));
      try {
        socket.onReadable?.();
      } catch (error) {
        thrown.push(error);
      }
    }
    return thrown;
  }

  /** Something changes in the routing: a socket is readable. */
  stir(pod: Pod, protocol: number): void {
    const netns = this.netnsOf(pod);
    for (const socket of this.sockets.values()) {
      if (socket.netns === netns && socket.protocol === protocol && socket.isSubscribed) socket.onReadable?.();
    }
  }

  netnsOf(pod: Pod): FakeNetns {
    const netns = this.namespaces.get(pod.uid);
    if (netns === undefined) throw new Error(`Pod ${pod.name} has no namespace`);
    return netns;
  }

  start(options: Partial<VerifierOptions> & { readonly mode?: RepairOptions["mode"] } = {}): Verifier {
    const { mode = "repair", ...rest } = options;
    const verifier = createVerifier(
      {
        pods: {
          get: (uid) => this.pods.get(uid),
          list: () => [...this.pods.values()],
          subscribe: (listener) => {
            this.#listeners.add(listener);
            return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
          },
          waitSynced: async () => {},
        },
        netns: {
          get: (pod) => this.#lend(pod),
          find: async (pods) => {
            this.asked.push(`find ${pods.map(({ name }) => name).join(",")}`);
            if (this.findFailure !== undefined) throw new Error(this.findFailure);
            return new Map(pods.map((pod) => [pod, this.#find(pod)]));
          },
          retain: () => {},
        },
        backend: {
          addresses: (fd) => this.#netnsAt(fd).addresses.map(ipOf),
          isForbidden: () => this.isForbidden,
          dialectFor: () => "iptables",
          hasGenerations: () => this.hasGenerations,
          drift: async (fd, capture) => {
            const netns = this.#netnsAt(fd);
            this.asked.push(`drift ${this.#nameOf(netns)}`);
            this.meanwhile(this.#nameOf(netns));
            return isSame(netns.capture, capture) && netns.otherDialect === undefined && netns.isDetached !== true
              ? []
              : ["chain nat/ISTIO_OUTPUT of IPv4 is missing"];
          },
          differsByLoopback: async (fd) => this.#netnsAt(fd).isLoopbackOff === true,
          apply: async (fd, capture, pod: BackendPod) => {
            const netns = this.#netnsAt(fd);
            this.asked.push(`apply ${this.#nameOf(netns)}${pod.formerly === undefined ? "" : " formerly"}`);
            if (this.applyFailure !== undefined) throw new Error(this.applyFailure);
            const replaced = netns.otherDialect === undefined ? [] : [netns.otherDialect];
            netns.otherDialect = undefined;
            this.#commit(netns, capture, AGENT);
            return { dialect: "iptables-nft", replaced };
          },
          release: async (fd) => {
            const netns = this.#netnsAt(fd);
            this.asked.push(`release ${this.#nameOf(netns)}`);
            if (this.applyFailure !== undefined) throw new Error(this.applyFailure);
            const changed = netns.capture !== undefined && netns.isDetached !== true;
            netns.isDetached = true;
            return { changed, connections: "connections" in netns ? netns.connections : 0 };
          },
          remove: async (fd) => {
            const netns = this.#netnsAt(fd);
            this.asked.push(`remove ${this.#nameOf(netns)}`);
            if (this.applyFailure !== undefined) throw new Error(this.applyFailure);
            const wasThere = netns.capture !== undefined;
            this.#commit(netns, undefined, AGENT);
            return wasThere;
          },
        },
        dup: (fd) => this.#openNetns(this.#netnsAt(fd)),
        openNetlink: (protocol, fd) => this.#openSocket(protocol, this.#netnsAt(fd)),
        joinGroup: (fd) => {
          const socket = this.sockets.get(fd);
          if (socket !== undefined) socket.isSubscribed = true;
        },
        watchReadable: (fd, onReadable) => {
          const socket = this.sockets.get(fd);
          if (socket !== undefined) socket.onReadable = onReadable;
          return {
            [Symbol.dispose]: () => {
              if (socket !== undefined) socket.onReadable = undefined;
            },
          };
        },
        decisions: this.decisions.deps,
        ...(this.ambient !== undefined && { ambient: this.ambient }),
        recordEvent: ({ pod, reason, message }) => void this.events.push(`${pod.name} ${reason}: ${message}`),
        metrics: {
          drift: (action) => void this.counted.push(`drift ${action}`),
          podRepaired: (result) => void this.counted.push(`repair ${result}`),
        },
        clock: this.clock,
        wallMs: () => 1_000_000 + this.clock.nowMs(),
        random: () => 0.5,
        yieldToLoop: () => new Promise((resolve) => void setImmediate(resolve)),
        log: this.#logger(),
      },
      {
        settings: SETTINGS,
        strictFamilies: false,
        repair: repairOptions(mode),
        ...rest,
      },
    );
    this.#running = verifier.run(this.#ending.signal);
    return verifier;
  }

  readonly settle = () => this.clock.settle();
  readonly advance = (ms: number) => this.clock.advance(ms);

  /** Ends the verifier. */
  async end(): Promise<void> {
    this.#ending.abort(new Error("the test is over"));
    await this.#running;
  }

  #lend(pod: Pod) {
    if (!this.held.has(pod.uid)) return undefined;
    const netns = this.netnsOf(pod);
    const fd = this.#nextFd++;
    // Lent until the next await: whoever uses it later uses nothing.
    this.open.set(fd, netns);
    queueMicrotask(() => this.open.delete(fd));
    return { fd, dev: DEV, ino: netns.ino, source: "add" as const };
  }

  #find(pod: Pod): { readonly kind: string; readonly message?: string; readonly reason?: string } {
    const message = `Cannot find the namespace of ${pod.name}`;
    if (this.findKind !== "found") return { kind: this.findKind, message, reason: this.findReason };
    this.held.add(pod.uid);
    return { kind: "found" };
  }

  #commit(netns: FakeNetns, capture: PodCapture | undefined, by: Writer): void {
    netns.capture = capture;
    netns.isDetached = false;
    netns.generation++;
    for (const socket of this.sockets.values()) {
      if (socket.netns !== netns || !socket.isSubscribed || socket.protocol !== NETLINK_PROTOCOL.netfilter) continue;
      socket.waiting.push(encodeNewGeneration(netns.generation, by, 7));
      setImmediate(() => {
        if (socket.waiting.length > 0) socket.onReadable?.();
      });
    }
  }

  #openSocket(protocol: number, netns: FakeNetns): NetlinkSocket {
    if (this.socketFailure !== undefined) throw new Error(this.socketFailure);
    const fd = this.#nextFd++;
    const socket: FakeSocket = { netns, protocol, waiting: [], onReadable: undefined, isSubscribed: false };
    this.sockets.set(fd, socket);
    const close = (): void => {
      if (!this.sockets.delete(fd)) throw new Error(`Socket ${fd} is closed twice`);
    };
    return {
      fd,
      send: (bytes) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        if (view.getUint16(4, true) !== NFT_MSG.GETGEN) return;
        socket.waiting.push(encodeNewGeneration(netns.generation, AGENT, view.getUint32(8, true)));
      },
      receive: () => {
        const next = socket.waiting.shift();
        if (next instanceof Error) throw next;
        return next;
      },
      close,
      [Symbol.dispose]: close,
    };
  }

  #openNetns(netns: FakeNetns) {
    const fd = this.#nextFd++;
    this.open.set(fd, netns);
    return { fd, dev: DEV, ino: netns.ino, [Symbol.dispose]: () => void this.open.delete(fd) };
  }

  #netnsAt(fd: number): FakeNetns {
    const netns = this.open.get(fd);
    if (netns === undefined) throw new Error(`EBADF: ${fd}`);
    return netns;
  }

  #nameOf(netns: FakeNetns): string {
    const [uid] = [...this.namespaces].find(([, candidate]) => candidate === netns) ?? [];
    return uid?.replace("uid-of-", "") ?? "?";
  }

  #logger(): Logger {
    const log: Logger = {
      debug() {},
      info() {},
      warn: (message) => void this.logged.push(message),
      error: (message) => void this.logged.push(message),
      scope: () => log,
    };
    return log;
  }
}

/** A pod without any annotation that counts, and with IPv4 only. */
export const CAPTURE: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, families: { v4: true, v6: false } };

/** Annotations of a pod that needs routing. */
export const TPROXY = { "sidecar.istio.io/interceptionMode": "TPROXY" };

/** A node whose pods came up captured, by an agent before this one, and have been looked at. */
export async function verifiedNode(options: Parameters<FakeNode["start"]>[0] = {}, ...names: readonly string[]) {
  const node = new FakeNode();
  const first = node.addPod(names[0] ?? "web");
  const pods = [first, ...names.slice(1).map((name) => node.addPod(name))];
  for (const pod of pods) node.netnsOf(pod).capture = CAPTURE;
  const verifier = node.start(options);
  await node.settle();
  node.asked.length = 0;
  return { node, verifier, pod: first, pods };
}

function isSame(left: PodCapture | undefined, right: PodCapture): boolean {
  const text = (capture: PodCapture): string => JSON.stringify(Object.entries(capture).toSorted());
  return left !== undefined && text(left) === text(right);
}

function ipOf(text: string): IpAddress {
  const ip = parseIpAddress(text);
  if (ip === undefined) throw new Error(`Cannot use ${text} as an address`);
  return ip;
}
