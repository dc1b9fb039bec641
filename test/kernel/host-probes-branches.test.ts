// Pods with an interface into the cloud's network of their own (contract 7.9), as the VPC plugin of AWS leaves a node: without
// further rules what the node sends to such a pod, and what the pod answers, takes the way into the VPC.

import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIp } from "../../src/core/address.ts";
import { DEFAULT_PROBE_SOURCE } from "../../src/core/rules/ambient-numbers.ts";
import { readNetSysctl } from "../../src/platform/linux/net-sysctl.ts";
import type { TestNetns } from "../../testbed/netns.ts";
import { createHostWithPods, hostProbesOf, ips, sourceSeen, UID } from "./host-probes-fixture.ts";

const BRANCHES = { hasBranchInterfaces: true };

/** The pod's way is in a table of its own, which what comes from the pod and from the VLAN is looked up in; the main one leads to the VPC. */
function makeBranch(host: TestNetns, veth: string, v4: string, v6: string): void {
  host.mustExec(["ip", "link", "add", "vpc", "type", "veth", "peer", "name", "cloud"]);
  host.mustExec(["ip", "link", "set", "cloud", "up"]);
  host.mustExec(["ip", "link", "set", "vpc", "up"]);
  // The link-local address stays: neighbours are asked for from there, as the probe source is no address of the node.
  host.mustExec(["ip", "addr", "flush", "dev", veth, "scope", "global"]);
  host.mustExec(["ip", "addr", "add", "10.99.0.1/16", "dev", "vpc"]);
  host.mustExec(["ip", "addr", "add", "fd99::1/64", "dev", "vpc", "nodad"]);
  host.mustExec(["ip", "route", "add", "default", "dev", "vpc"]);
  host.mustExec(["ip", "-6", "route", "add", "default", "dev", "vpc"]);
  for (const [ip, address, gateway] of [
    [["ip"], v4, "10.77.0.1/32"],
    [["ip", "-6"], v6, "fd77::1:1/128"],
  ] as const) {
    host.mustExec(["ip", "addr", "add", gateway, "dev", veth, ...(ip.length > 1 ? ["nodad"] : [])]);
    host.mustExec([...ip, "route", "add", address, "dev", veth, "table", "101"]);
    host.mustExec([...ip, "route", "add", "default", "dev", "vpc", "table", "101"]);
    // The plugin moves the rule for local addresses behind its own.
    host.mustExec([...ip, "rule", "add", "iif", veth, "lookup", "101", "pref", "10"]);
    host.mustExec([...ip, "rule", "add", "lookup", "local", "pref", "20"]);
    host.mustExec([...ip, "rule", "del", "pref", "0"]);
  }
}

function rulesIn(host: TestNetns): string[] {
  return [
    ["ip", "rule"],
    ["ip", "-6", "rule"],
  ].flatMap((argv) => host.mustExec(argv).trim().split("\n"));
}

test("probes reach a pod with a branch interface, and the rules for that go with the pod, by whomever it was told", async () => {
  using scene = createHostWithPods(1);
  const { host, pods } = scene;
  const [pod] = pods;
  assert.ok(pod !== undefined);
  makeBranch(host, "pod0", pod.v4, pod.v6);
  const before = rulesIn(host);
  const without = hostProbesOf(host, "nftables");
  await without.put(UID.a, ips(pod.v4, pod.v6));
  assert.deepEqual(rulesIn(host), before);
  const wayTo = (address: string): string => host.mustExec(["ip", "route", "get", address]);
  for (const address of [pod.v4, pod.v6]) assert.match(wayTo(address), / dev vpc /);

  const probes = hostProbesOf(host, "nftables", BRANCHES);
  assert.deepEqual((await probes.ensure()).notes, []);
  for (const address of [pod.v4, pod.v6]) assert.match(wayTo(address), / dev pod0 /);
  assert.equal(await sourceSeen(host, pod.netns, pod.v4), formatIp(DEFAULT_PROBE_SOURCE.v4));
  assert.equal(await sourceSeen(host, pod.netns, pod.v6), formatIp(DEFAULT_PROBE_SOURCE.v6));
  const added = rulesIn(host).filter((line) => !before.includes(line));
  assert.equal(added.length, 4);
  assert.equal((await probes.ensure()).changed, false);

  // Somebody takes one away.
  host.mustExec(["ip", "rule", "del", "pref", "512"]);
  const said = "the rules that lead probes to branch network interfaces are not as they should be";
  assert.deepEqual(await probes.drift(), [said]);
  assert.deepEqual((await probes.ensure()).repaired, [said]);
  assert.deepEqual(
    rulesIn(host).filter((line) => !before.includes(line)),
    added,
  );

  // The network plugin takes the interface away before anybody tells us of the pod's end.
  host.mustExec(["ip", "link", "del", "pod0"]);
  host.mustExec(["ip", "rule", "del", "pref", "10"]);
  host.mustExec(["ip", "-6", "rule", "del", "pref", "10"]);
  await probes.remove(UID.a);
  assert.deepEqual(
    rulesIn(host),
    before.filter((line) => !line.startsWith("10:")),
  );
});

test("upstream's rules are taken over and taken away with everything else, those of the network plugin stay", async () => {
  using scene = createHostWithPods(1);
  const { host, pods } = scene;
  const [pod] = pods;
  assert.ok(pod !== undefined);
  makeBranch(host, "pod0", pod.v4, pod.v6);
  host.mustExec(["ip", "rule", "add", "to", "10.0.0.9", "lookup", "main", "pref", "512"]);
  const before = rulesIn(host);
  host.mustExec(["ip", "rule", "add", "to", pod.v4, "lookup", "101", "pref", "512"]);
  host.mustExec(["ip", "rule", "add", "iif", "pod0", "lookup", "local", "pref", "9"]);
  const taken = rulesIn(host);
  const probes = hostProbesOf(host, "iptables-nft", { ...BRANCHES, families: { v4: true, v6: false } });
  await probes.put(UID.a, ips(pod.v4));
  await probes.ensure();
  assert.deepEqual(rulesIn(host), taken);
  assert.equal(await probes.removeAll(), true);
  assert.deepEqual(rulesIn(host), before);
});

test("whether a node is made for such interfaces is a setting of its own namespace, not of the reader's", () => {
  using scene = createHostWithPods(1);
  const { host, pods } = scene;
  host.mustExec(["sysctl", "-qw", "net.ipv4.tcp_early_demux=0"]);
  assert.equal(readNetSysctl(host.fd, "ipv4.tcp_early_demux"), "0");
  assert.equal(readNetSysctl(pods[0]?.netns.fd ?? -1, "ipv4.tcp_early_demux"), "1");
  assert.equal(readNetSysctl(host.fd, "ipv4.no_such_setting"), undefined);
  for (const name of ["ipv4", "../x", "ipv4.a/b"]) assert.throws(() => readNetSysctl(host.fd, name), RangeError);
});

test("a node without such interfaces gets no rule", async () => {
  using scene = createHostWithPods(1);
  const { host, pods } = scene;
  const [pod] = pods;
  assert.ok(pod !== undefined);
  const before = rulesIn(host);
  const probes = hostProbesOf(host, "nftables", BRANCHES);
  await probes.put(UID.a, ips(pod.v4, pod.v6));
  await probes.ensure();
  assert.deepEqual(rulesIn(host), before);
});
