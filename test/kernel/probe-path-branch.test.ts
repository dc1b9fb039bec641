// Pods behind an AWS branch network interface, as the VPC CNI lays them out for security groups for pods: everything from and to
// the pod goes through the VPC, which drops link-local sources. Probes get through by the rules of this agent, and without them
// they do not.
//
//   pod ── vlanabc [node] eth0 ── VPC ── vlan.eth.1 [node]        table 101: pod dev vlanabc, default by the VPC

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { tryProbePath } from "../../src/agent/ambient/try-probe-path.ts";
import { FAMILIES, type Family } from "../../src/core/address.ts";
import { renderProbePathHint } from "../../src/core/policy/probe-path-hints.ts";
import { decideSelfTest } from "../../src/core/policy/probe-self-test.ts";
import { DEFAULT_PROBE_SOURCE } from "../../src/core/rules/ambient-numbers.ts";
import { createSystemClock } from "../../src/platform/clock.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { connectTcp, listenTcp } from "../../src/platform/linux/tcp-socket.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { DIALECTS } from "./backend-fixture.ts";
import { hostProbesOf, ip, ips, UID } from "./host-probes-fixture.ts";

const POD = { 4: "10.99.1.5", 6: "fd99:1::5" } as const;
const NODE = { 4: "10.99.0.2", 6: "fd99::2" } as const;
const VPC = { 4: "10.99.0.1", 6: "fd99::1" } as const;
const VPC_VLAN = { 4: "10.99.2.1", 6: "fd99:2::1" } as const;
const NODE_VLAN = { 4: "10.99.2.2", 6: "fd99:2::2" } as const;
const GATEWAY = { 4: "169.254.1.1", 6: "fe80::1" } as const;
const SOURCE = { 4: DEFAULT_PROBE_SOURCE.v4, 6: DEFAULT_PROBE_SOURCE.v6 } as const;
const never = new AbortController().signal;

interface Layout extends Disposable {
  readonly node: TestNetns;
  readonly pod: TestNetns;
}

function createLayout(): Layout {
  using making = new DisposableStack();
  const [node, pod, vpc] = [making.use(createNetns()), making.use(createNetns()), making.use(createNetns())];
  const settings = ["ip_forward=1", "conf.all.rp_filter=0", "conf.default.rp_filter=0"].map((one) => `net.ipv4.${one}`);
  for (const netns of [node, pod, vpc]) {
    netns.mustExec([
      "sysctl",
      "-qw",
      ...settings,
      "net.ipv6.conf.all.forwarding=1",
      "net.ipv6.conf.default.accept_dad=0",
    ]);
  }
  node.mustExec(["sysctl", "-qw", "net.ipv4.tcp_early_demux=0"]);
  node.mustExec(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "toeth0", "netns", vpc.path]);
  node.mustExec(["ip", "link", "add", "vlan.eth.1", "type", "veth", "peer", "name", "tovlan", "netns", vpc.path]);
  node.mustExec(["ip", "link", "add", "vlanabc", "type", "veth", "peer", "name", "eth0", "netns", pod.path]);
  for (const name of ["eth0", "vlan.eth.1", "vlanabc"]) node.mustExec(["ip", "link", "set", name, "up"]);
  for (const name of ["toeth0", "tovlan"]) vpc.mustExec(["ip", "link", "set", name, "up"]);
  pod.mustExec(["ip", "link", "set", "eth0", "up"]);
  const macOf = (netns: TestNetns, name: string): string =>
    JSON.parse(netns.mustExec(["ip", "-j", "link", "show", name]))[0].address;
  for (const family of FAMILIES) {
    const [ipTool, length, dad] = [["ip", `-${family}`], family === 4 ? 24 : 64, family === 4 ? [] : ["nodad"]];
    const single = family === 4 ? 32 : 128;
    const add = (netns: TestNetns, address: string, bits: number, dev: string): void =>
      void netns.mustExec([...ipTool, "addr", "add", `${address}/${bits}`, "dev", dev, ...dad]);
    const run = (netns: TestNetns, words: string): void => void netns.mustExec([...ipTool, ...words.split(" ")]);
    add(node, NODE[family], length, "eth0");
    add(node, NODE_VLAN[family], length, "vlan.eth.1");
    add(vpc, VPC[family], length, "toeth0");
    add(vpc, VPC_VLAN[family], length, "tovlan");
    add(pod, POD[family], single, "eth0");
    run(pod, `neigh add ${GATEWAY[family]} lladdr ${macOf(node, "vlanabc")} dev eth0 nud permanent`);
    // The VPC knows where its interfaces are; the node would not answer for an address that its rules lead away.
    run(vpc, `neigh add ${NODE_VLAN[family]} lladdr ${macOf(node, "vlan.eth.1")} dev tovlan nud permanent`);
    run(node, `neigh add ${VPC_VLAN[family]} lladdr ${macOf(vpc, "tovlan")} dev vlan.eth.1 nud permanent`);
    run(pod, `route add default via ${GATEWAY[family]} dev eth0 onlink`);
    run(node, `route add default via ${VPC[family]}`);
    run(vpc, `route add ${POD[family]}/${single} via ${NODE_VLAN[family]}`);
    // As the VPC CNI writes them.
    run(node, `route add ${POD[family]}/${single} dev vlanabc table 101`);
    run(node, `route add default via ${VPC_VLAN[family]} table 101`);
    run(node, "rule add iif vlan.eth.1 lookup 101 pref 10");
    run(node, "rule add iif vlanabc lookup 101 pref 10");
    run(node, "rule add lookup local pref 20");
    run(node, "rule del lookup local pref 0");
  }
  vpc.mustExec(["nft", "-f", "-"], {
    input:
      "table inet vpc { chain c { type filter hook prerouting priority -300; ip saddr 169.254.0.0/16 drop; ip6 saddr fd16::/16 drop; ip daddr 169.254.0.0/16 drop; ip6 daddr fd16::/16 drop; }; }\n",
  });
  const owned = making.move();
  return { node, pod, [Symbol.dispose]: () => owned.dispose() };
}

async function tryPath(node: TestNetns, pod: TestNetns, family: Family, timeoutMs: number) {
  await using owned = new AsyncDisposableStack();
  const poller = createPoller((error) => assert.fail(String(error)));
  owned.defer(() => poller.close());
  const deps = {
    ...{ listenTcp, connectTcp, openNetlink, clock: createSystemClock() },
    watch: poller.watch,
    randomBytes: (count: number) => new Uint8Array(randomBytes(count)),
  };
  const path = { podNetnsFd: pod.fd, nodeNetnsFd: node.fd, address: ip(POD[family]) };
  return decideSelfTest(await tryProbePath(deps, path, never, { timeoutMs }), SOURCE[family]);
}

for (const dialect of DIALECTS) {
  test(`${dialect}: the self-test tells that the VPC loses probes, and that they arrive once they are led past it`, async () => {
    using layout = createLayout();
    const { node, pod } = layout;
    for (const family of FAMILIES) {
      // The VPC carries the node's own connections.
      const { message } = await tryPath(node, pod, family, 20_000);
      assert.match(message, new RegExp(`but from ${NODE[family]} instead`));
    }
    const without = hostProbesOf(node, dialect);
    await without.ensure();
    await without.put(UID.a, ips(POD[4], POD[6]));
    for (const family of FAMILIES) {
      const { result, reason } = await tryPath(node, pod, family, 1000);
      assert.deepEqual([result, reason], ["no-answer", "request-lost"]);
      assert.match(renderProbePathHint(reason, "fails"), /POD_SECURITY_GROUP_ENFORCING_MODE/);
    }
    const probes = hostProbesOf(node, dialect, { hasBranchInterfaces: true });
    await probes.put(UID.a, ips(POD[4], POD[6]));
    await probes.ensure();
    for (const family of FAMILIES) assert.equal((await tryPath(node, pod, family, 20_000)).result, "works");
  });
}
