import assert from "node:assert/strict";
import { test } from "node:test";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Interest, Poller } from "../../platform/linux/poller.ts";
import type { UnixConnection, UnixListener } from "../../platform/linux/unix-socket.ts";
import { runZtunnelListener } from "./ztunnel-listener.ts";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => silent };

/** A listener with as many connections waiting as are asked for, and time that stands still. */
function createRig(options: { accept?: () => UnixConnection | undefined } = {}) {
  let onReady = (): void => {};
  let interest: Interest = { readable: false, writable: false };
  const clock: Clock = { nowMs: () => rig.nowMs, sleep: () => Promise.resolve() };
  const poller: Pick<Poller, "watch"> = {
    watch(_fd, wanted, callback) {
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
  const listener: UnixListener = {
    ...{ fd: -1, path: "/ztunnel.sock", isPathTaken: () => true, close() {}, [Symbol.dispose]() {} },
    accept: options.accept ?? (() => connection),
  };
  const rig = {
    nowMs: 1000,
    taken: 0,
    isWatching: () => interest.readable,
    ready: () => onReady(),
    run: (signal: AbortSignal) =>
      runZtunnelListener(
        {
          ...{ clock, poller: poller as Poller, log: silent, listen: () => listener },
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
