// Our ipsets and nft sets against the tools': what they send for the same, what they print of ours, what we read of theirs.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createHostIpsets } from "../../src/agent/netfilter/host-ipsets.ts";
import { exchange } from "../../src/agent/netfilter/netlink-conversation.ts";
import { FAMILIES, formatIp } from "../../src/core/address.ts";
import {
  encodeIpsetAdd,
  encodeIpsetCreate,
  encodeIpsetDelete,
  encodeIpsetDestroy,
  encodeIpsetList,
} from "../../src/core/netlink/ipset.ts";
import { decodeIpset } from "../../src/core/netlink/ipset-dump.ts";
import { attributeMap, type NetlinkMessage, parseMessages, viewOf } from "../../src/core/netlink/message.ts";
import { type BatchMessage, encodeBatch, NFGENMSG_BYTES, NFT_MSG } from "../../src/core/netlink/nfnetlink.ts";
import { addTable } from "../../src/core/netlink/nft-message.ts";
import {
  addNamedSet,
  createElements,
  deleteElements,
  deleteNamedSet,
  encodeGetElements,
  encodeGetSets,
} from "../../src/core/netlink/nft-set.ts";
import { decodeElements, decodeSets } from "../../src/core/netlink/nft-set-dump.ts";
import { collectDump } from "../../src/core/netlink/reply.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import { PROBE_SETS } from "../../src/core/rules/ambient-numbers.ts";
import { type NetlinkSocket, openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { HOST_DEPS, ip, ips, UID } from "./host-probes-fixture.ts";
import { mustSendBatch } from "./netlink-exchange.ts";

const TABLE = "istio-ambient-nat";
const ADDRESSES = { 4: "10.244.0.7", 6: "fd00:10:244::7" } as const;

let folder = "";
let captures = 0;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "set-capture-"));
  const source = new URL("netlink-capture.c", import.meta.url).pathname;
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim(), source, "-ldl"], {
    timeout: 60_000,
  });
});
after(() => rmSync(folder, { recursive: true, force: true }));

for (const family of FAMILIES) {
  const name = PROBE_SETS[family];
  const address = ADDRESSES[family];

  test(`IPv${family}: each request of ours says what ipset 7.17 says, but for protocol 6 and revision 2`, () => {
    using netns = createNetns({ loopbackUp: false });
    const sent = (...argv: string[]): string => meaningOf(last(capture(netns, ["ipset", ...argv])));
    const hasFamily = family === 6 ? ["family", "inet6"] : [];
    assert.equal(sent("create", name, "hash:ip", ...hasFamily, "comment"), ours(encodeIpsetCreate(name, family)));
    assert.equal(
      sent("add", name, address, "comment", UID.a),
      ours(...encodeIpsetAdd(name, [{ ip: ip(address), comment: UID.a }])),
    );
    assert.equal(sent("del", name, address), ours(...encodeIpsetDelete(name, [ip(address)])));
    assert.equal(sent("list", name), ours(encodeIpsetList(name)));
    assert.equal(sent("destroy", name), ours(encodeIpsetDestroy(name)));
  });

  test(`IPv${family}: ipset prints of ours what it prints of its own, and each reads the other's`, () => {
    using ourNetns = createNetns({ loopbackUp: false });
    using theirNetns = createNetns({ loopbackUp: false });
    const sets = createHostIpsets(HOST_DEPS, ourNetns.fd);
    assert.equal(sets.state(family), "absent");
    assert.equal(sets.read(family), undefined);
    sets.create(family);
    sets.write(family, [{ ip: ip(address), podUid: UID.a }], []);
    const hasFamily = family === 6 ? ["family", "inet6"] : [];
    theirNetns.mustExec(["ipset", "create", name, "hash:ip", ...hasFamily, "comment"]);
    theirNetns.mustExec(["ipset", "add", name, address, "comment", UID.a]);
    assert.equal(listing(ourNetns, name), listing(theirNetns, name));

    const theirs = createHostIpsets(HOST_DEPS, theirNetns.fd);
    assert.equal(theirs.state(family), "usable");
    assert.deepEqual(theirs.read(family), [{ ip: ip(address), podUid: UID.a }]);
    // A tool that makes sure of its set finds ours good enough, and so do we theirs.
    ourNetns.mustExec(["ipset", "create", "-exist", name, "hash:ip", ...hasFamily, "comment"]);
    theirs.create(family);
  });

  test(`IPv${family}: nft prints our set as its own, and each reads the other's`, () => {
    using ourNetns = createNetns({ loopbackUp: false });
    using theirNetns = createNetns({ loopbackUp: false });
    using socket = openNetlink(NETLINK_PROTOCOL.netfilter, ourNetns.fd);
    const ref = { family: "inet", table: TABLE, set: name } as const;
    const element = { ip: ip(address), comment: UID.a };
    mustSendBatch(
      socket,
      encodeBatch([addTable("inet", TABLE), addNamedSet(ref, family, 1, "why"), ...createElements(ref, [element])]),
    );
    const text = `add table inet ${TABLE}
add set inet ${TABLE} ${name} { type ipv${family}_addr; comment "why"; }
add element inet ${TABLE} ${name} { ${address} comment "${UID.a}" }
`;
    const sent = capture(theirNetns, ["nft", "-f", "-"], text);
    assert.equal(ourNetns.mustExec(["nft", "list", "ruleset"]), theirNetns.mustExec(["nft", "list", "ruleset"]));
    const sets = [addNamedSet(ref, family, 1, "why"), ...createElements(ref, [element])];
    assert.deepEqual(sent.filter(isOfSets).map(meaningOf), messagesOf(sets).map(meaningOf));

    using theirSocket = openNetlink(NETLINK_PROTOCOL.netfilter, theirNetns.fd);
    for (const one of [socket, theirSocket]) {
      assert.deepEqual(decodeSets(mustDump(one, encodeGetSets("inet", TABLE))), [{ name, keys: family }]);
      assert.deepEqual(decodeElements(mustDump(one, encodeGetElements(ref))), [element]);
      mustSendBatch(one, encodeBatch(deleteElements(ref, [element.ip])));
      assert.deepEqual(decodeElements(mustDump(one, encodeGetElements(ref))), []);
      mustSendBatch(one, encodeBatch([deleteNamedSet(ref)]));
      assert.deepEqual(decodeSets(mustDump(one, encodeGetSets("inet", TABLE))), []);
    }
  });
}

test("an address that is added again has the new comment, in an ipset and, gone and come in one batch, in nftables", () => {
  using netns = createNetns({ loopbackUp: false });
  const sets = createHostIpsets(HOST_DEPS, netns.fd);
  sets.create(4);
  for (const podUid of [UID.a, UID.b]) sets.write(4, [{ ip: ip(ADDRESSES[4]), podUid }], []);
  assert.deepEqual(sets.read(4), [{ ip: ip(ADDRESSES[4]), podUid: UID.b }]);
  sets.write(4, [], ips(ADDRESSES[4], "10.9.9.9"));
  assert.deepEqual(sets.read(4), []);
});

test("a set that rules look into is not destroyed, and has the number iptables knows it by", () => {
  using netns = createNetns({ loopbackUp: false });
  const sets = createHostIpsets(HOST_DEPS, netns.fd);
  assert.equal(sets.numbers().numberOf(PROBE_SETS[4]), undefined);
  netns.mustExec(["ipset", "create", "somebody-elses", "hash:net"]);
  sets.create(6);
  sets.create(4);
  netns.mustExec(["iptables-nft", "-A", "INPUT", "-m", "set", "--match-set", PROBE_SETS[4], "src", "-j", "DROP"]);
  assert.equal(sets.destroy(4), false);
  assert.equal(sets.destroy(6), true);
  assert.equal(sets.destroy(6), true);
  // The kernel counts from 0 in the order in which sets were made.
  assert.deepEqual([sets.numbers().numberOf(PROBE_SETS[4]), sets.numbers().nameOf(2)], [2, PROBE_SETS[4]]);
  assert.equal(sets.numbers().nameOf(0), undefined);
});

test("sets that do not serve are told by what they are, and a name that is taken by another kind is refused in words", () => {
  const cases: [argv: string[], why: string][] = [
    [["hash:net"], "it is of type hash:net"],
    [["hash:ip"], "it has no comments"],
    [["hash:ip", "family", "inet6", "comment"], "it is not of IPv4"],
    [["hash:ip", "comment", "timeout", "60"], "its entries time out"],
  ];
  for (const [argv, unusable] of cases) {
    using netns = createNetns({ loopbackUp: false });
    const sets = createHostIpsets(HOST_DEPS, netns.fd);
    netns.mustExec(["ipset", "create", PROBE_SETS[4], ...argv]);
    assert.deepEqual(sets.state(4), { unusable });
    assert.equal(sets.read(4), undefined);
    // The kernel does not compare families (ip_set_core.c, ip_set_create): to look first is the only way to know.
    const taken = /make ipset istio-inpod-probes-v4: kernel answers errno 17, there is a set of that name/;
    if (!argv.includes("inet6")) assert.throws(() => sets.create(4), taken);
    assert.equal(sets.destroy(4), true);
  }
  using netns = createNetns({ loopbackUp: false });
  const sets = createHostIpsets(HOST_DEPS, netns.fd);
  assert.throws(() => sets.write(4, [{ ip: ip("10.0.0.1"), podUid: UID.a }], []), /errno 2, there is no such set/);
});

test("a list of many addresses is read whole, in several datagrams", () => {
  using netns = createNetns({ loopbackUp: false });
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  const sets = createHostIpsets(HOST_DEPS, netns.fd);
  sets.create(6);
  const all = Array.from({ length: 2000 }, (_, index) => ip(`fd00::${(index + 1).toString(16)}`));
  sets.write(
    6,
    all.map((one) => ({ ip: one, podUid: UID.a })),
    [],
  );
  const datagrams = [...exchange(socket, encodeIpsetList(PROBE_SETS[6]))];
  assert.ok(datagrams.length > 1);
  const held = decodeIpset(collectDump("list", datagrams).messages);
  assert.deepEqual(new Set(held?.entries.map((entry) => formatIp(entry.ip))), new Set(all.map(formatIp)));
});

function shim(): string {
  return join(folder, "netlink-capture.so");
}

/** What a tool sends. */
function capture(netns: TestNetns, argv: string[], input?: string): NetlinkMessage[] {
  const path = join(folder, `capture-${++captures}`);
  netns.mustExec(argv, { env: { LD_PRELOAD: shim(), NETLINK_CAPTURE: path }, ...(input !== undefined && { input }) });
  return parseMessages(new Uint8Array(readFileSync(path)));
}

/** Before what it was asked for, ipset asks for protocol and type of the set. */
function last(messages: readonly NetlinkMessage[]): NetlinkMessage {
  return messages.at(-1) ?? assert.fail();
}

function ours(...requests: Uint8Array[]): string {
  assert.equal(requests.length, 1);
  return meaningOf(last(parseMessages(requests[0] ?? new Uint8Array())));
}

function messagesOf(batch: readonly BatchMessage[]): NetlinkMessage[] {
  return parseMessages(encodeBatch(batch)).filter(({ payload }) => payload.length > NFGENMSG_BYTES);
}

function isOfSets({ type }: NetlinkMessage): boolean {
  return type === NFT_MSG.NEWSET || type === NFT_MSG.NEWSETELEM;
}

/**
 * Type and attributes, in the order of their numbers. Left out or made alike: header flags a tool's own options decide (create
 * or fail), protocol and revision, the line of an input file, the id of a set within its batch, and that one entry may stand
 * alone or in a list of one.
 */
function meaningOf({ type, payload }: NetlinkMessage): string {
  const isIpset = type >> 8 === 6;
  const attributes = attributeMap(payload.subarray(NFGENMSG_BYTES));
  if (isIpset) {
    for (const left of [1, 4, 9]) attributes.delete(left);
    const list = attributes.get(8);
    if (list !== undefined) {
      attributes.set(7, list.subarray(4, viewOf(list).getUint16(0, true)));
      attributes.delete(8);
    }
    const entry = attributes.get(7);
    // IPSET_ATTR_LINENO stands in the entry too when it stands alone.
    if (entry !== undefined && attributeMap(entry).has(9)) attributes.set(7, entry.subarray(0, entry.length - 8));
  } else for (const left of type === NFT_MSG.NEWSET ? [10] : [4]) attributes.delete(left);
  const shown = [...attributes].toSorted(([left], [right]) => left - right);
  return [type, ...shown.map(([number, value]) => `${number}=${Buffer.from(value).toString("hex")}`)].join(" ");
}

function listing(netns: TestNetns, name: string): string {
  // The revision is what the tool's own kernel offers, the seed is random, the sizes follow from both.
  return netns
    .mustExec(["ipset", "list", name])
    .replace(/Revision: \d+/, "")
    .replace(/ bucketsize \d+ initval 0x[0-9a-f]+/, "")
    .replace(/Size in memory: \d+/, "");
}

function mustDump(socket: NetlinkSocket, request: Uint8Array): readonly NetlinkMessage[] {
  return collectDump("dump", exchange(socket, request)).messages;
}
