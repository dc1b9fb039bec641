import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readElf } from "./read-elf.ts";
import { readDynamicImports } from "./read-imports.ts";
import { stripElf } from "./strip-elf.ts";

const folder = mkdtempSync(join(tmpdir(), "elf-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const NODE = readFileSync(process.execPath);

test("stripElf() leaves everything that is loaded where it was, and a program that runs", () => {
  const stripped = stripElf(NODE);
  assert.ok(stripped.length < NODE.length - 10_000_000, `${NODE.length} to ${stripped.length}`);
  assert.deepEqual(readElf(stripped), readElf(NODE));
  const path = join(folder, "node");
  writeFileSync(path, stripped);
  chmodSync(path, 0o755);
  assert.equal(
    execFileSync(path, ["-p", "process.version"], { encoding: "utf8", timeout: 60_000 }),
    `${process.version}\n`,
  );
  assert.deepEqual(stripElf(stripped), stripped, "a second time changes nothing");
});

test("stripElf() refuses what is no ELF file", () => {
  assert.throws(() => stripElf(new TextEncoder().encode("#!/bin/sh\n".repeat(20))), /no 64-bit little-endian ELF/);
});

test("readElf() tells what Node is linked with, and that its stack holds no code", () => {
  const elf = readElf(NODE);
  assert.ok(elf !== undefined);
  assert.ok(elf.needed.includes("libc.so.6"));
  assert.match(elf.interpreter ?? "", /^\/lib(64)?\/ld-linux/);
  assert.equal(elf.hasExecutableStack, false);
  assert.equal(elf.hasRelro, true);
  assert.equal(elf.machine, process.arch === "arm64" ? "arm64" : "amd64");
});

test("readDynamicImports() finds what is called in libraries and nothing that is not", () => {
  const imports = readDynamicImports(NODE);
  assert.ok(imports.includes("malloc") && imports.includes("dlopen"));
  assert.ok(!imports.includes("wordexp"));
  assert.deepEqual(readDynamicImports(new Uint8Array(100)), []);
});
