import assert from "node:assert/strict";
import { test } from "node:test";
import { exchange } from "../../src/agent/netfilter/netlink-conversation.ts";
import { encodeIptablesNft, encodeIptablesNftChange } from "../../src/core/netlink/iptables-nft.ts";
import { decodeGeneration, encodeGetGeneration } from "../../src/core/netlink/nfnetlink.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import type { Ruleset } from "../../src/core/rules/model.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import { sidecarRules } from "../../src/core/rules/sidecar.ts";
import type { NetlinkSocket } from "../../src/platform/linux/netlink-socket.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import type { TestNetns } from "../../testbed/netns.ts";
import { createNetns } from "../../testbed/netns.ts";
import { SIDECAR_CASES } from "../../testbed/sidecar/sidecar-cases.ts";
import { dumpIptables, mustSendBatch, sendBatch } from "./netlink-exchange.ts";

const ERESTART = 85;

test("one batch leads from every case to the next, and none is needed when the rules stand", () => {
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  let formerly: readonly Ruleset[] = [];
  for (const [name, capture] of Object.entries(SIDECAR_CASES)) {
    const desired = sidecarRules(capture);
    const batch = encodeIptablesNftChange(dumpIptables(socket), desired, { formerly });
    assert.ok(batch, name);
    mustSendBatch(socket, batch);
    const expected = desired.map((ruleset) => linesOf(renderIptables(ruleset)));
    assert.deepEqual([save(netns, "iptables-nft-save"), save(netns, "ip6tables-nft-save")], expected, name);
    const before = generation(socket);
    assert.equal(encodeIptablesNftChange(dumpIptables(socket), desired), undefined, name);
    assert.equal(generation(socket), before);
    formerly = desired;
  }
});

test("damage done by hand is repaired in one batch, whoever else has rules there", () => {
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  const desired = sidecarRules(SIDECAR_CASES["dns"] ?? assert.fail());
  mustSendBatch(socket, encodeIptablesNft(desired));
  const whole = save(netns, "iptables-nft-save");
  const damages = [
    ["-D", "ISTIO_OUTPUT", "3"],
    ["-D", "OUTPUT", "-j", "ISTIO_OUTPUT"],
    ["-F", "ISTIO_REDIRECT"],
    ["-I", "ISTIO_INBOUND", "1", "-j", "RETURN"],
    ["-A", "ISTIO_OUTPUT", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "RETURN"],
    ["-A", "PREROUTING", "-p", "tcp", "-j", "ISTIO_INBOUND"],
    ["-N", "ISTIO_STRANGE"],
    ["-R", "ISTIO_IN_REDIRECT", "1", "-p", "tcp", "-j", "REDIRECT", "--to-ports", "15007"],
  ];
  for (const damage of damages) {
    netns.mustExec(["iptables-nft", "-t", "nat", ...damage]);
    const batch = encodeIptablesNftChange(dumpIptables(socket), desired);
    assert.ok(batch, damage.join(" "));
    mustSendBatch(socket, batch);
    assert.deepEqual(save(netns, "iptables-nft-save"), whole, damage.join(" "));
  }
});

test("a change that was worked out before somebody else changed the rules is refused", () => {
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  const seen = generation(socket);
  const held = dumpIptables(socket);
  netns.mustExec(["iptables-nft", "-t", "nat", "-A", "OUTPUT", "-j", "ACCEPT"]);
  const desired = sidecarRules(SIDECAR_CASES["default"] ?? assert.fail());
  const late = encodeIptablesNftChange(held, desired, { generation: seen });
  const outcome = sendBatch(socket, late ?? assert.fail());
  assert.equal(outcome.kind === "refused" ? outcome.refusals[0]?.errno : undefined, ERESTART);
  const again = encodeIptablesNftChange(dumpIptables(socket), desired, { generation: generation(socket) });
  mustSendBatch(socket, again ?? assert.fail());
});

function generation(socket: NetlinkSocket): number {
  const [datagram] = exchange(socket, encodeGetGeneration());
  return decodeGeneration(datagram ?? assert.fail());
}

function save(netns: TestNetns, tool: string): string[] {
  return linesOf(netns.mustExec([tool]));
}

/** The rules and own chains; a table that is empty now says nothing. */
function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line.startsWith("-A") || / - \[/.test(line));
}
