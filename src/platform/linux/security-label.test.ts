// Without SELinux the kernel keeps the attribute like any other of `security.*`, for who has CAP_SYS_ADMIN.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { lgetxattr, lsetxattr } from "./libc.ts";
import { copySecurityLabel } from "./security-label.ts";

const LABEL = "system_u:object_r:net_conf_t:s0";
const CAP_SYS_ADMIN = 21n;
let folder = "";
let canLabel = false;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "istio-cni-label-"));
  for (const name of ["labelled", "plain", "new"]) writeFileSync(join(folder, name), "");
  symlinkSync("labelled", join(folder, "link"));
  const bytes = new TextEncoder().encode(`${LABEL}\0`);
  canLabel = lsetxattr(join(folder, "labelled"), "security.selinux", bytes, bytes.length, 0) === 0;
});
after(() => rmSync(folder, { recursive: true, force: true }));

function labelOf(name: string): string {
  const value = new Uint8Array(100);
  const length = lgetxattr(join(folder, name), "security.selinux", value, value.length);
  return length <= 0 ? "" : new TextDecoder().decode(value.subarray(0, length - 1));
}

describe("copySecurityLabel()", () => {
  it("gives a file the label of another, or says that there is none", () => {
    const outcome = copySecurityLabel(join(folder, "labelled"), join(folder, "new"));
    assert.deepEqual([outcome, labelOf("new")], canLabel ? ["copied", LABEL] : ["none", ""]);
  });

  it("has nothing to do for a file without label and for none at all", () => {
    assert.equal(copySecurityLabel(join(folder, "missing"), join(folder, "plain")), "none");
    assert.equal(labelOf("plain"), "");
  });

  it("does not follow a symlink, and says why a label could not be given", () => {
    assert.equal(copySecurityLabel(join(folder, "link"), join(folder, "plain")), "none");
    if (!canLabel) return;
    assert.deepEqual(copySecurityLabel(join(folder, "labelled"), join(folder, "missing")), { errno: 2 });
  });

  it("says why the old label could not be read, which is not the same as having none", () => {
    const unreadable = join(folder, "x".repeat(256));
    assert.deepEqual(copySecurityLabel(unreadable, join(folder, "plain")), { errno: constants.errno.ENAMETOOLONG });
    assert.equal(copySecurityLabel(join(folder, "plain", "below"), join(folder, "plain")), "none");
  });

  it("is tested with real labels where the tests may give some", () => {
    const [, effective = "0"] = /^CapEff:\t([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    assert.equal(canLabel, ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n);
  });
});
