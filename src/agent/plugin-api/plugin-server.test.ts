import assert from "node:assert/strict";
import { closeSync, existsSync, fstatSync, openSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readAnswer, requestFrame, serve } from "../../../plugin/test/server-rig.ts";
import { until } from "../../../testbed/until.ts";
import { FLAG_NO_ANSWER } from "../../core/plugin-protocol/frame.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const addRequest = (flags = 0): Uint8Array => requestFrame({ command: "ADD", containerId: "c1", flags });

test("a request is answered, and its namespace descriptor is closed afterwards", async () => {
  let seen: number | undefined;
  await using rig = await serve(async (request, netnsFd) => {
    assert.equal(request.command, "ADD");
    seen = netnsFd;
    fstatSync(netnsFd ?? -1);
    return { exitCode: 1, stdout: "{}" };
  });
  using client = rig.connect();
  const file = openSync("/dev/null", "r");
  client.send(addRequest(), [file]);
  closeSync(file);
  const answer = await readAnswer(client);
  assert.deepEqual(answer, {
    type: 2,
    fields: new Map([
      [1, "1"],
      [2, "{}"],
    ]),
  });
  assert.throws(() => fstatSync(seen ?? -1), { code: "EBADF" });
});

test("a request that comes byte by byte is read as one", async () => {
  await using rig = await serve(async () => ({ exitCode: 0 }));
  using client = rig.connect();
  for (const byte of addRequest()) assert.equal(client.send(Uint8Array.of(byte)), 1);
  assert.equal((await readAnswer(client))?.fields.get(1), "0");
});

test("a request without wish for an answer gets none", async () => {
  await using rig = await serve(async () => ({ exitCode: 0 }));
  using client = rig.connect();
  client.send(addRequest(FLAG_NO_ANSWER));
  assert.equal(await readAnswer(client), undefined);
});

test("another protocol version is told ours, garbage is hung up on", async () => {
  await using rig = await serve(() => assert.fail("not to be handled"));
  using newer = rig.connect();
  const frame = addRequest();
  frame[4] = 9;
  newer.send(frame);
  assert.deepEqual(await readAnswer(newer), { type: 3, fields: new Map([[1, "1"]]) });
  using http = rig.connect();
  http.send(bytes("GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
  assert.equal(await readAnswer(http), undefined);
});

test("whoever is not root is refused before a byte is read", async () => {
  await using rig = await serve(() => assert.fail("not to be handled"), { allowedUids: [4242] });
  using client = rig.connect();
  assert.equal(await readAnswer(client), undefined);
});

test("a thousand silent peers keep nobody waiting, and their deadline frees all", async () => {
  await using rig = await serve(async () => ({ exitCode: 0 }), { maxConnections: 100, requestTimeoutMs: 2000 });
  const before = readdirSync("/proc/self/fd").length;
  const peers = Array.from({ length: 1000 }, () => rig.connect());
  using client = rig.connect();
  client.send(addRequest());
  assert.equal((await readAnswer(client))?.fields.get(1), "0");
  for (const peer of peers) await readAnswer(peer);
  for (const peer of peers) peer.close();
  assert.equal(readdirSync("/proc/self/fd").length, before + 1);
});

test("a handler past its deadline is told so", async () => {
  await using rig = await serve(
    (_request, _fd, signal) =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve({ exitCode: 1, stdout: "late" }))),
    { answerTimeoutMs: 20 },
  );
  using client = rig.connect();
  client.send(addRequest());
  assert.equal((await readAnswer(client))?.fields.get(2), "late");
});

test("at the end a request that succeeds is answered, any other is left to the successor", async () => {
  const started = Promise.withResolvers<void>();
  let handled = 0;
  await using rig = await serve(async (_request, _fd, signal) => {
    const exitCode = handled++;
    if (handled === 2) started.resolve();
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    return { exitCode, stdout: "{}" };
  });
  using first = rig.connect();
  first.send(addRequest());
  using second = rig.connect();
  second.send(addRequest());
  using quiet = rig.connect();
  await started.promise;
  const stopped = rig.stop();
  assert.equal((await readAnswer(first))?.fields.get(1), "0");
  assert.equal(await readAnswer(second), undefined);
  assert.equal(await readAnswer(quiet), undefined);
  await stopped;
});

test("a socket file that somebody removed is made anew", async () => {
  await using rig = await serve(async () => ({ exitCode: 0 }), { recheckMs: 5 });
  const socketPath = join(rig.runDir, "plugin.sock");
  rmSync(socketPath);
  await until("another socket file", () => existsSync(socketPath));
  using client = rig.connect();
  client.send(addRequest());
  assert.equal((await readAnswer(client))?.fields.get(1), "0");
});

test("a socket that is made anew and cannot be watched is made once more", { timeout: 60_000 }, async () => {
  let opened = 0;
  await using rig = await serve(async () => ({ exitCode: 0 }), {
    recheckMs: 5,
    // No descriptor that can be watched.
    wrapListener: (listener) => (++opened === 2 ? { ...listener, fd: -1 } : listener),
  });
  rmSync(join(rig.runDir, "plugin.sock"));
  while (opened < 3) await new Promise((resolve) => setImmediate(resolve));
  using client = rig.connect();
  client.send(addRequest());
  assert.equal((await readAnswer(client))?.fields.get(1), "0");
  assert.match(rig.warnings[0] ?? "", /^Cannot listen on the plugin socket: /);
});
