import assert from "node:assert/strict";
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createPoller } from "./poller.ts";
import { SOCK_SEQPACKET, SOCK_STREAM } from "./socket-numbers.ts";
import { connectUnix, listenUnix, type UnixConnection } from "./unix-socket.ts";

function temporaryFolder(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "poller-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

for (const [name, type] of [
  ["stream", SOCK_STREAM],
  ["seqpacket", SOCK_SEQPACKET],
] as const) {
  test(`a ${name} listener passes bytes and descriptors to whoever polls it`, async () => {
    using folder = temporaryFolder();
    const poller = createPoller((error) => assert.fail(String(error)));
    using listener = listenUnix(join(folder.path, "s"), type, { mode: 0o600, backlog: 8 });
    assert.equal(statSync(listener.path).mode & 0o777, 0o600);
    const got = Promise.withResolvers<{ text: string; descriptors: number[] }>();
    let accepted: UnixConnection | undefined;
    using _watch = poller.watch(listener.fd, { readable: true, writable: false }, () => {
      const connection = listener.accept();
      assert.ok(connection);
      accepted = connection;
      assert.equal(connection.peer.pid, process.pid);
      const watch = poller.watch(connection.fd, { readable: true, writable: false }, () => {
        const buffer = new Uint8Array(100);
        const received = connection.receive(buffer);
        assert.ok(received);
        watch[Symbol.dispose]();
        got.resolve({
          text: new TextDecoder().decode(buffer.subarray(0, received.length)),
          descriptors: received.descriptors,
        });
      });
    });
    using client = connectUnix(listener.path, type);
    const file = openSync("/dev/null", "r");
    assert.equal(client.send(new TextEncoder().encode("hello"), [file]), 5);
    const { text, descriptors } = await got.promise;
    assert.equal(text, "hello");
    assert.equal(descriptors.length, 1);
    assert.equal(fstatSync(descriptors[0] ?? -1).rdev, fstatSync(file).rdev);
    for (const descriptor of [...descriptors, file]) closeSync(descriptor);
    accepted?.close();
    await poller.close();
  });
}

test("a packet that does not fit is refused, not cut", () => {
  using folder = temporaryFolder();
  using listener = listenUnix(join(folder.path, "s"), SOCK_SEQPACKET, { mode: 0o600, backlog: 8 });
  using client = connectUnix(listener.path, SOCK_SEQPACKET);
  using server = listener.accept();
  client.send(new Uint8Array(20));
  assert.throws(() => server?.receive(new Uint8Array(10)), { code: "EMSGSIZE" });
});

test("listenUnix() takes a path over without a moment in which nobody listens, and leaves the file to its successor", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "s");
  const first = listenUnix(path, SOCK_STREAM, { mode: 0o600, backlog: 8 });
  using second = listenUnix(path, SOCK_STREAM, { mode: 0o600, backlog: 8 });
  first.close();
  using client = connectUnix(path, SOCK_STREAM);
  using server = second.accept();
  assert.ok(server);
  assert.equal(client.send(new Uint8Array([1])), 1);
});

test("listenUnix() refuses a path that does not fit a socket address", () => {
  assert.throws(() => listenUnix(`/tmp/${"x".repeat(200)}`, SOCK_STREAM, { mode: 0o600, backlog: 1 }), RangeError);
});

test("an error in one callback reaches onError and the others go on", async () => {
  using folder = temporaryFolder();
  const errors: unknown[] = [];
  const seen = Promise.withResolvers<void>();
  const poller = createPoller((error) => {
    errors.push(error);
    if (errors.length === 2) seen.resolve();
  });
  using listener = listenUnix(join(folder.path, "s"), SOCK_STREAM, { mode: 0o600, backlog: 8 });
  let calls = 0;
  const watch = poller.watch(listener.fd, { readable: true, writable: false }, () => {
    calls++;
    if (calls === 2) listener.accept()?.close();
    throw new Error(`call ${calls}`);
  });
  using _client = connectUnix(listener.path, SOCK_STREAM);
  await seen.promise;
  watch[Symbol.dispose]();
  await poller.close();
  assert.deepEqual(
    errors.map((error) => (error as Error).message),
    ["call 1", "call 2"],
  );
});
