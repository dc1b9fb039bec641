import assert from "node:assert/strict";
import { test } from "node:test";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { dump } from "./netlink-conversation.ts";

const DUMP_INTERRUPTED = 0x10;
const DONE = 3;

function message(bytes: number, type: number, flags = 0): Uint8Array {
  const datagram = new Uint8Array(bytes);
  const view = new DataView(datagram.buffer);
  view.setUint32(0, bytes, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  return datagram;
}

/** Answers each request alike, and counts what was taken of it. */
function answering(answer: () => Iterable<Uint8Array>): {
  readonly socket: NetlinkSocket;
  readonly taken: () => number;
} {
  let datagrams = [][Symbol.iterator]() as Iterator<Uint8Array>;
  let taken = 0;
  const socket: NetlinkSocket = {
    fd: 3,
    send: () => {
      datagrams = answer()[Symbol.iterator]();
    },
    receive() {
      const next = datagrams.next();
      if (next.done === true) return undefined;
      taken += next.value.length;
      return next.value;
    },
    close() {},
    [Symbol.dispose]() {},
  };
  return { socket, taken: () => taken };
}

const read = (socket: NetlinkSocket) => dump(socket, "read the rules", new Uint8Array(16));
const TOO_MUCH = /^Error: Cannot read what the network namespace holds: it is more than 16 MiB, or much and changed/;

test("an answer without end is given up, and does not keep the thread", () => {
  const part = message(32 * 1024, 20);
  const { socket, taken } = answering(function* () {
    for (;;) yield part;
  });
  assert.throws(() => read(socket), TOO_MUCH);
  assert.ok(taken() <= 17 << 20);
});

test("what changes while it is read is read again, and less often where it is much", () => {
  const changing = (bytes: number) =>
    answering(() => [message(bytes, 20, DUMP_INTERRUPTED), message(20, DONE, DUMP_INTERRUPTED)]);
  const little = changing(1024);
  assert.throws(() => read(little.socket), /^Error: Cannot read the rules: it changed during each of 5 reads$/);
  const much = changing(7 << 20);
  assert.throws(() => read(much.socket), TOO_MUCH);
  assert.ok(much.taken() <= 22 << 20);
});
