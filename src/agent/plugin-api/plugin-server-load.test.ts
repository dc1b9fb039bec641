// Many plugins at once: what they hold, in which order they are served, and what is left when they are gone.
import assert from "node:assert/strict";
import { closeSync, openSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { readAnswer, requestFrame, serve } from "../../../plugin/test/server-rig.ts";
import type { PluginAnswer } from "../../core/plugin-protocol/request.ts";
import { ErrnoError } from "../../platform/linux/errno-error.ts";
import type { RequestEnd } from "./plugin-server.ts";

const countDescriptors = (): number => readdirSync("/proc/self/fd").length;

/** Resolves with why the request ended. */
async function waitForEnd(signal: AbortSignal): Promise<RequestEnd> {
  if (signal.aborted) return signal.reason;
  return await new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason), { once: true }));
}

test("100 requests of every kind at once are begun in order, those that wait delay no other, and nothing stays open", async () => {
  const begun: string[] = [];
  const appeared = Promise.withResolvers<PluginAnswer>();
  await using rig = await serve(async (request, _netnsFd, signal) => {
    begun.push(request.containerId);
    if (request.containerId.startsWith("unknown")) return appeared.promise;
    if (request.containerId.startsWith("never")) return { exitCode: 1, stdout: await waitForEnd(signal) };
    return { exitCode: 0 };
  });
  const before = countDescriptors();
  const netns = openSync("/proc/self/ns/net", "r");
  const peers = Array.from({ length: 100 }, (_, index) => {
    const kind = ["known", "unknown", "DEL", "never", "plain"][index % 5] ?? "plain";
    const command = kind === "DEL" ? "DEL" : "ADD";
    const connection = rig.connect();
    connection.send(
      requestFrame({ command, containerId: `${kind}-${index}`, ...(kind === "never" ? { remainingMs: 501 } : {}) }),
      command === "ADD" ? [netns] : [],
    );
    return { kind, id: `${kind}-${index}`, connection };
  });
  closeSync(netns);
  const of = (...kinds: string[]) => peers.filter(({ kind }) => kinds.includes(kind));
  for (const { connection } of of("known", "DEL", "plain"))
    assert.equal((await readAnswer(connection))?.fields.get(1), "0");
  assert.deepEqual(
    begun,
    peers.map(({ id }) => id),
  );
  for (const { connection } of of("never")) assert.equal((await readAnswer(connection))?.fields.get(2), "deadline");
  appeared.resolve({ exitCode: 0 });
  for (const { connection } of of("unknown")) assert.equal((await readAnswer(connection))?.fields.get(1), "0");
  for (const { connection } of peers) connection.close();
  assert.equal(countDescriptors(), before);
});

test("a plugin that is killed while it waits takes its request along, and its descriptors", async () => {
  const started = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<RequestEnd>();
  await using rig = await serve(async (_request, _netnsFd, signal) => {
    started.resolve();
    ended.resolve(await waitForEnd(signal));
    return { exitCode: 1, stdout: "{}" };
  });
  const before = countDescriptors();
  const client = rig.connect();
  const netns = openSync("/proc/self/ns/net", "r");
  client.send(requestFrame(), [netns]);
  closeSync(netns);
  await started.promise;
  client.close();
  assert.equal(await ended.promise, "plugin-gone");
  // Served after what the end of the first has left to do.
  using next = rig.connect();
  next.send(requestFrame());
  await started.promise;
  next.close();
  await rig.stop();
  assert.ok(countDescriptors() < before);
});

test("a plugin that sends more after its request is let go", async () => {
  const ended = Promise.withResolvers<RequestEnd>();
  await using rig = await serve(async (_request, _netnsFd, signal) => {
    ended.resolve(await waitForEnd(signal));
    return { exitCode: 0 };
  });
  using client = rig.connect();
  client.send(requestFrame());
  client.send(new Uint8Array(100));
  assert.equal(await ended.promise, "plugin-gone");
  assert.equal(await readAnswer(client), undefined);
});

test("a request is answered before its own plugin stops waiting", async () => {
  await using rig = await serve(async (_request, _netnsFd, signal) => ({
    exitCode: 1,
    stdout: await waitForEnd(signal),
  }));
  for (const remainingMs of [0, 500, 520]) {
    using client = rig.connect();
    client.send(requestFrame({ remainingMs }));
    assert.equal((await readAnswer(client))?.fields.get(2), "deadline");
  }
});

test("requests beyond the bytes that may be held wait in their sockets until others have ended", async () => {
  const begun: string[] = [];
  const release: (() => void)[] = [];
  await using rig = await serve(
    async ({ containerId }) => {
      begun.push(containerId);
      await new Promise<void>((resolve) => release.push(resolve));
      return { exitCode: 0 };
    },
    { maxHeldBytes: 2 * 1024 * 1024 },
  );
  // Three of 60 KB, which a socket takes at once, beside one of nearly all that may be held.
  const ids = ["large", "second", "third", "fourth"];
  const peers = ids.map((containerId) => {
    const stdin = "x".repeat(containerId === "large" ? 2 * 1024 * 1024 - 90_000 : 60_000);
    return { connection: rig.connect(), rest: requestFrame({ containerId, stdin }) };
  });
  for (const peer of peers) {
    while (peer.rest.length > 0) {
      peer.rest = peer.rest.subarray(peer.connection.send(peer.rest));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  // A newcomer is accepted after them, so when it is refused for its form they have all been looked at.
  using newcomer = rig.connect();
  newcomer.send(new Uint8Array(16));
  assert.equal(await readAnswer(newcomer), undefined);
  assert.deepEqual(begun, ["large", "second"]);
  for (const [index, { connection }] of peers.entries()) {
    while (release[index] === undefined) await new Promise((resolve) => setImmediate(resolve));
    release[index]();
    assert.equal((await readAnswer(connection))?.fields.get(1), "0");
    connection.close();
  }
  assert.deepEqual(begun, ids);
});

test("without descriptors left for a connection, the server says so once and takes it later", async () => {
  let refusals = 3;
  await using rig = await serve(async () => ({ exitCode: 0 }), {
    wrapListener: (listener) => ({
      ...listener,
      accept() {
        if (refusals-- > 0) throw new ErrnoError("accept4", 24, "take a connection");
        return listener.accept();
      },
    }),
  });
  using client = rig.connect();
  client.send(requestFrame());
  assert.equal((await readAnswer(client))?.fields.get(1), "0");
  assert.equal(rig.warnings.length, 1);
});

test("of requests that are there at once, each that needs no waiting is answered before the next is begun", async () => {
  const events: string[] = [];
  await using rig = await serve(async ({ containerId }) => {
    events.push(`begin ${containerId}`);
    // As looking up a pod that is known: asynchronous in form only.
    for (let step = 0; step < 20; step++) await undefined;
    events.push(`end ${containerId}`);
    return { exitCode: 0 };
  });
  const ids = Array.from({ length: 20 }, (_, index) => `c${index}`);
  const clients = ids.map((containerId) => {
    const client = rig.connect();
    client.send(requestFrame({ containerId }));
    return client;
  });
  for (const client of clients) {
    assert.equal((await readAnswer(client))?.fields.get(1), "0");
    client.close();
  }
  assert.deepEqual(
    events,
    ids.flatMap((id) => [`begin ${id}`, `end ${id}`]),
  );
});

test("a request whose turn has not come when the agent ends is left to the successor, without being begun", async () => {
  const begun: string[] = [];
  const first = Promise.withResolvers<void>();
  await using rig = await serve(async ({ containerId }) => {
    begun.push(containerId);
    first.resolve();
    return { exitCode: 0 };
  });
  const clients = ["c1", "c2", "c3"].map((containerId) => {
    const client = rig.connect();
    client.send(requestFrame({ containerId }));
    return client;
  });
  await first.promise;
  await rig.stop();
  const answers = await Promise.all(clients.map(readAnswer));
  assert.deepEqual(begun, ["c1"]);
  assert.deepEqual(
    answers.map((answer) => answer?.fields.get(1)),
    ["0", undefined, undefined],
  );
  for (const client of clients) client.close();
});
