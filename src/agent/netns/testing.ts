// For tests: a node in memory, with processes, network namespaces and the runtime's files for them, all of which can change
// at any moment of a look. It counts descriptors, so that a forgotten one is seen.
import { type IpAddress, parseIpAddress } from "../../core/address.ts";
import type { Logger } from "../../core/log.ts";
import type { NetnsPod } from "../../core/netns/choose-netns.ts";
import type { NetnsId } from "../../core/netns/netns-id.ts";
import type { ProcReader } from "../../platform/fs/proc-reader.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";
import { createNetnsRegistry, type NetnsRegistry, type NetnsRegistryOptions } from "./netns-registry.ts";

export const NSFS = 4n;
export const NODE_INO = 1n;
export const AGENT_INO = 2n;

export interface FakeProcess {
  ino: bigint;
  readonly cgroup?: string;
  readonly startTime?: number;
  readonly comm?: string;
}

export class FakeNode {
  readonly processes = new Map<number, FakeProcess>([[1, { ino: NODE_INO, cgroup: "0::/init.scope" }]]);
  /** Addresses by inode. */
  readonly namespaces = new Map<bigint, readonly string[]>();
  /** The runtime's files: inode by path. */
  readonly named = new Map<string, bigint>();
  readonly logged: string[] = [];
  /** Descriptors that are open, with what they lead to. */
  readonly open = new Map<number, bigint>();
  /** Error text of a node whose /proc is not there. */
  procFailure: string | undefined;
  nowMs = 0;
  yields = 0;
  /** Called before each answer of the node, with the name of what is asked: the place to change it meanwhile. */
  meanwhile: (asked: keyof ProcReader | "open" | "addresses", subject: number | string) => void = () => undefined;
  #nextFd = 100;

  /** A sandbox with one process, as containerd makes it. Returns its inode. */
  addPod(pod: NetnsPod, pid: number, ino = BigInt(1000 + pid)): bigint {
    this.namespaces.set(ino, ["127.0.0.1", ...pod.podIps]);
    this.processes.set(pid, { ino, cgroup: cgroupOf(pod.uid, pid) });
    return ino;
  }

  openNetns(ino: bigint): NetnsHandle {
    const fd = this.#nextFd++;
    this.open.set(fd, ino);
    return {
      fd,
      dev: NSFS,
      ino,
      [Symbol.dispose]: () => {
        if (!this.open.delete(fd)) throw new Error(`Descriptor ${fd} is closed twice`);
      },
    };
  }

  /** Its procfs, and opening what lies there. */
  access(): { readonly proc: ProcReader; open(path: string): NetnsHandle } {
    return {
      proc: this.#procReader(),
      open: (path) => {
        this.meanwhile("open", path);
        const ino = this.named.get(path) ?? this.processes.get(Number(path))?.ino;
        if (ino === undefined) throw new Error(`ENOENT: ${path}`);
        return this.openNetns(ino);
      },
    };
  }

  createRegistry(options: Partial<NetnsRegistryOptions> = {}): NetnsRegistry {
    return createNetnsRegistry(
      {
        ...this.access(),
        dup: (fd) => this.openNetns(this.#inoOf(fd)),
        addresses: (fd) => {
          this.meanwhile("addresses", fd);
          return (this.namespaces.get(this.#inoOf(fd)) ?? []).map(ipOf);
        },
        log: this.#logger(),
        nowMs: () => this.nowMs,
        yieldToLoop: async () => {
          this.yields++;
        },
      },
      { forbidden: FORBIDDEN, namedFolders: ["/run/netns"], ...options },
    );
  }

  #inoOf(fd: number): bigint {
    const ino = this.open.get(fd);
    if (ino === undefined) throw new Error(`EBADF: ${fd}`);
    return ino;
  }

  #procReader(): ProcReader {
    const ask = (asked: keyof ProcReader, pid: number): FakeProcess | undefined => {
      this.meanwhile(asked, pid);
      return this.processes.get(pid);
    };
    return {
      pids: async () => {
        this.meanwhile("pids", "");
        if (this.procFailure !== undefined) throw new Error(this.procFailure);
        return [...this.processes.keys()].toSorted((left, right) => left - right);
      },
      netnsIno: (pid) => ask("netnsIno", pid)?.ino,
      nodeNetns: () => {
        if (this.procFailure !== undefined) throw new Error(this.procFailure);
        return { path: "1", dev: NSFS, ino: NODE_INO };
      },
      netnsPath: String,
      stat: (pid) => {
        const found = ask("stat", pid);
        if (found === undefined) return undefined;
        const { comm = "pause", startTime = pid } = found;
        return `${pid} (${comm}) S${" 0".repeat(18)} ${startTime} 0 0`;
      },
      exe: (pid) => ask("exe", pid) && "/pause",
      cgroup: async (pid) => ask("cgroup", pid)?.cgroup,
      namedNetns: async () => [...this.named].map(([path, ino]) => ({ path, dev: NSFS, ino })),
    };
  }

  #logger(): Logger {
    const log: Logger = {
      debug: () => undefined,
      info: (message) => void this.logged.push(`info ${message}`),
      warn: (message) => void this.logged.push(`warn ${message}`),
      error: (message) => void this.logged.push(`error ${message}`),
      scope: () => log,
    };
    return log;
  }
}

const FORBIDDEN: readonly NetnsId[] = [{ dev: NSFS, ino: AGENT_INO }];

/** A running pod number `index` (1 to 250), with an address of each family. */
export function fakePod(index: number, changes: Partial<NetnsPod> = {}): NetnsPod {
  return {
    uid: `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`,
    namespace: "shop",
    name: `web-${index}`,
    annotations: {},
    podIps: [`10.0.0.${index}`, `fd00::${index}`],
    hostNetwork: false,
    phase: "Running",
    ...changes,
  };
}

/** The container's id is made from `number`. */
export function cgroupOf(uid: string, number: number): string {
  return `0::/kubepods/burstable/pod${uid}/${containerIdOf(number)}\n`;
}

export function containerIdOf(number: number): string {
  return number.toString(16).padStart(64, "c");
}

function ipOf(text: string): IpAddress {
  const ip = parseIpAddress(text);
  if (ip === undefined) throw new Error(`Cannot use ${text} as an address`);
  return ip;
}
