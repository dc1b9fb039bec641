import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { mustRun } from "./command.ts";
import { renderTar } from "./tar.ts";

test("renderTar() writes what tar reads: paths, modes, owners and content", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tar-test-"));
  try {
    const path = join(folder, "archive.tar");
    const content = new TextEncoder().encode("x".repeat(513));
    writeFileSync(
      path,
      renderTar([
        { path: "a/tool", content, mode: 0o755 },
        { path: "empty", content: new Uint8Array() },
      ]),
    );
    const listing = await mustRun(["tar", "--list", "--verbose", "--utc", "--file", path]);
    assert.equal(
      listing.replaceAll(/ +/g, " "),
      "-rwxr-xr-x root/root 513 1970-01-01 00:00 a/tool\n-rw-r--r-- root/root 0 1970-01-01 00:00 empty\n",
    );
    const extracted = await mustRun(["tar", "--extract", "--to-stdout", "--file", path, "a/tool"]);
    assert.equal(extracted, "x".repeat(513));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("renderTar() refuses a path that the header has no room for", () => {
  assert.throws(() => renderTar([{ path: "p".repeat(101), content: new Uint8Array() }]), /at most 100 bytes/);
});
