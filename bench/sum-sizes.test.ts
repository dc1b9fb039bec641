import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sumSizesKib } from "./sum-sizes.ts";

test("sumSizesKib() adds up regular files at any depth, and nothing else", () => {
  const folder = mkdtempSync(join(tmpdir(), "sum-sizes-"));
  try {
    mkdirSync(join(folder, "a/b"), { recursive: true });
    writeFileSync(join(folder, "one"), Buffer.alloc(1024));
    writeFileSync(join(folder, "a/b/two"), Buffer.alloc(512));
    symlinkSync("one", join(folder, "a/link"));
    assert.equal(sumSizesKib([folder]), 1.5);
    assert.equal(sumSizesKib([join(folder, "one"), join(folder, "absent")]), 1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
