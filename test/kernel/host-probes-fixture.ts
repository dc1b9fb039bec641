// A host-like namespace with pods behind veths, host probes as the agent makes them, and what the tools print of it all.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after } from "node:test";
import {
  createHostProbes,
  type HostProbes,
  type HostProbesDeps,
  type HostProbesOptions,
} from "../../src/agent/netfilter/host-probes.ts";
import { FAMILIES, type IpAddress, parseIpAddress } from "../../src/core/address.ts";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import { DEFAULT_PROBE_SOURCE, PROBE_SETS } from "../../src/core/rules/ambient-numbers.ts";
import { exec } from "../../src/platform/exec/exec.ts";
import { findProgram } from "../../src/platform/exec/find-program.ts";
import { readLegacyTables } from "../../src/platform/exec/legacy-tables.ts";
import { readIpOption } from "../../src/platform/linux/ip-option.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";

export const UID = { a: "aaaaaaaa-0000-4000-8000-000000000001", b: "bbbbbbbb-0000-4000-8000-000000000002" } as const;

export const HOST_DEPS: HostProbesDeps = {
  openNetlink,
  readIpOption,
  exec,
  findProgram,
  legacyTables: readLegacyTables,
  legacyLock: () => undefined,
};

/** Host probes of one dialect in a namespace. */
export function hostProbesOf(
  netns: TestNetns,
  dialect: BackendDialect,
  options: {
    readonly families?: { v4: boolean; v6: boolean };
    readonly kubeletUid?: number;
    readonly hasBranchInterfaces?: boolean;
  } = {},
  deps: Partial<HostProbesDeps> = {},
): HostProbes {
  const host = { families: options.families ?? { v4: true, v6: true }, probeSource: DEFAULT_PROBE_SOURCE };
  const made: HostProbesOptions = {
    netnsFd: netns.fd,
    dialect,
    nfTables: true,
    host,
    kubeletUid: () => options.kubeletUid ?? 0,
    hasBranchInterfaces: options.hasBranchInterfaces ?? false,
  };
  const probes = createHostProbes({ ...HOST_DEPS, ...deps }, made);
  after(() => probes[Symbol.dispose]());
  return probes;
}

/** The two pods of these tests, and how the tools list them. */
export const PODS: ReadonlyMap<string, readonly IpAddress[]> = new Map([
  [UID.a, ips("10.0.0.1", "fd00::1")],
  [UID.b, ips("10.0.0.2")],
]);
export const LISTED: readonly string[] = [`10.0.0.1 ${UID.a}`, `10.0.0.2 ${UID.b}`, `fd00::1 ${UID.a}`];

export function ip(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  if (parsed === undefined) throw new TypeError(`Cannot read address ${text}`);
  return parsed;
}

export function ips(...texts: string[]): IpAddress[] {
  return texts.map(ip);
}

/** Rules and chains of every dialect in the tools' words, one line each; counters are left out. */
export function everythingIn(netns: TestNetns): string[] {
  const legacy = readLegacyTables(netns.fd);
  const tools = [
    "iptables-nft-save",
    "ip6tables-nft-save",
    ...(legacy[4].length > 0 ? ["iptables-legacy-save"] : []),
    ...(legacy[6].length > 0 ? ["ip6tables-legacy-save"] : []),
  ];
  const saved = tools.flatMap((tool) =>
    netns
      .mustExec([tool])
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => `${tool} ${line.replace(/\[\d+:\d+\]/, "")}`),
  );
  const tables = netns.mustExec(["nft", "-s", "list", "ruleset"]).split(/^(?=table )/m);
  return [...saved, ...tables.filter((table) => !IPTABLES_TABLE.test(table)).toSorted()].flatMap((text) =>
    text.split("\n"),
  );
}

/** nft lists them in the order they were made in, and not all that is in them. */
const IPTABLES_TABLE = /^table ip6? (raw|mangle|nat|filter|security) /;

/** The addresses of both sets as "address uid", sorted, as the tools print them. */
export function listedIn(netns: TestNetns, dialect: BackendDialect): string[] {
  const lines = FAMILIES.flatMap((family) => {
    const name = PROBE_SETS[family];
    const argv =
      dialect === "nftables" ? ["nft", "list", "set", "inet", "istio-ambient-nat", name] : ["ipset", "list", name];
    const done = netns.exec(argv);
    return [...done.stdout.matchAll(/([0-9a-f.:]+) comment "([^"]*)"/g)].map(([, address, uid]) => `${address} ${uid}`);
  });
  return lines.toSorted();
}

/** A namespace with addresses on a link of its own to the host. */
export interface Wired extends Disposable {
  readonly netns: TestNetns;
  readonly v4: string;
  readonly v6: string;
}

/** A host and pods on veths, forwarding between them, no rules. */
export function createHostWithPods(
  count: number,
): { readonly host: TestNetns; readonly pods: readonly Wired[] } & Disposable {
  using making = new DisposableStack();
  const host = making.use(createNetns());
  host.mustExec(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
  const pods = Array.from({ length: count }, (_, index): Wired => {
    const netns = making.use(createNetns());
    const [v4, v6, name] = [`10.77.${index}.2`, `fd77::${index + 1}:2`, `pod${index}`];
    const peer = `/proc/${process.pid}/fd/${netns.fd}`;
    host.mustExec(["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", peer]);
    host.mustExec(["ip", "addr", "add", `10.77.${index}.1/24`, "dev", name]);
    host.mustExec(["ip", "addr", "add", `fd77::${index + 1}:1/112`, "dev", name, "nodad"]);
    host.mustExec(["ip", "link", "set", name, "up"]);
    netns.mustExec(["ip", "addr", "add", `${v4}/24`, "dev", "eth0"]);
    netns.mustExec(["ip", "addr", "add", `${v6}/112`, "dev", "eth0", "nodad"]);
    netns.mustExec(["ip", "link", "set", "eth0", "up"]);
    netns.mustExec(["ip", "route", "add", "default", "via", `10.77.${index}.1`]);
    netns.mustExec(["ip", "-6", "route", "add", "default", "via", `fd77::${index + 1}:1`]);
    return { netns, v4, v6, [Symbol.dispose]: () => netns[Symbol.dispose]() };
  });
  const owned = making.move();
  return { host, pods, [Symbol.dispose]: () => owned.dispose() };
}

/** Where the connection from `from` to `address` seems to come from, as the server in `to` sees it. `uid`: as which user. */
export async function sourceSeen(from: TestNetns, to: TestNetns, address: string, uid = 0): Promise<string> {
  // One program in each namespace; the server takes any port, tells it, and prints the peer of its first connection.
  const server = to.run(() =>
    spawn("python3", ["-u", "-c", SERVER, address], { stdio: ["ignore", "pipe", "inherit"] }),
  );
  try {
    const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
    const port = String((await lines.next()).value ?? "").trim();
    const client = from.run(() =>
      spawn("python3", ["-c", CLIENT, address, port, String(uid)], { stdio: ["ignore", "ignore", "pipe"] }),
    );
    let said = "";
    client.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    const ended = new Promise<number | null>((resolve) => client.on("close", resolve));
    const status = await ended;
    if (status !== 0) return `no connection: ${said.trim().split("\n").at(-1)}`;
    return String((await lines.next()).value ?? "").trim();
  } finally {
    server.kill("SIGKILL");
  }
}

const SERVER = `
import socket, sys
a = sys.argv[1]
s = socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET)
s.bind((a, 0)); s.listen(1)
print(s.getsockname()[1])
c, p = s.accept()
print(p[0])
`;
const CLIENT = `
import os, socket, sys
"x".encode("idna") # read before the interpreter's files may be unreadable
os.setuid(int(sys.argv[3]))
socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
`;
