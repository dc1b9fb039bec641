// Over real sockets: connections are accepted by our own accept, as in the agent.
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { until } from "../../../testbed/until.ts";
import { createPoller } from "../linux/poller.ts";
import { SOCK_STREAM } from "../linux/socket-numbers.ts";
import { listenUnix } from "../linux/unix-socket.ts";
import { createHttpConnections, type HttpConnections, type HttpConnectionsOptions } from "./http-connections.ts";
import { askOverUnix, UnixRequestError } from "./unix-client.ts";

const folder = mkdtempSync(join(tmpdir(), "http-connections-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const LIMITS = { timeoutMs: 60_000, maxBytes: 1_000_000 };
let count = 0;

interface Scene extends AsyncDisposable {
  readonly path: string;
  readonly connections: HttpConnections;
  readonly taken: boolean[];
}

function serve(options: Partial<HttpConnectionsOptions> = {}): Scene {
  const path = join(folder, `${++count}.sock`);
  const connections = createHttpConnections({
    answer: async (method, target) => ({ status: 200, body: `${method} ${target}` }),
    onError: () => undefined,
    ...options,
  });
  const taken: boolean[] = [];
  const poller = createPoller((error) => assert.fail(String(error)));
  const listener = listenUnix(path, SOCK_STREAM, { mode: 0o600, backlog: 16 });
  const watch = poller.watch(listener.fd, { readable: true, writable: false }, () => {
    for (let next = listener.accept(); next !== undefined; next = listener.accept()) {
      taken.push(connections.take(next.fd));
    }
  });
  return {
    path,
    connections,
    taken,
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      listener.close();
      await connections.close(0);
      await poller.close();
    },
  };
}

function rejectsWith(code: string): (error: unknown) => boolean {
  return (error) => error instanceof UnixRequestError && error.code === code;
}

/** What the other side sends until it hangs up. */
async function readAll(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.once("close", resolve));
  return text;
}

describe("createHttpConnections() and askOverUnix()", () => {
  it("ask and answer", async () => {
    await using scene = serve();
    const answer = await askOverUnix(scene.path, "/pods/a%20b?x=1", LIMITS);
    assert.deepEqual(answer, { status: 200, body: "GET /pods/a%20b?x=1" });
  });

  it("carry an answer of any size and script", async () => {
    const body = "ä€😀".repeat(100_000);
    await using scene = serve({ answer: async () => ({ status: 404, body }) });
    assert.deepEqual(await askOverUnix(scene.path, "/", LIMITS), { status: 404, body });
  });

  it("turn a defect into 500", async () => {
    const errors: unknown[] = [];
    await using scene = serve({
      answer: () => Promise.reject(new Error("defect")),
      onError: (error) => void errors.push(error),
    });
    assert.equal((await askOverUnix(scene.path, "/", LIMITS)).status, 500);
    assert.match(String(errors), /defect/);
  });

  it("answer one request per connection", async () => {
    const acted: string[] = [];
    const answer = async (method: string, target: string) => {
      acted.push(target);
      return { status: 200, body: `${method} ${target}` };
    };
    await using scene = serve({ answer });
    const socket = connect(scene.path);
    socket.write("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    const text = await readAll(socket);
    assert.match(text, /connection: close/i);
    assert.deepEqual(text.match(/GET \/./g), ["GET /1"]);
    assert.deepEqual(acted, ["/1"]);
  });

  it("end a connection that says nothing, too much, or nonsense", async () => {
    await using scene = serve({ timeoutMs: 50 });
    const silent = connect(scene.path);
    assert.equal(await readAll(silent), "");
    for (const words of [`GET / HTTP/1.1\r\nA: ${"x".repeat(20_000)}`, "\0\0\0\0\r\n\r\n"]) {
      const socket = connect(scene.path);
      socket.write(words);
      assert.doesNotMatch(await readAll(socket), /200 OK/);
    }
    const endless = connect(scene.path);
    endless.write("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    await readAll(endless);
  });

  it("refuse connections beyond their number, and count again when one has gone", async () => {
    const answers = Promise.withResolvers<void>();
    await using scene = serve({
      maxConnections: 1,
      answer: async () => {
        await answers.promise;
        return { status: 200, body: "late" };
      },
    });
    const first = askOverUnix(scene.path, "/", LIMITS);
    await until("the first connection", () => scene.taken.length === 1);
    await assert.rejects(askOverUnix(scene.path, "/", LIMITS), rejectsWith("hung-up"));
    assert.deepEqual(scene.taken, [true, false]);
    answers.resolve();
    assert.equal((await first).body, "late");
    const isAnswered = async () => (await askOverUnix(scene.path, "/", LIMITS).catch(() => undefined)) !== undefined;
    await until("room for another", isAnswered);
  });

  it("give the whole body to who asks for it, however it arrives, and none where there is none", async () => {
    await using scene = serve({
      maxBodyBytes: 100_000,
      answer: async (_method, _target, { body }) => ({ status: 200, body: `got ${(await body()).length}` }),
    });
    const pieces = connect(scene.path);
    pieces.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    for (let index = 0; index < 10; index++) {
      pieces.write("x".repeat(10_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.match(await readAll(pieces), /got 100000$/);
    const without = connect(scene.path);
    without.write("POST / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.match(await readAll(without), /got 0$/);
    const tooLong = connect(scene.path);
    tooLong.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n");
    tooLong.write("x".repeat(100_001));
    assert.doesNotMatch(await readAll(tooLong), /got/);
  });

  it("tell an answer that is still sought that its client has hung up, and report no defect for that", async () => {
    const errors: unknown[] = [];
    const asked = Promise.withResolvers<void>();
    const told = Promise.withResolvers<void>();
    await using scene = serve({
      onError: (error) => void errors.push(error),
      answer: (_method, _target, { signal }) =>
        new Promise((_resolve, reject) => {
          asked.resolve();
          const end = () => {
            told.resolve();
            reject(new Error("given up"));
          };
          signal.addEventListener("abort", end, { once: true });
        }),
    });
    const socket = connect(scene.path);
    socket.on("error", () => undefined);
    socket.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    await asked.promise;
    socket.destroy();
    await told.promise;
    assert.deepEqual(errors, []);
  });

  it("cut what runs at the end's deadline, and take nothing more", async () => {
    await using scene = serve({ answer: () => new Promise(() => undefined) });
    const asked = assert.rejects(askOverUnix(scene.path, "/", LIMITS), rejectsWith("hung-up"));
    await until("the first connection", () => scene.taken.length === 1);
    await Promise.all([scene.connections.close(10), scene.connections.close(10)]);
    await asked;
    await assert.rejects(askOverUnix(scene.path, "/", LIMITS), rejectsWith("hung-up"));
  });
});

describe("askOverUnix()", () => {
  it("tells why it has no answer", async () => {
    await assert.rejects(askOverUnix(join(folder, "absent"), "/", LIMITS), rejectsWith("no-socket"));
    const path = join(folder, "dead.sock");
    // Closed while its file was elsewhere, so that the file stays.
    const listener = listenUnix(path, SOCK_STREAM, { mode: 0o600, backlog: 1 });
    renameSync(path, `${path}.moved`);
    listener.close();
    renameSync(`${path}.moved`, path);
    await assert.rejects(askOverUnix(path, "/", LIMITS), rejectsWith("no-listener"));
    await using silent = serve({ answer: () => new Promise(() => undefined) });
    await assert.rejects(askOverUnix(silent.path, "/", { ...LIMITS, timeoutMs: 30 }), rejectsWith("timeout"));
    await using large = serve({ answer: async () => ({ status: 200, body: "x".repeat(1000) }) });
    await assert.rejects(askOverUnix(large.path, "/", { ...LIMITS, maxBytes: 999 }), rejectsWith("too-large"));
  });
});
