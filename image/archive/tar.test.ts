import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { OWN, TreeBuilder } from "../tree/file-tree.ts";
import { readTar } from "./read-tar.ts";
import { renderCapabilities, renderTreeTar } from "./write-tar.ts";

const LONG = `${"folder/".repeat(30)}file`;

function makeArchive(): Buffer {
  const tree = new TreeBuilder();
  tree.file("a/b", "content", { mode: 0o755, capabilities: 0x283002n });
  tree.file(LONG, "x".repeat(513));
  tree.symlink("a/link", "b");
  tree.directory("empty", 0o700);
  return Buffer.concat(renderTreeTar(tree.finish()));
}

test("renderTreeTar() writes what readTar() reads, long names and capabilities included", () => {
  const entries = new Map(readTar(makeArchive()).map((entry) => [entry.path, entry]));
  assert.deepEqual(Buffer.from(entries.get("a/b")?.capabilities ?? []), renderCapabilities(0x283002n));
  assert.equal(new TextDecoder().decode(entries.get(LONG)?.content), "x".repeat(513));
  assert.equal(entries.get(LONG)?.capabilities, undefined);
  assert.deepEqual([entries.get("a/link")?.kind, entries.get("a/link")?.target], ["symlink", "b"]);
  assert.deepEqual([entries.get("empty")?.kind, entries.get("empty")?.mode], ["directory", 0o700]);
});

test("renderTreeTar() writes what tar(1) lists, in the order of folders before their content", () => {
  const listed = execFileSync("tar", ["--list", "--verbose", "--numeric-owner", "--file", "-"], {
    input: makeArchive(),
    encoding: "utf8",
    env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
  });
  const lines = listed.split("\n").filter((line) => !line.includes("folder") && line !== "");
  assert.deepEqual(lines, [
    "drwxr-xr-x 0/0               0 1970-01-01 00:00 a/",
    "-rwxr-xr-x 0/0               7 1970-01-01 00:00 a/b",
    "lrwxrwxrwx 0/0               0 1970-01-01 00:00 a/link -> b",
    "drwx------ 0/0               0 1970-01-01 00:00 empty/",
  ]);
  assert.ok(listed.includes(` ${LONG}\n`));
});

test("readTar() refuses a cut archive, a wrong checksum and a path that leaves the archive", () => {
  const archive = makeArchive();
  // Within the records of the second entry; after it, between two entries.
  assert.throws(() => readTar(archive.subarray(0, 1034)), /cut at offset 512/);
  assert.throws(() => readTar(archive.subarray(0, 1536)), /no end/);
  const changed = Buffer.from(archive);
  changed.writeUInt8(changed.readUInt8(0) ^ 1, 0);
  assert.throws(() => readTar(changed), /bad checksum at offset 0/);
  const tree = new TreeBuilder();
  tree.add({
    kind: "file",
    path: "x/../../y",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    origin: OWN,
    content: new Uint8Array(),
  });
  assert.throws(() => readTar(Buffer.concat(renderTreeTar(tree.finish()))), /leaves the archive/);
});
