// What is shipped: static, small, hardened, the same bytes wherever it is built.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pluginPath, ROOT, temporaryFolder } from "./run-plugin.ts";

const ARCHES = ["amd64", "arm64"] as const;
const MACHINES = { amd64: "Advanced Micro Devices X86-64", arm64: "AArch64" } as const;

pluginPath("shipped");
execFileSync(join(ROOT, "plugin/build"), [...ARCHES], { stdio: ["ignore", "ignore", "inherit"], timeout: 300_000 });

function readelf(path: string, ...options: string[]): string {
  return execFileSync("readelf", ["--wide", ...options, path], {
    encoding: "utf8",
    env: { LC_ALL: "C", PATH: process.env["PATH"] ?? "" },
    timeout: 10_000,
  });
}

for (const arch of ARCHES) {
  const path = join(ROOT, "out/plugin", arch, "istio-cni");

  test(`the ${arch} plugin is a static executable of less than 100 KB for its machine`, () => {
    assert.ok(statSync(path).size < 100_000, `${statSync(path).size} bytes`);
    assert.match(readelf(path, "--file-header"), new RegExp(`Machine: +${MACHINES[arch]}`));
    assert.doesNotMatch(readelf(path, "--program-headers"), /INTERP/);
    assert.doesNotMatch(readelf(path, "--dynamic"), /NEEDED/);
    assert.equal(readelf(path, "--symbols").includes("FUNC"), false);
  });

  test(`the ${arch} plugin is position-independent, with read-only relocations and no executable stack or writable code`, () => {
    assert.match(readelf(path, "--file-header"), /Type: +DYN/);
    const segments = readelf(path, "--program-headers");
    assert.match(segments, /GNU_RELRO/);
    assert.match(segments, /GNU_STACK .* RW /);
    assert.doesNotMatch(segments, /LOAD .* RWE/);
    assert.match(readelf(path, "--dynamic"), /BIND_NOW|Flags: NOW/);
  });

  test(`the ${arch} plugin names no folder of the machine it was built on`, () => {
    assert.equal(readFileSync(path).includes(ROOT), false);
  });
}

test("the plugin's functions are built with stack protectors", () => {
  using folder = temporaryFolder();
  for (const arch of ARCHES) {
    // What is shipped has no symbols left, so the same flags are asked for assembly.
    const assembly = join(folder.path, `${arch}.s`);
    execFileSync(join(ROOT, "tools/zig-static"), [arch, assembly, "-S", join(ROOT, "plugin/src/netconf.c")], {
      timeout: 600_000,
    });
    assert.match(readFileSync(assembly, "utf8"), /__stack_chk_fail/);
  }
});

test("the plugin is the same, byte for byte, when another folder holds the checkout", () => {
  using folder = temporaryFolder();
  for (const part of ["plugin/src", "plugin/build", "tools", "package.json"]) {
    cpSync(join(ROOT, part), join(folder.path, part), { recursive: true });
  }
  // The compiler and its libc are the same either way; only where the sources lie is the question here.
  mkdirSync(join(folder.path, ".cache"));
  symlinkSync(join(ROOT, ".cache/zig"), join(folder.path, ".cache/zig"));
  execFileSync(join(folder.path, "plugin/build"), [...ARCHES], {
    stdio: ["ignore", "ignore", "inherit"],
    timeout: 600_000,
  });
  const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
  for (const arch of ARCHES) {
    const name = `out/plugin/${arch}/istio-cni`;
    assert.equal(digest(join(folder.path, name)), digest(join(ROOT, name)));
  }
});
