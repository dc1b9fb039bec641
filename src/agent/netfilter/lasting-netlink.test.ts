import assert from "node:assert/strict";
import { test } from "node:test";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import { createLastingNetlink } from "./lasting-netlink.ts";

/** Sockets that answer with what was sent, and tell what became of them. */
function createSockets() {
  const events: string[] = [];
  let opened = 0;
  let isBroken = false;
  const open = (protocol: number, netnsFd: number): NetlinkSocket => {
    const fd = ++opened;
    const answers: Uint8Array[] = [];
    events.push(`open ${fd}: protocol ${protocol} in ${netnsFd}`);
    const close = () => void events.push(`close ${fd}`);
    return {
      fd,
      send(bytes) {
        answers.push(bytes);
        if (bytes.length > 1) events.push(`sent by ${fd}`);
      },
      receive() {
        if (isBroken) throw new Error("ENOBUFS");
        return answers.shift();
      },
      close,
      [Symbol.dispose]: close,
    };
  };
  return {
    open,
    events,
    break: (broken: boolean) => {
      isBroken = broken;
    },
  };
}

test("conversations of one protocol share a socket, which is closed at the end only", () => {
  const sockets = createSockets();
  {
    using lasting = createLastingNetlink(sockets.open, 7);
    for (const protocol of [12, 0, 12]) {
      using socket = lasting.open(protocol, 7);
      socket.send(Uint8Array.of(protocol));
      assert.deepEqual(socket.receive(), Uint8Array.of(protocol));
    }
    assert.deepEqual(sockets.events, ["open 1: protocol 12 in 7", "open 2: protocol 0 in 7"]);
  }
  assert.deepEqual(sockets.events.slice(2), ["close 1", "close 2"]);
});

test("what one conversation has left unread is not the next one's answer", () => {
  using lasting = createLastingNetlink(createSockets().open, 7);
  lasting.open(12, 7).send(Uint8Array.of(1));
  const next = lasting.open(12, 7);
  next.send(Uint8Array.of(2));
  assert.deepEqual(next.receive(), Uint8Array.of(2));
  assert.equal(next.receive(), undefined);
});

test("a socket that fails is not lent again", () => {
  const sockets = createSockets();
  using lasting = createLastingNetlink(sockets.open, 7);
  const first = lasting.open(12, 7);
  sockets.break(true);
  assert.throws(() => first.receive(), /ENOBUFS/);
  sockets.break(false);
  assert.equal(lasting.open(12, 7).fd, 2);
  assert.deepEqual(sockets.events.slice(1), ["close 1", "open 2: protocol 12 in 7"]);
});

test("after the end nothing is lent", () => {
  const lasting = createLastingNetlink(createSockets().open, 7);
  lasting[Symbol.dispose]();
  assert.throws(() => lasting.open(12, 7), /^Error: Cannot ask the kernel: /);
});

test("settling closes a socket of its own, which has sent something, and keeps those that are lent", () => {
  const sockets = createSockets();
  using lasting = createLastingNetlink(sockets.open, 7);
  lasting.open(12, 7);
  lasting.settle();
  assert.deepEqual(sockets.events, ["open 1: protocol 12 in 7", "open 2: protocol 12 in 7", "sent by 2", "close 2"]);
});
