import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { plainDeps } from "./atomic-write.ts";
import { createHostFiles } from "./host-files.ts";

const files = createHostFiles(plainDeps);
let folder = "";

before(() => {
  folder = mkdtempSync(join(tmpdir(), "istio-cni-fs-"));
  writeFileSync(join(folder, "a"), "text", { mode: 0o640 });
  writeFileSync(join(folder, "sparse"), "");
  truncateSync(join(folder, "sparse"), 2 ** 40);
  mkdirSync(join(folder, "sub"));
  symlinkSync("a", join(folder, "link"));
  symlinkSync("sub", join(folder, "link-to-folder"));
  symlinkSync("loop", join(folder, "loop"));
  execFileSync("mkfifo", [join(folder, "fifo")], { timeout: 60_000, env: { ...process.env, LC_ALL: "C" } });
});

after(() => rmSync(folder, { recursive: true, force: true }));

describe("HostFiles.read()", { timeout: 120_000 }, () => {
  const read = (name: string, follow = true): ReturnType<typeof files.read> =>
    files.read(folder, name, { maxBytes: 1024, follow });

  it("gives content, mode, and a stamp that changes with the file", async () => {
    const { bytes, mode, stamp } = await read("a");
    assert.deepEqual([new TextDecoder().decode(bytes), mode & 0o777], ["text", 0o640]);
    assert.equal((await read("link")).stamp, stamp);
    writeFileSync(join(folder, "a"), "texts");
    assert.notEqual((await read("a")).stamp, stamp);
  });

  for (const [name, follow, code] of [
    ["none", true, "not-found"],
    ["none/a", true, "not-found"],
    ["sub", true, "not-a-file"],
    ["link-to-folder", true, "not-a-file"],
    ["fifo", true, "not-a-file"],
    ["link", false, "not-a-file"],
    ["loop", true, "dangling"],
    ["sparse", true, "too-large"],
  ] as const) {
    it(`refuses ${name}${follow ? "" : ", unfollowed,"} as ${code}`, async () => {
      await assert.rejects(read(name, follow), { name: "FileError", code });
    });
  }

  it("refuses a device, and a file of which the size is not told but too large", async () => {
    await assert.rejects(files.read("/dev", "null", { maxBytes: 10, follow: false }), { code: "not-a-file" });
    await assert.rejects(files.read("/proc", "kallsyms", { maxBytes: 10, follow: false }), { code: "too-large" });
  });
});

describe("HostFiles.list()", () => {
  it("leaves folders out and symlinks in", async () => {
    assert.deepEqual((await files.list(folder)).toSorted(), ["a", "fifo", "link", "link-to-folder", "loop", "sparse"]);
  });

  it("refuses what is no folder", async () => {
    await assert.rejects(files.list(join(folder, "a")), { code: "not-found" });
    await assert.rejects(files.list(join(folder, "none")), {
      code: "not-found",
      message: /Cannot list .*none: it does not exist/,
    });
  });
});
