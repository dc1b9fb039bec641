import assert from "node:assert/strict";
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Logger } from "../../core/log.ts";
import {
  encodeFrame,
  FLAG_NO_ANSWER,
  FRAME_REQUEST,
  HEADER_LENGTH,
  parseFields,
  parseHeader,
} from "../../core/plugin-protocol/frame.ts";
import { closeFd } from "../../platform/linux/libc.ts";
import { createPoller } from "../../platform/linux/poller.ts";
import { connectUnix, listenUnix, SOCK_STREAM, type UnixConnection } from "../../platform/linux/unix-socket.ts";
import {
  PLUGIN_SERVER_DEFAULTS,
  type PluginServerDeps,
  type PluginServerOptions,
  servePlugins,
} from "./plugin-server.ts";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => silent };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const addRequest = (flags = 0): Uint8Array =>
  encodeFrame(
    FRAME_REQUEST,
    new Map([
      [1, bytes("ADD")],
      [2, bytes("c1")],
      [7, bytes("{}")],
    ]),
    flags,
  );

interface Rig extends AsyncDisposable {
  connect(): UnixConnection;
  stop(): Promise<void>;
}

async function serve(handle: PluginServerDeps["handle"], options: Partial<PluginServerOptions> = {}): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), "plugin-server-"));
  const poller = createPoller((error) => assert.fail(String(error)));
  const stopping = new AbortController();
  const path = join(folder, "plugin.sock");
  const running = servePlugins(
    {
      poller,
      log: silent,
      listen: () => listenUnix(path, SOCK_STREAM, { mode: 0o600, backlog: 1024 }),
      closeDescriptor: (fd) => void closeFd(fd),
      handle,
    },
    { ...PLUGIN_SERVER_DEFAULTS, allowedUids: [process.getuid?.() ?? 0], ...options },
    stopping.signal,
  );
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  return {
    connect: () => connectUnix(path, SOCK_STREAM),
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      await poller.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The fields of the answer, or undefined when the server hung up without one. */
async function readAnswer(
  connection: UnixConnection,
): Promise<{ type: number; fields: Map<number, string> } | undefined> {
  const poller = createPoller((error) => assert.fail(String(error)));
  const chunks: Uint8Array[] = [];
  const done = Promise.withResolvers<void>();
  const watch = poller.watch(connection.fd, { readable: true, writable: false }, () => {
    const buffer = new Uint8Array(65536);
    let length = 0;
    try {
      length = connection.receive(buffer)?.length ?? 0;
    } catch {
      length = 0; // reset: the server closed with bytes of ours unread
    }
    if (length === 0) done.resolve();
    else chunks.push(buffer.subarray(0, length));
  });
  await done.promise;
  watch[Symbol.dispose]();
  await poller.close();
  const answer = Buffer.concat(chunks);
  if (answer.length === 0) return undefined;
  const fields = [...parseFields(answer.subarray(HEADER_LENGTH))].map(
    ([key, value]) => [key, Buffer.from(value).toString()] as const,
  );
  return { type: parseHeader(answer).type, fields: new Map(fields) };
}

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
