import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cidr } from "../../src/core/address.ts";
import { encodeIptablesNft, encodeIptablesNftChange } from "../../src/core/netlink/iptables-nft.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import { sidecarRules } from "../../src/core/rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns } from "../../testbed/netns.ts";
import { dumpIptables, mustSendBatch } from "./netlink-exchange.ts";

/** The longest list an annotation may hold. */
const MAX_ENTRIES = 1024;

test("a pod whose every annotation is as long as it may be is captured in one batch and verified", () => {
  const ports = Array.from({ length: MAX_ENTRIES }, (_, index) => index + 1);
  const ranges = ports.flatMap((number): Cidr[] => [
    { family: number % 2 === 0 ? 4 : 6, bytes: rangeOf(number), prefixLength: 30 },
  ]);
  const capture: SidecarCapture = {
    ...DEFAULT_SIDECAR_CAPTURE,
    outboundIpRanges: { include: ranges, exclude: ranges },
    inboundPorts: { include: "*", exclude: ports },
    outboundPorts: { include: ports, exclude: ports },
    excludeInterfaces: ports.map((number) => `eth${number}`),
    families: { v4: true, v6: true },
  };
  const desired = sidecarRules(capture);
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  mustSendBatch(socket, encodeIptablesNft(desired));
  assert.equal(encodeIptablesNftChange(dumpIptables(socket), desired), undefined);
});

function rangeOf(number: number): Uint8Array {
  const bytes = new Uint8Array(number % 2 === 0 ? 4 : 16);
  bytes.set([10, number >> 8, number & 0xff]);
  return bytes;
}
