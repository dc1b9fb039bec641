import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeLoopbackIsUp } from "./loopback-up.ts";
import { NetlinkFormatError } from "./message.ts";
import { RTM } from "./rtnetlink.ts";
import { NetlinkWriter } from "./writer.ts";

/** As the kernel tells of lo: family, index, flags, change mask. */
function link(words: readonly number[]): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type: RTM.NEWLINK, flags: 0, sequence: 1 }, () => {
    for (const word of words) writer.u32(word);
  });
  return writer.finish();
}

test("lo is on by the first of its flags, whatever the others are", () => {
  assert.equal(decodeLoopbackIsUp([link([0, 1, 0x10049, 0])]), true);
  assert.equal(decodeLoopbackIsUp([link([0, 1, 0x8, 1])]), false);
});

test("no answer about lo, or half of one, is an error, not a lo that is off", () => {
  for (const datagrams of [[], [link([0, 1])]]) assert.throws(() => decodeLoopbackIsUp(datagrams), NetlinkFormatError);
});
