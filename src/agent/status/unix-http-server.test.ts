import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Logger } from "../../core/log.ts";
import type { Interest } from "../../platform/linux/poller.ts";
import type { UnixConnection, UnixListener } from "../../platform/linux/unix-socket.ts";
import { serveUnixHttp, type UnixHttpOptions } from "./unix-http-server.ts";

const OPTIONS: UnixHttpOptions = { name: "admin socket", allowedUids: [0], recheckMs: 2000, closeDeadlineMs: 500 };

/** A socket on which peers of these users wait, and everything that happens. */
function createScene({ failures = 0 } = {}) {
  const events: string[] = [];
  const say = (line: string) => () => void events.push(line);
  const log: Logger = {
    debug: () => undefined,
    info: (message) => void events.push(`info ${message}`),
    warn: (message) => void events.push(`warn ${message}`),
    error: () => undefined,
    scope: () => log,
  };
  let left = failures;
  let opened = 0;
  let isPathTaken = true;
  let isFull = false;
  let ready = (): void => undefined;
  let turn = Promise.withResolvers<void>();
  const waiting: number[] = [];

  const connectionOf = (uid: number): UnixConnection => ({
    fd: 100 + uid,
    peer: { pid: 1, uid, gid: uid },
    receive: () => undefined,
    send: () => 0,
    close: say(`hang up on ${uid}`),
    [Symbol.dispose]: () => undefined,
  });
  const listen = (): UnixListener => {
    if (left-- > 0) throw new Error("EACCES");
    const number = ++opened;
    events.push(`listen ${number}`);
    isPathTaken = true;
    return {
      fd: number,
      path: "/run/admin.sock",
      isPathTaken: () => isPathTaken,
      accept: () => {
        if (isFull) throw new Error("EMFILE");
        const uid = waiting.shift();
        return uid === undefined ? undefined : connectionOf(uid);
      },
      close: say(`close ${number}`),
      [Symbol.dispose]: () => undefined,
    };
  };
  const ending = new AbortController();
  const running = serveUnixHttp(
    {
      log,
      listen,
      poller: {
        watch: (fd, _interest, onReady) => {
          ready = onReady;
          return {
            want: ({ readable }: Interest) => void events.push(`${readable ? "look at" : "leave"} ${fd}`),
            [Symbol.dispose]: say(`forget ${fd}`),
          };
        },
      },
      clock: {
        sleep: async (_ms, signal) => {
          await Promise.race([
            turn.promise,
            new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true })),
          ]);
          turn = Promise.withResolvers();
        },
      },
      connections: {
        take: (fd) => {
          events.push(`take ${fd}`);
          return true;
        },
        close: async (deadlineMs) => void events.push(`end in ${deadlineMs}`),
      },
    },
    OPTIONS,
    ending.signal,
  );
  return {
    events,
    remove: () => {
      isPathTaken = false;
    },
    fill: (full: boolean) => {
      isFull = full;
    },
    connect: (...uids: number[]) => {
      waiting.push(...uids);
      ready();
    },
    recheck: async () => {
      turn.resolve();
      for (let times = 0; times < 5; times++) await Promise.resolve();
    },
    end: async () => {
      ending.abort();
      await running;
      return events;
    },
  };
}

describe("serveUnixHttp()", () => {
  it("takes root's connections, hangs up on others, and leaves nothing at its end", async () => {
    const scene = createScene();
    scene.connect(0, 65_534, 0);
    assert.deepEqual(await scene.end(), [
      "listen 1",
      "take 100",
      "warn Refused a peer on the admin socket: it is not root",
      "hang up on 65534",
      "take 100",
      "forget 1",
      "close 1",
      "end in 500",
    ]);
  });

  it("tries again where the socket cannot be had, and says so once", async () => {
    const scene = createScene({ failures: 3 });
    await scene.recheck();
    await scene.recheck();
    await scene.recheck();
    assert.deepEqual(scene.events, [
      "warn Cannot listen on the admin socket: EACCES; trying again",
      "listen 1",
      "info Listening on the admin socket now",
    ]);
    await scene.end();
  });

  it("listens anew where somebody removed the file", async () => {
    const scene = createScene();
    scene.remove();
    await scene.recheck();
    assert.deepEqual(scene.events, ["listen 1", "listen 2", "forget 1", "close 1"]);
    await scene.end();
  });

  it("lets a socket be that it cannot accept on, until the next look", async () => {
    const scene = createScene();
    scene.fill(true);
    scene.connect(0);
    assert.deepEqual(scene.events.slice(1), [
      "warn Cannot take a connection on the admin socket: EMFILE; trying again",
      "leave 1",
    ]);
    scene.fill(false);
    await scene.recheck();
    assert.equal(scene.events.at(-1), "look at 1");
    scene.connect();
    assert.equal(scene.events.at(-1), "take 100");
    await scene.end();
  });

  it("takes a bounded number at once", async () => {
    const scene = createScene();
    scene.connect(...Array<number>(100).fill(0));
    assert.equal(scene.events.filter((line) => line === "take 100").length, 16);
    await scene.end();
  });
});
