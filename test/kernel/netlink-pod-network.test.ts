import assert from "node:assert/strict";
import { test } from "node:test";
import { exchange } from "../../src/agent/netfilter/netlink-conversation.ts";
import { readAddresses } from "../../src/agent/netfilter/read-addresses.ts";
import { type Cidr, FAMILIES, formatIp } from "../../src/core/address.ts";
import { ADDRESS_FLAGS } from "../../src/core/netlink/addresses.ts";
import type { HeldPodNetwork } from "../../src/core/netlink/pod-network.ts";
import {
  encodeAddPodNetwork,
  encodeRemovePodNetwork,
  missingPodNetwork,
  parseNetworkOutcome,
  surplusPodNetwork,
} from "../../src/core/netlink/pod-network.ts";
import {
  decodeLocalRoutes,
  decodePolicyRules,
  encodeGetPolicyRules,
  encodeGetRoutes,
} from "../../src/core/netlink/policy-routing.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import { sidecarNetwork } from "../../src/core/rules/sidecar.ts";
import type { NetlinkSocket } from "../../src/platform/linux/netlink-socket.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns } from "../../testbed/netns.ts";
import { SIDECAR_CASES } from "../../testbed/sidecar/sidecar-cases.ts";

const NOTHING = { addresses: [], policyRules: [], routes: [] };

test("address, policy rules and routes are added as ip does it, twice without harm, seen as held, and removed", () => {
  const network = sidecarNetwork(SIDECAR_CASES["tproxy"] ?? assert.fail());
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.route, netns.fd);
  const before = [netns.mustExec(["ip", "rule"]), netns.mustExec(["ip", "-6", "rule"])];
  assert.deepEqual(missingPodNetwork(network, held(socket)), network);
  for (const _ of [1, 2]) apply(socket, encodeAddPodNetwork(network));
  assert.match(netns.mustExec(["ip", "-6", "addr", "show", "dev", "lo"]), /inet6 ::6\/128/);
  for (const option of ["-4", "-6"]) {
    const rules = netns.mustExec(["ip", option, "rule"]);
    assert.equal(rules.match(/from all fwmark 0x539 lookup 133/g)?.length, 1, rules);
    const routes = netns.mustExec(["ip", option, "route", "show", "table", "133"]).trim();
    assert.match(routes, /^local default dev lo (proto boot )?(scope host|metric 1024)( pref medium)?$/);
  }
  assert.deepEqual(missingPodNetwork(network, held(socket)), NOTHING);
  for (const _ of [1, 2]) apply(socket, encodeRemovePodNetwork(network));
  assert.deepEqual([netns.mustExec(["ip", "rule"]), netns.mustExec(["ip", "-6", "rule"])], before);
  assert.deepEqual(missingPodNetwork(network, held(socket)), network);
});

test("::6 is never tentative: whoever binds to it right after may", () => {
  const network = sidecarNetwork(SIDECAR_CASES["default"] ?? assert.fail());
  for (let round = 0; round < 30; round++) {
    using netns = createNetns();
    using socket = openNetlink(NETLINK_PROTOCOL.route, netns.fd);
    apply(socket, encodeAddPodNetwork(network));
    const addresses = readAddresses(socket);
    const added = addresses.find(({ ip }) => formatIp(ip) === "::6") ?? assert.fail();
    assert.equal(added.flags & ADDRESS_FLAGS.tentative, 0);
  }
});

test("what of ours is not wanted is named at every priority, and a route others look up is not", () => {
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.route, netns.fd);
  const ours = sidecarNetwork(SIDECAR_CASES["tproxy"] ?? assert.fail());
  apply(socket, encodeAddPodNetwork(ours));
  netns.mustExec(["ip", "rule", "add", "fwmark", "1337", "lookup", "133", "pref", "7"]);
  assert.deepEqual(surplusPodNetwork(ours, ours, held(socket)), NOTHING);
  const surplus = surplusPodNetwork(ours, NOTHING, held(socket));
  assert.deepEqual(
    surplus.policyRules.map(({ family, priority }) => [family, priority]),
    [
      [4, 7],
      [4, 32765],
      [6, 32765],
    ],
  );
  assert.equal(surplus.routes.length, 2);
  for (const selector of [
    ["fwmark", "1", "lookup", "133"],
    ["fwmark", "1337", "ipproto", "udp", "lookup", "133"],
    ["to", "10.0.0.0/8", "lookup", "133"],
    ["fwmark", "1337", "lookup", "133", "suppress_prefixlength", "0"],
  ]) {
    netns.mustExec(["ip", "rule", "add", ...selector, "pref", "9"]);
    assert.equal(surplusPodNetwork(ours, NOTHING, held(socket)).routes.length, 1, selector.join(" "));
    assert.equal(surplusPodNetwork(ours, NOTHING, held(socket)).policyRules.length, 3, selector.join(" "));
    netns.mustExec(["ip", "rule", "del", "pref", "9"]);
  }
  apply(socket, encodeRemovePodNetwork(surplus));
  const { addresses, ...routing } = surplusPodNetwork(ours, NOTHING, held(socket));
  assert.deepEqual({ addresses: addresses.length, ...routing }, { addresses: 0, policyRules: [], routes: [] });
});

test("what ip itself adds counts as held, and a rule that selects by more than its mark does not", () => {
  const network = sidecarNetwork(SIDECAR_CASES["tproxy"] ?? assert.fail());
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.route, netns.fd);
  for (const option of ["-4", "-6"]) {
    netns.mustExec(["ip", option, "rule", "add", "fwmark", "1337", "iif", "lo", "lookup", "133"]);
    netns.mustExec(["ip", option, "rule", "add", "not", "fwmark", "1337", "lookup", "133"]);
  }
  assert.deepEqual(missingPodNetwork(network, held(socket)).policyRules, network.policyRules);
  for (const [option, all] of [
    ["-4", "0.0.0.0/0"],
    ["-6", "::/0"],
  ] as const) {
    netns.mustExec(["ip", option, "rule", "add", "fwmark", "1337", "lookup", "133"]);
    netns.mustExec(["ip", option, "route", "add", "local", all, "dev", "lo", "table", "133"]);
  }
  netns.mustExec(["ip", "-6", "addr", "add", "::6/128", "dev", "lo"]);
  assert.deepEqual(missingPodNetwork(network, held(socket)), NOTHING);
});

function apply(socket: NetlinkSocket, requests: Uint8Array | undefined): void {
  assert.ok(requests);
  assert.deepEqual(parseNetworkOutcome(exchange(socket, requests)), { kind: "done" });
}

function held(socket: NetlinkSocket): HeldPodNetwork {
  const addresses = readAddresses(socket);
  const policyRules = FAMILIES.map((family) => decodePolicyRules(exchange(socket, encodeGetPolicyRules(family))));
  return {
    addresses: addresses
      .filter(({ interfaceIndex }) => interfaceIndex === 1)
      .map(({ ip, prefixLength }): Cidr => ({ ...ip, prefixLength })),
    policyRules: policyRules.flatMap(({ rules }) => rules),
    otherLookups: policyRules.flatMap(({ otherLookups }) => otherLookups),
    routes: FAMILIES.flatMap((family) => decodeLocalRoutes(exchange(socket, encodeGetRoutes(family))).routes),
  };
}
