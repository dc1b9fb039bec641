import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SOCK_STREAM } from "./socket-numbers.ts";
import { listenUnix, temporaryPath } from "./unix-socket.ts";

test("listenUnix() takes every path that fits a socket address, and leaves nothing beside it", () => {
  const root = mkdtempSync(join(tmpdir(), "unix-"));
  try {
    const folder = join(root, "x".repeat(107 - "/plugin.sock".length - root.length - 1));
    mkdirSync(folder);
    const path = join(folder, "plugin.sock");
    assert.equal(path.length, 107);
    using listener = listenUnix(path, SOCK_STREAM, { mode: 0o600, backlog: 1 });
    assert.ok(listener.isPathTaken());
    assert.deepEqual(readdirSync(folder), ["plugin.sock"]);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("temporaryPath() is never longer than the path, whatever the process's number", () => {
  for (const name of ["plugin.sock", "admin.sock", "ztunnel.sock"]) {
    const path = `/var/run/istio-cni/${name}`;
    const longest = temporaryPath(path).length - process.pid.toString(36).length + (4_194_304).toString(36).length;
    assert.ok(longest <= path.length, name);
  }
});
