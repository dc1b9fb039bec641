// The host's rule at work: who of the node reaches an enrolled pod past ztunnel, who does not, and that the node's own
// masquerading does not come first. The rules' text goes in by the tools; that ours say the same is netlink-against-tool's.
//
//   kubelet [node] cni0 ── pod (captured, ztunnel inside)      [node] cni1 ── neighbour (another pod)

import assert from "node:assert/strict";
import { test } from "node:test";
import { FAMILIES, type Family } from "../../src/core/address.ts";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import { ambientHostInetRules, ambientHostRules } from "../../src/core/rules/ambient-host.ts";
import { DEFAULT_PROBE_SOURCE, PROBE_SETS } from "../../src/core/rules/ambient-numbers.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import { renderNft } from "../../src/core/rules/render-nft.ts";
import { DEFAULT_AMBIENT_CAPTURE } from "../../testbed/ambient/ambient-cases.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { backendOf, DIALECTS } from "./backend-fixture.ts";
import { listen, NETTOOL, type Question, startAsking } from "./case-table-stage.ts";

const NODE = { 4: "10.77.0.1", 6: "fd77::1" } as const;
const POD = { 4: "10.77.0.2", 6: "fd77::2" } as const;
const NEIGHBOUR = { 4: "10.77.1.2", 6: "fd77:0:0:1::2" } as const;
const GATEWAY = { 4: "10.77.1.1", 6: "fd77:0:0:1::1" } as const;
const POD_RANGE = { 4: "10.77.0.0/16", 6: "fd77::/48" } as const;
const HOST = { families: { v4: true, v6: true }, probeSource: DEFAULT_PROBE_SOURCE };
const KUBELET_UID = 0;
const ROOT = { uid: KUBELET_UID, gid: 0 };
const APP = { uid: 1000, gid: 1000 };

for (const dialect of DIALECTS) {
  test(`${dialect}: the kubelet reaches enrolled pods past ztunnel, whoever masquerades; other pods and plain pods do not`, async () => {
    await using resources = new AsyncDisposableStack();
    const [node, pod, neighbour] = [0, 1, 2].map(() => resources.use(createNetns())) as [
      TestNetns,
      TestNetns,
      TestNetns,
    ];
    connect(node, pod, neighbour);
    await backendOf(dialect).apply(pod.fd, DEFAULT_AMBIENT_CAPTURE);
    for (const argv of [["ztunnel"], ["serve", "8080"]]) {
      const command = await listen(undefined, [NETTOOL, "--netns", pod.path, ...argv]);
      resources.use(command);
    }
    const asker = resources.use(startAsking([pod, node, neighbour]));
    let sourcePort = 20_000;
    /** Where connections to the pod land: of the kubelet, of another user of the node, of another pod. */
    const landings = async (): Promise<string[]> => {
      const questions = FAMILIES.flatMap((family) => [
        ask("peer", ROOT, family, sourcePort++),
        ask("peer", APP, family, sourcePort++),
        ask("guest", ROOT, family, sourcePort++),
      ]);
      return (await asker.ask(questions)).map((answer) => answer.split(" ").slice(0, 3).join(" "));
    };
    const [past, captured] = ["answered direct 8080", "answered captured 15006"];
    const twice = (...three: string[]): string[] => [...three, ...three];

    assert.deepEqual(await landings(), twice(captured, captured, captured), "without the rule");
    // As flannel has it: what comes into the pods' range from outside of it gets the node's address.
    for (const family of FAMILIES) {
      const tool = family === 4 ? "iptables-nft" : "ip6tables-nft";
      const range = POD_RANGE[family];
      node.mustExec([tool, "-t", "nat", "-A", "POSTROUTING", "-d", range, "-p", "tcp", "-j", "MASQUERADE"]);
    }
    install(node, dialect);
    assert.deepEqual(await landings(), twice(captured, captured, captured), "the pod is not in the set");
    enrol(node, dialect, "add");
    // An upstream difference that is kept (baseline, surprise 7): iptables lets every process of the node pass.
    const byOther = dialect === "nftables" ? captured : past;
    assert.deepEqual(await landings(), twice(past, byOther, captured), "the pod is in the set");
    enrol(node, dialect, "delete");
    assert.deepEqual(await landings(), twice(captured, captured, captured), "the pod was taken out");
  });
}

function connect(node: TestNetns, pod: TestNetns, neighbour: TestNetns): void {
  const settings = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.default.accept_dad=0"];
  for (const netns of [node, pod, neighbour]) netns.mustExec(["sysctl", "-q", "-w", ...settings]);
  for (const [name, peer, gateway, address] of [
    ["cni0", pod, NODE, POD],
    ["cni1", neighbour, GATEWAY, NEIGHBOUR],
  ] as const) {
    node.mustExec(["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", peer.path]);
    node.mustExec(["ip", "link", "set", name, "up"]);
    peer.mustExec(["ip", "link", "set", "eth0", "up"]);
    for (const family of FAMILIES) {
      const [length, flags] = family === 4 ? [24, []] : [64, ["nodad"]];
      node.mustExec(["ip", "addr", "add", `${gateway[family]}/${length}`, "dev", name, ...flags]);
      peer.mustExec(["ip", "addr", "add", `${address[family]}/${length}`, "dev", "eth0", ...flags]);
      peer.mustExec(["ip", `-${family}`, "route", "add", "default", "via", gateway[family]]);
    }
  }
}

/** Sets and rules, as the agent would have them. */
function install(node: TestNetns, dialect: BackendDialect): void {
  if (dialect === "nftables") {
    const sets = FAMILIES.map((family) => `set ${PROBE_SETS[family]} { type ipv${family}_addr; }`);
    const text = ambientHostInetRules(HOST, KUBELET_UID).map((ruleset) => renderNft(ruleset));
    node.mustExec(["nft", "-f", "-"], {
      input: `table inet istio-ambient-nat { ${sets.join("; ")}; }\n${text.join("")}`,
    });
    return;
  }
  for (const ruleset of ambientHostRules(HOST)) {
    const family = ruleset.family === 4 ? 4 : 6;
    const inet = family === 4 ? "inet" : "inet6";
    node.mustExec(["ipset", "create", PROBE_SETS[family], "hash:ip", "family", inet, "comment"]);
    const text = renderIptables(ruleset, { withoutPolicies: true });
    const jump = "-A POSTROUTING -j ISTIO_POSTRT";
    assert.ok(text.includes(jump));
    const tool = `${family === 4 ? "iptables" : "ip6tables"}-${dialect === "iptables-nft" ? "nft" : "legacy"}-restore`;
    node.mustExec([tool, "--noflush"], { input: text.replace(jump, "-I POSTROUTING 1 -j ISTIO_POSTRT") });
  }
}

function enrol(node: TestNetns, dialect: BackendDialect, action: "add" | "delete"): void {
  for (const family of FAMILIES) {
    const set = PROBE_SETS[family];
    if (dialect === "nftables") {
      node.mustExec(["nft", action, "element", "inet", "istio-ambient-nat", set, `{ ${POD[family]} }`]);
    } else node.mustExec(["ipset", action === "add" ? "add" : "del", set, POD[family]]);
  }
}

/** A connection to the pod's application; the asker knows the node as peer and the neighbour as guest. */
function ask(from: "peer" | "guest", user: Question["user"], family: Family, sourcePort: number): Question {
  return { from, protocol: "tcp", user, source: undefined, sourcePort, mark: 0, destination: POD[family], port: 8080 };
}
