// Talks to a kernel with the bytes of the netlink codec, for its kernel tests.

import assert from "node:assert/strict";
import { exchange } from "../../src/agent/netfilter/netlink-conversation.ts";
import type { HeldRuleset } from "../../src/core/netlink/iptables-nft.ts";
import { decodeIptablesNft } from "../../src/core/netlink/iptables-nft.ts";
import type { NetlinkMessage } from "../../src/core/netlink/message.ts";
import type { BatchOutcome } from "../../src/core/netlink/nfnetlink.ts";
import { parseBatchOutcome } from "../../src/core/netlink/nfnetlink.ts";
import { encodeNftDumpRequests } from "../../src/core/netlink/nft-dump.ts";
import { collectDump } from "../../src/core/netlink/reply.ts";
import type { NetlinkSocket } from "../../src/platform/linux/netlink-socket.ts";

/** Sends a batch and reads what became of it. */
export function sendBatch(socket: NetlinkSocket, batch: Uint8Array): BatchOutcome {
  const outcome = parseBatchOutcome(exchange(socket, batch));
  assert.ok(outcome, "the kernel answers a batch");
  return outcome;
}

/** Sends a batch that must be committed. */
export function mustSendBatch(socket: NetlinkSocket, batch: Uint8Array): void {
  assert.deepEqual(sendBatch(socket, batch), { kind: "committed" });
}

/** Everything the netns holds in nf_tables. */
export function dumpNft(socket: NetlinkSocket): NetlinkMessage[] {
  return encodeNftDumpRequests().flatMap((request) => {
    const { messages, interrupted } = collectDump("dump nf_tables", exchange(socket, request));
    assert.equal(interrupted, false);
    return messages;
  });
}

/** The iptables tables of both families, read back. */
export function dumpIptables(socket: NetlinkSocket): HeldRuleset[] {
  const messages = dumpNft(socket);
  return [decodeIptablesNft(messages, 4), decodeIptablesNft(messages, 6)];
}
