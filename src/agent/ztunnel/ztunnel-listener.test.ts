import assert from "node:assert/strict";
import { test } from "node:test";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Interest, Poller } from "../../platform/linux/poller.ts";
import type { UnixConnection, UnixListener } from "../../platform/linux/unix-socket.ts";
import { runZtunnelListener } from "./ztunnel-listener.ts";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => silent };

/** A listener with as many connections waiting as are asked for, and time that stands still. */
function createRig(
  options: { accept?: () => UnixConnection | undefined; isPathTaken?: () => boolean; unwatchable?: number } = {},
) {
  let onReady = (): void => {};
  let interest: Interest = { readable: false, writable: false };
  const clock: Clock = { nowMs: () => rig.nowMs, sleep: () => Promise.resolve() };
  const poller: Pick<Poller, "watch"> = {
    watch(fd, wanted, callback) {
      if (fd === options.unwatchable) throw new Error("ENOSPC");
      onReady = callback;
      interest = wanted;
      return {
        want(changed) {
          interest = changed;
        },
        [Symbol.dispose]() {},
      };
    },
  };
  const connection: UnixConnection = {
    ...{ fd: -1, peer: { pid: 1, uid: 0, gid: 0 }, close() {}, [Symbol.dispose]() {} },
    ...{ receive: () => undefined, send: () => 0 },
  };
  /** Numbered from 1. */
  const listen = (): UnixListener => {
    const fd = ++rig.opened;
    return {
      ...{ fd, path: "/ztunnel.sock", [Symbol.dispose]() {} },
      isPathTaken: options.isPathTaken ?? (() => true),
      accept: options.accept ?? (() => connection),
      close: () => void rig.closed.push(fd),
    };
  };
  const rig = {
    nowMs: 1000,
    opened: 0,
    closed: [] as number[],
    taken: 0,
    isWatching: () => interest.readable,
    ready: () => onReady(),
    run: (signal: AbortSignal) =>
      runZtunnelListener(
        {
          ...{ clock, poller: poller as Poller, log: silent, listen },
          onConnection: () => void rig.taken++,
        },
        { allowedUids: [0], maxAcceptsPerSecond: 5, recheckMs: 60_000 },
        signal,
      ),
  };
  return rig;
}

test("a ztunnel that connects without end is taken five times in any second", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const rig = createRig();
  const stopping = new AbortController();
  const running = rig.run(stopping.signal);
  rig.ready();
  assert.equal(rig.taken, 5);
  assert.equal(rig.isWatching(), false);
  rig.nowMs += 999;
  t.mock.timers.tick(999);
  assert.equal(rig.isWatching(), false);
  rig.nowMs += 1;
  t.mock.timers.tick(1);
  assert.equal(rig.isWatching(), true);
  rig.ready();
  assert.equal(rig.taken, 10);
  stopping.abort();
  await running;
});

test("without a descriptor left for a connection, the socket is not looked at for a while", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  let attempts = 0;
  const rig = createRig({
    accept: () => {
      attempts++;
      throw new Error("EMFILE");
    },
  });
  const stopping = new AbortController();
  const running = rig.run(stopping.signal);
  rig.ready();
  rig.ready();
  assert.equal(attempts, 1);
  assert.equal(rig.isWatching(), false);
  t.mock.timers.tick(100);
  assert.equal(rig.isWatching(), true);
  rig.ready();
  assert.equal(attempts, 2);
  stopping.abort();
  await running;
});

test("a socket that is made anew and cannot be watched is made once more", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  let isPathTaken = false;
  const rig = createRig({ isPathTaken: () => isPathTaken, unwatchable: 2 });
  const stopping = new AbortController();
  const running = rig.run(stopping.signal);
  t.mock.timers.tick(60_000);
  assert.deepEqual([rig.opened, rig.closed], [2, [2]]);
  t.mock.timers.tick(60_000);
  assert.deepEqual([rig.opened, rig.closed], [3, [2, 1]]);
  isPathTaken = true;
  t.mock.timers.tick(60_000);
  rig.ready();
  assert.deepEqual([rig.opened, rig.taken], [3, 5]);
  stopping.abort();
  await running;
});
