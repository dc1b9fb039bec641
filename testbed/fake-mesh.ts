// For tests: a node in memory, as the enrolment loop sees it. Everything answers at once unless told otherwise; time passes
// when the test says so.

import { createEnrolment } from "../src/agent/ambient/enrolment.ts";
import type { Enrolment, EnrolmentOptions } from "../src/agent/ambient/enrolment-api.ts";
import { formatIp, type IpAddress } from "../src/core/address.ts";
import { type Pod, parsePod } from "../src/core/kube/pod.ts";
import type { Logger } from "../src/core/log.ts";
import type { AmbientDecision } from "../src/core/policy/ambient-decision.ts";
import { redirectionPatch } from "../src/core/policy/ambient-redirection.ts";
import { TurnedClock } from "./turned-clock.ts";

const PROBE = { family: 4, bytes: Uint8Array.of(169, 254, 7, 127) } as const;
const PLAN = {
  mode: "ambient",
  captureInbound: true,
  captureDns: true,
  virtualInterfaces: [],
  probeSource: { v4: PROBE, v6: { family: 6, bytes: new Uint8Array(16) } },
} as const;

interface FakeWorkload {
  state: "served" | "kept" | "refused" | "waiting";
  netns: { readonly dev: bigint; readonly ino: bigint } | undefined;
}

export class FakeMesh {
  readonly pods = new Map<string, Pod>();
  /** Names of pods that are out by policy; `unknown` ones cannot be decided on. */
  readonly out = new Set<string>();
  readonly unknown = new Set<string>();
  /** Deciding on them throws. */
  readonly throwing = new Set<string>();
  /** ztunnel cannot be told of them. */
  readonly unspeakable = new Set<string>();
  /** By UID: the namespace that is held. */
  readonly netns = new Map<string, bigint>();
  /** By UID: rules of ambient mode stand. */
  readonly rules = new Set<string>();
  readonly looked = new Set<string>();
  readonly workloads = new Map<string, FakeWorkload>();
  readonly listed = new Map<string, readonly IpAddress[]>();
  readonly wasIn = new Set<string>();
  /** What was done, in order: "capture web", "annotate web enabled". */
  readonly done: string[] = [];
  /** How often the verifier was asked. */
  requests = 0;
  readonly logged: string[] = [];
  readonly events: string[] = [];
  /** What the wall clock jumped by. */
  wallJumpMs = 0;
  isConnected = true;
  isWatchCurrent = true;
  /** ztunnel says nothing. */
  isSilent = false;
  hasAdmitted = false;
  /** The verifier cannot. */
  isVerifierStuck = false;
  /** Names of pods whose namespace is looked for in vain. */
  readonly lost = new Set<string>();
  /** Steps that fail, with what is thrown. */
  readonly failing = new Map<string, Error>();
  readonly clock = new TurnedClock();
  enrolment: Enrolment | undefined;
  readonly #podListeners = new Set<(event: { type: "add" | "update" | "delete"; pod: Pod }) => void>();
  readonly #namespaceListeners = new Set<(name: string) => void>();
  readonly #ztunnelListeners = new Set<(change: { readonly uid?: string }) => void>();
  readonly #probeListeners = new Set<() => void>();
  readonly #ending = new AbortController();
  #running: Promise<void> = Promise.resolve();

  addPod(name: string, annotations: Readonly<Record<string, string>> = {}, ips: readonly string[] = ["10.0.0.5"]): Pod {
    const pod = parsePod({
      metadata: { uid: `uid-of-${name}`, namespace: "shop", name, resourceVersion: "1", annotations },
      spec: { nodeName: "node", serviceAccountName: "default", containers: [] },
      status: { phase: "Running", podIPs: ips.map((ip) => ({ ip })) },
    });
    this.show("add", pod);
    return pod;
  }

  show(type: "add" | "update" | "delete", pod: Pod): void {
    if (type === "delete") this.pods.delete(pod.uid);
    else this.pods.set(pod.uid, pod);
    for (const listener of this.#podListeners) listener({ type, pod });
  }

  /** The labels of the namespace of all pods have changed. */
  relabel(): void {
    for (const listener of this.#namespaceListeners) listener("shop");
  }

  tellZtunnel(change: { readonly uid?: string } = {}): void {
    for (const listener of this.#ztunnelListeners) listener(change);
  }

  disturbProbes(): void {
    this.listed.clear();
    for (const listener of this.#probeListeners) listener();
  }

  start(options: EnrolmentOptions = {}): Enrolment {
    const enrolment = createEnrolment(
      {
        pods: {
          get: (uid) => this.pods.get(uid),
          list: () => [...this.pods.values()],
          subscribe: (listener) => subscription(this.#podListeners, listener),
          isCurrent: () => this.isWatchCurrent,
          waitSynced: async () => {},
        },
        namespaces: {
          subscribe: (listener) => subscription(this.#namespaceListeners, listener),
          waitSynced: async () => {},
        },
        decide: ({ name }) => this.#decide(name),
        wasIn: (uid) => this.wasIn.has(uid),
        netns: {
          get: ({ uid }) => {
            const ino = this.netns.get(uid);
            return ino === undefined ? undefined : { fd: Number(ino), dev: 4n, ino };
          },
        },
        rules: {
          state: (uid) => (this.looked.has(uid) ? (this.rules.has(uid) ? "stand" : "absent") : "unknown"),
          addresses: () => [],
          request: (uid) => {
            this.requests++;
            setImmediate(() => this.#verify(uid));
          },
        },
        ztunnel: {
          isConnected: () => this.isConnected,
          workload: (uid) => this.workloads.get(uid),
          workloads: () => [...this.workloads.keys()].map((uid) => ({ uid })),
          declare: ({ uid, name }, fd) => this.#declare(uid, name, fd),
          withdraw: async (uid) => {
            this.#do(`withdraw ${nameOf(uid)}`);
            this.workloads.delete(uid);
            return { result: "withdrawn" };
          },
          admitSnapshots: () => {
            this.hasAdmitted = true;
            this.done.push("admit");
          },
          subscribe: (listener) => subscription(this.#ztunnelListeners, listener),
        },
        probes: {
          listed: (uid) => this.listed.get(uid) ?? [],
          uids: () => [...this.listed.keys()],
          put: async (uid, ips) => {
            this.#do(`list ${nameOf(uid)} ${ips.map(formatIp).join(",")}`);
            this.listed.set(uid, ips);
          },
          remove: async (uid) => {
            this.#do(`unlist ${nameOf(uid)}`);
            this.listed.delete(uid);
          },
          subscribe: (listener) => subscription(this.#probeListeners, listener),
        },
        annotate: async (pod, value) => {
          this.#do(`annotate ${pod.name} ${value}`);
          const current = this.pods.get(pod.uid);
          if (current === undefined) return;
          const annotations: Record<string, string> = { ...current.annotations };
          for (const [key, text] of Object.entries(redirectionPatch(value).metadata.annotations)) {
            if (text === null) delete annotations[key];
            else annotations[key] = text;
          }
          setImmediate(() => this.show("update", { ...current, annotations }));
        },
        metrics: { handled: () => undefined, step: () => undefined },
        clock: this.clock,
        wallMs: () => 1_000_000 + this.clock.nowMs() + this.wallJumpMs,
        random: () => 0.5,
        recordEvent: ({ pod, type, reason, message }) =>
          void this.events.push(`${type} ${reason} ${pod.name}: ${message}`),
        log: this.#logger(),
      },
      options,
    );
    this.enrolment = enrolment;
    this.#running = enrolment.run(this.#ending.signal);
    return enrolment;
  }

  readonly settle = () => this.clock.settle();
  readonly advance = (ms: number) => this.clock.advance(ms);

  async end(): Promise<void> {
    this.#ending.abort(new Error("the test is over"));
    await this.#running;
  }

  /** What the verifier does when it is asked: it follows the wish. */
  #verify(uid: string): void {
    const pod = this.pods.get(uid);
    if (pod === undefined || this.isVerifierStuck) return;
    if (this.lost.has(pod.name)) {
      this.enrolment?.settled(uid);
      return;
    }
    if (!this.netns.has(uid)) {
      this.done.push(`find ${pod.name}`);
      this.netns.set(uid, BigInt(100 + this.netns.size));
    }
    const wish = this.enrolment?.wishFor(pod);
    this.looked.add(uid);
    if (wish?.kind === "capture" && wish.whyNotYet === undefined && !this.rules.has(uid)) {
      this.done.push(`capture ${pod.name}`);
      this.rules.add(uid);
    }
    if (wish?.kind === "release" && this.rules.delete(uid)) {
      this.done.push(`release ${pod.name}`);
      this.wasIn.delete(uid);
    }
    this.enrolment?.settled(uid);
  }

  #declare(uid: string, name: string, fd: number | undefined): { readonly result: string } {
    if (this.unspeakable.has(name)) return { result: "invalid" };
    this.#do(`declare ${name}${fd === undefined ? " by name" : ""}`);
    const netns = fd === undefined ? undefined : { dev: 4n, ino: BigInt(fd) };
    this.workloads.set(uid, { state: netns === undefined ? "kept" : "waiting", netns });
    if (this.isConnected && !this.isSilent) {
      setImmediate(() => {
        const workload = this.workloads.get(uid);
        if (workload !== undefined && netns !== undefined) workload.state = "served";
        this.tellZtunnel({ uid });
      });
    }
    return { result: "declared" };
  }

  #do(what: string): void {
    const [step = ""] = what.split(" ");
    const error = this.failing.get(step);
    if (error !== undefined) throw error;
    this.done.push(what);
  }

  #decide(name: string): AmbientDecision {
    if (this.throwing.has(name)) throw new Error("a bug");
    if (this.unknown.has(name)) return { kind: "unknown", reason: "namespace-unknown" };
    if (this.out.has(name)) return { kind: "out", reason: "not-selected" };
    return { kind: "in", reason: "namespace-label", plan: PLAN, hints: [] };
  }

  #logger(): Logger {
    const write = (level: string) => (message: string) => void this.logged.push(`${level} ${message}`);
    const log: Logger = {
      debug: write("debug"),
      info: write("info"),
      warn: write("warn"),
      error: write("error"),
      scope: () => log,
    };
    return log;
  }
}

function nameOf(uid: string): string {
  return uid.replace("uid-of-", "");
}

function subscription<T>(listeners: Set<T>, listener: T): Disposable {
  listeners.add(listener);
  return { [Symbol.dispose]: () => void listeners.delete(listener) };
}
