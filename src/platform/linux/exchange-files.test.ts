import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { exchangeFiles } from "./exchange-files.ts";

it("exchangeFiles() exchanges two files, and tells when one is not there", () => {
  const folder = mkdtempSync(join(tmpdir(), "istio-cni-exchange-"));
  try {
    const [a, b] = [join(folder, "a"), join(folder, "b")];
    writeFileSync(a, "1");
    writeFileSync(b, "2");
    assert.equal(exchangeFiles(a, b), "done");
    assert.deepEqual([readFileSync(a, "utf8"), readFileSync(b, "utf8")], ["2", "1"]);
    assert.equal(exchangeFiles(a, join(folder, "c")), "gone");
    assert.throws(() => exchangeFiles(a, join(a, "c")), { name: "ErrnoError" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
