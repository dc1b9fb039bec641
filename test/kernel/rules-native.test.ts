import assert from "node:assert/strict";
import { test } from "node:test";
import { exchange } from "../../src/agent/netfilter/netlink-conversation.ts";
import {
  decodeNativeNft,
  encodeNativeNft,
  encodeNativeNftChange,
  type HeldNativeRuleset,
} from "../../src/core/netlink/native-nft.ts";
import { collectDump } from "../../src/core/netlink/reply.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import type { Ruleset } from "../../src/core/rules/model.ts";
import { renderNft } from "../../src/core/rules/render-nft.ts";
import { sidecarInetRules } from "../../src/core/rules/sidecar.ts";
import type { NetlinkSocket } from "../../src/platform/linux/netlink-socket.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import type { TestNetns } from "../../testbed/netns.ts";
import { createNetns } from "../../testbed/netns.ts";
import { SIDECAR_CASES } from "../../testbed/sidecar/sidecar-cases.ts";
import { dumpNft, mustSendBatch, sendBatch } from "./netlink-exchange.ts";

for (const [name, capture] of Object.entries(SIDECAR_CASES)) {
  test(`${name}: our batch leaves what nft leaves of the same text, and both read back as the model`, () => {
    const ruleset = sidecarInetRules(capture);
    using ours = createNetns();
    using theirs = createNetns();
    using ourSocket = openNetlink(NETLINK_PROTOCOL.netfilter, ours.fd);
    using theirSocket = openNetlink(NETLINK_PROTOCOL.netfilter, theirs.fd);
    mustSendBatch(ourSocket, encodeNativeNft(ruleset));
    theirs.mustExec(["nft", "-f", "-"], { input: renderNft(ruleset, { withIntent: true }) });
    assert.equal(list(ours), renderNft(ruleset));
    assert.equal(list(theirs), renderNft(ruleset));
    for (const socket of [ourSocket, theirSocket]) assert.deepEqual(withoutNotes(held(socket)), withoutNotes(ruleset));
  });
}

test("one batch leads from every case to the next, none is needed when the rules stand, and the last one leaves nothing", () => {
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  netns.mustExec(["nft", "add", "table", "inet", "theirs"]);
  for (const [name, capture] of Object.entries(SIDECAR_CASES)) {
    const desired = sidecarInetRules(capture);
    mustSendBatch(socket, encodeNativeNftChange(held(socket), desired) ?? assert.fail(name));
    assert.deepEqual(withoutNotes(held(socket)), withoutNotes(desired), name);
    assert.equal(encodeNativeNftChange(held(socket), desired), undefined, name);
    const refused = sendBatch(socket, encodeNativeNft(desired));
    assert.equal(refused.kind, "refused", name);
  }
  mustSendBatch(socket, encodeNativeNftChange(held(socket), undefined) ?? assert.fail());
  assert.equal(list(netns), "table inet theirs {\n}\n");
});

function held(socket: NetlinkSocket): HeldNativeRuleset {
  return decodeNativeNft(dumpNft(socket), (requests) =>
    requests.flatMap((request) => collectDump("list the elements of a set", exchange(socket, request)).messages),
  );
}

function list(netns: TestNetns): string {
  return netns.mustExec(["nft", "-s", "list", "ruleset"]);
}

function withoutNotes(ruleset: Ruleset) {
  return ruleset.tables.map(({ name, chains }) => ({
    name,
    chains: chains.map((chain) => ({
      ...chain,
      rules: chain.rules.map(({ matches, verdict }) => ({ matches, verdict })),
    })),
  }));
}
