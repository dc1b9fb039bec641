import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Logger } from "../../core/log.ts";
import { type Accepting, createAcceptor } from "./acceptor.ts";
import type { Interest } from "./poller.ts";
import type { UnixConnection, UnixListener } from "./unix-socket.ts";

/** A socket on which peers of these users wait, time that stands still, and everything that happens. */
function createScene(t: TestContext, accepting: Partial<Omit<Accepting, "atMost">> & { perSecond?: number } = {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const events: string[] = [];
  const states: string[] = [];
  const say = (line: string) => () => void events.push(line);
  const log: Logger = {
    debug: () => undefined,
    info: (message) => void events.push(`info ${message}`),
    warn: (message) => void events.push(`warn ${message}`),
    error: () => undefined,
    scope: () => log,
  };
  let opened = 0;
  let isPathTaken = true;
  let isWatching = false;
  let ready = (): void => undefined;
  let nowMs = 1000;
  const waiting: number[] = [];
  const faults = { listens: 0, isFull: false, unwatchable: 0 };

  const connectionOf = (uid: number): UnixConnection => ({
    fd: 100 + uid,
    peer: { pid: 1, uid, gid: uid },
    receive: () => undefined,
    send: () => 0,
    close: say(`hang up on ${uid}`),
    [Symbol.dispose]: () => undefined,
  });
  const listen = (): UnixListener => {
    if (faults.listens-- > 0) throw new Error("EACCES");
    const number = ++opened;
    events.push(`listen ${number}`);
    isPathTaken = true;
    return {
      fd: number,
      path: "/run/x.sock",
      isPathTaken: () => isPathTaken,
      accept: () => {
        if (faults.isFull) {
          events.push("full");
          throw new Error("EMFILE");
        }
        const uid = waiting.shift();
        return uid === undefined ? undefined : connectionOf(uid);
      },
      close: say(`close ${number}`),
      [Symbol.dispose]: () => undefined,
    };
  };
  const accept = createAcceptor({
    log,
    listen,
    onState: (failure) => void states.push(failure ?? "listens"),
    poller: {
      watch: (fd, interest, onReady) => {
        if (fd === faults.unwatchable) throw new Error("ENOSPC");
        isWatching = interest.readable;
        ready = onReady;
        return {
          want: ({ readable }: Interest) => {
            isWatching = readable;
            events.push(`${readable ? "look at" : "leave"} ${fd}`);
          },
          [Symbol.dispose]: say(`forget ${fd}`),
        };
      },
    },
  });
  const ending = new AbortController();
  let running = Promise.resolve();
  return {
    ...{ events, faults },
    /** What was told of the socket, without what was told again. */
    states: () => states.filter((state, index) => state !== states[index - 1]),
    run: () => {
      const { perSecond, ...given } = accepting;
      const more = { ...given, ...(perSecond !== undefined && { atMost: { perSecond, nowMs: () => nowMs } }) };
      const take = ({ fd }: UnixConnection) => void events.push(`take ${fd}`);
      running = accept({ name: "admin socket", allowedUids: [0], recheckMs: 2000, take, ...more }, ending.signal);
      return running;
    },
    taken: () => events.filter((line) => line === "take 100").length,
    isWatching: () => isWatching,
    remove: () => {
      isPathTaken = false;
    },
    restore: () => {
      isPathTaken = true;
    },
    /** Whether somebody waits or not, the poller may say so. */
    connect: (...uids: number[]) => {
      waiting.push(...uids);
      ready();
    },
    pass: (ms: number) => {
      nowMs += ms;
      t.mock.timers.tick(ms);
    },
    end: async () => {
      ending.abort();
      await running;
      return events;
    },
  };
}

test("root's connections are taken, others are hung up on, and nothing is left at the end", async (t) => {
  const scene = createScene(t);
  void scene.run();
  scene.connect(0, 65_534, 0);
  assert.deepEqual(await scene.end(), [
    "listen 1",
    "take 100",
    "warn Refused a peer on the admin socket: its user may not connect",
    "hang up on 65534",
    "take 100",
    "forget 1",
    "close 1",
  ]);
});

test("a socket that cannot be had at the start is an error, and is tried again where nothing depends on it", async (t) => {
  const needed = createScene(t);
  needed.faults.listens = 1;
  await assert.rejects(needed.run(), /^Error: EACCES$/);
  t.mock.timers.reset();
  const scene = createScene(t, { isOptional: true });
  scene.faults.listens = 3;
  void scene.run();
  for (let times = 0; times < 3; times++) scene.pass(2000);
  assert.deepEqual(scene.events, [
    "warn Cannot listen on the admin socket: EACCES; trying again",
    "listen 1",
    "info Listening on the admin socket now",
  ]);
  await scene.end();
});

test("where somebody removed the file, it is listened anew", async (t) => {
  const scene = createScene(t);
  void scene.run();
  scene.remove();
  scene.pass(2000);
  const removed = "warn The admin socket was removed: listening anew";
  assert.deepEqual(scene.events, ["listen 1", "listen 2", removed, "forget 1", "close 1"]);
  scene.connect(0);
  assert.equal(scene.events.at(-1), "take 100");
  await scene.end();
});

test("each time that it cannot be had again is said once, and how it stands is told at any look", async (t) => {
  const scene = createScene(t);
  void scene.run();
  for (let time = 0; time < 2; time++) {
    scene.remove();
    scene.faults.listens = 2;
    scene.pass(4000);
    // Somebody put the folder back.
    scene.restore();
    scene.pass(2000);
  }
  const failed = "warn Cannot listen on the admin socket: EACCES; trying again";
  assert.deepEqual(scene.events, ["listen 1", failed, failed]);
  assert.deepEqual(scene.states(), ["listens", "EACCES", "listens", "EACCES", "listens"]);
  await scene.end();
});

test("a socket that is made anew and cannot be watched is made once more", async (t) => {
  const scene = createScene(t);
  scene.faults.unwatchable = 2;
  void scene.run();
  scene.remove();
  scene.pass(2000);
  assert.deepEqual(scene.events.slice(1), [
    "listen 2",
    "close 2",
    "warn Cannot listen on the admin socket: ENOSPC; trying again",
  ]);
  scene.remove();
  scene.pass(2000);
  assert.deepEqual(scene.events.slice(4), [
    "listen 3",
    "warn The admin socket was removed: listening anew",
    "forget 1",
    "close 1",
  ]);
  scene.pass(2000);
  scene.connect(0);
  assert.deepEqual(scene.events.slice(8), ["take 100"]);
  await scene.end();
});

test("without a descriptor left for a connection, that is said once, and the socket is not looked at for a while", async (t) => {
  const scene = createScene(t);
  scene.faults.isFull = true;
  void scene.run();
  scene.connect(0);
  scene.connect();
  scene.pass(100);
  scene.connect();
  const failed = "warn Cannot take a connection on the admin socket: EMFILE; trying again";
  assert.deepEqual(scene.events, ["listen 1", "full", failed, "leave 1", "look at 1", "full", "leave 1"]);
  scene.faults.isFull = false;
  scene.pass(100);
  scene.connect();
  assert.deepEqual(scene.events.slice(-2), ["look at 1", "take 100"]);
  await scene.end();
});

test("descriptors that come and go are worth one line for each look at the socket", async (t) => {
  const scene = createScene(t);
  void scene.run();
  const flap = () => {
    for (let time = 0; time < 5; time++) {
      scene.faults.isFull = true;
      scene.connect(0);
      scene.pass(100);
      scene.faults.isFull = false;
      scene.connect();
    }
  };
  flap();
  const said = () => scene.events.filter((line) => line.includes("EMFILE")).length;
  assert.deepEqual([scene.taken(), said()], [5, 1]);
  scene.pass(2000);
  flap();
  assert.deepEqual([scene.taken(), said()], [10, 2]);
  await scene.end();
});

test("a socket that is made anew while the old one is let be is looked at", async (t) => {
  const scene = createScene(t, { recheckMs: 50 });
  scene.faults.isFull = true;
  void scene.run();
  scene.connect(0);
  scene.remove();
  scene.faults.isFull = false;
  scene.pass(50);
  scene.connect();
  assert.equal(scene.events.at(-1), "take 100");
  await scene.end();
});

test("a bounded number is taken at once", async (t) => {
  const scene = createScene(t);
  void scene.run();
  scene.connect(...Array<number>(100).fill(0));
  assert.equal(scene.taken(), 16);
  await scene.end();
});

test("a peer that connects without end is taken as often in any second as it may", async (t) => {
  const scene = createScene(t, { perSecond: 5 });
  void scene.run();
  scene.connect(...Array<number>(100).fill(0));
  assert.deepEqual([scene.taken(), scene.isWatching()], [5, false]);
  scene.pass(999);
  assert.equal(scene.isWatching(), false);
  scene.pass(1);
  assert.equal(scene.isWatching(), true);
  scene.connect();
  assert.equal(scene.taken(), 10);
  await scene.end();
});
