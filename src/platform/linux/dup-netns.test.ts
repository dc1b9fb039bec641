import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { dupNetns, NotNetnsError } from "./dup-netns.ts";

test("dupNetns() opens the same namespace once more, and each owner closes its own", () => {
  const fd = openSync("/proc/self/ns/net", "r");
  const before = readdirSync("/proc/self/fd").length;
  const copy = dupNetns(fd);
  closeSync(fd);
  const { dev, ino } = statSync("/proc/self/ns/net", { bigint: true });
  assert.deepEqual([copy.dev, copy.ino], [dev, ino]);
  assert.notEqual(copy.fd, fd);
  copy[Symbol.dispose]();
  assert.equal(readdirSync("/proc/self/fd").length, before - 1);
});

test("dupNetns() refuses files and FIFOs without waiting for them", () => {
  const folder = mkdtempSync(join(tmpdir(), "dup-netns-"));
  try {
    assert.equal(spawnSync("mkfifo", [join(folder, "fifo")]).status, 0);
    for (const path of [join(folder, "fifo"), "/dev/null", folder]) {
      const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      assert.throws(() => dupNetns(fd), NotNetnsError);
      closeSync(fd);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("dupNetns() throws for a descriptor that is not open", () => {
  assert.throws(() => dupNetns(1_000_000), { code: "ENOENT" });
});
