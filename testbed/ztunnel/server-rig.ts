// The agent's ztunnel server alone, on a real socket in a temporary folder, with stand-ins for ztunnel in the same process:
// what the server's own tests stand on, which may not have sockets of their own.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ZtunnelChange, ZtunnelServer, ZtunnelWorkload } from "../../src/agent/ztunnel/ztunnel-api.ts";
import {
  createZtunnelServer,
  ZTUNNEL_SERVER_DEFAULTS,
  type ZtunnelServerOptions,
} from "../../src/agent/ztunnel/ztunnel-server.ts";
import type { Logger } from "../../src/core/log.ts";
import { createSystemClock } from "../../src/platform/clock.ts";
import { createAcceptor } from "../../src/platform/linux/acceptor.ts";
import { dupNetns } from "../../src/platform/linux/dup-netns.ts";
import { closeFd } from "../../src/platform/linux/libc.ts";
import { type NetnsHandle, openNetns } from "../../src/platform/linux/netns.ts";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { SOCK_SEQPACKET } from "../../src/platform/linux/socket-numbers.ts";
import { listenUnix } from "../../src/platform/linux/unix-socket.ts";
import { type StandInOptions, startZtunnelStandIn, type ZtunnelStandIn } from "./ztunnel-stand-in.ts";

/** Making network namespaces takes root, and nobody enters one here: our own of every kind will do, each has its inode. */
const NAMESPACES = ["net", "uts", "ipc", "mnt", "pid", "user", "cgroup"] as const;

/** Longer than anything takes on a busy machine. */
const PATIENCE_MS = 60_000;

export interface ZtunnelRig extends AsyncDisposable {
  readonly server: ZtunnelServer;
  readonly path: string;
  readonly warnings: readonly string[];
  /** "acknowledged UID", "refused UID", "connected", "disconnected", in order. */
  readonly changes: readonly string[];
  ztunnel(options?: Partial<StandInOptions>): ZtunnelStandIn;
  /** A namespace, another one at each call, closed with the rig. */
  netns(): NetnsHandle;
  /** Waits until `condition` holds. */
  until(what: string, condition: () => boolean): Promise<void>;
  stop(): Promise<void>;
}

export interface ZtunnelRigOptions extends Partial<ZtunnelServerOptions> {
  /** Whether snapshots are sent from the beginning. Default true. */
  readonly isAdmitted?: boolean;
  /** Of another rig, whose server has ended: this one is the next agent. */
  readonly path?: string;
}

export const workload = (uid: string): ZtunnelWorkload => ({
  uid,
  name: `pod-${uid}`,
  namespace: "default",
  serviceAccount: "sa",
});

/** Serves with the agent's defaults, but for what is told; our own uid may connect, as often as it likes. */
export async function serveZtunnel(options: ZtunnelRigOptions = {}): Promise<ZtunnelRig> {
  const before = countDescriptors();
  const folder = mkdtempSync(join(tmpdir(), "ztunnel-rig-"));
  const { isAdmitted = true, path = join(folder, "ztunnel.sock"), ...serverOptions } = options;
  const poller = createPoller((error) => assert.fail(String(error)));
  const warnings: string[] = [];
  const changes: string[] = [];
  const log: Logger = {
    debug() {},
    info() {},
    warn: (line, labels) => void warnings.push(`${line} ${JSON.stringify(labels)}`),
    error: (line, labels) => void warnings.push(`${line} ${JSON.stringify(labels)}`),
    scope: () => log,
  };
  const server = createZtunnelServer(
    {
      clock: createSystemClock(),
      poller,
      log,
      accept: createAcceptor({
        poller,
        log,
        listen: () => listenUnix(path, SOCK_SEQPACKET, { mode: 0o600, backlog: 16 }),
      }),
      dupNetns,
      closeDescriptor: (fd) => void closeFd(fd),
    },
    {
      ...ZTUNNEL_SERVER_DEFAULTS,
      allowedUids: [process.getuid?.() ?? 0],
      maxAcceptsPerSecond: 1000,
      ...serverOptions,
    },
  );
  server.subscribe((change: ZtunnelChange) =>
    changes.push("uid" in change ? `${change.type} ${change.uid}` : change.type),
  );
  if (isAdmitted) server.admitSnapshots();
  const stopping = new AbortController();
  const running = server.run(stopping.signal);
  const standIns: ZtunnelStandIn[] = [];
  const namespaces: NetnsHandle[] = [];
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  return {
    server,
    path,
    warnings,
    changes,
    ztunnel(standInOptions = {}) {
      const standIn = startZtunnelStandIn({ path, poller, ...standInOptions });
      standIns.push(standIn);
      return standIn;
    },
    netns() {
      const kind = NAMESPACES[namespaces.length];
      if (kind === undefined) throw new RangeError(`Cannot give more than ${NAMESPACES.length} namespaces`);
      const netns = openNetns(`/proc/self/ns/${kind}`);
      namespaces.push(netns);
      return netns;
    },
    async until(what, condition) {
      const deadline = performance.now() + PATIENCE_MS;
      while (!condition()) {
        assert.ok(performance.now() < deadline, `${what} does not come: ${JSON.stringify({ changes, warnings })}`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      for (const standIn of standIns) standIn[Symbol.dispose]();
      for (const netns of namespaces) netns[Symbol.dispose]();
      await poller.close();
      rmSync(folder, { recursive: true, force: true });
      for (const [kind, count] of Object.entries(countDescriptors()))
        assert.ok(count <= (before[kind] ?? 0), `${kind} descriptors are left: ${count}, ${before[kind]} before`);
    },
  };
}

/** Open descriptors of sockets and of namespaces. */
function countDescriptors(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      const kind = /^(\w+):\[\d+\]$/.exec(target)?.[1];
      if (kind !== undefined && kind !== "pipe") counts[kind] = (counts[kind] ?? 0) + 1;
    } catch {
      // The directory's own descriptor has gone.
    }
  }
  return counts;
}
