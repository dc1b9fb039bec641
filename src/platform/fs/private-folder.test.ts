import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FileError } from "../../core/file-error.ts";
import { createPrivateFolder, isTemporaryName, type PrivateFolderCalls, privateFolderCalls } from "./private-folder.ts";

const UID = process.getuid?.() ?? 0;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

class Place {
  readonly root = mkdtempSync(join(tmpdir(), "istio-cni-private-"));
  readonly path = join(this.root, "pods");

  folder(calls: Partial<PrivateFolderCalls> = {}) {
    return createPrivateFolder(this.path, UID, { ...privateFolderCalls, ...calls });
  }
  mode(name = ""): number {
    return statSync(join(this.path, name)).mode & 0o7777;
  }
  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

test("write() makes folder and file for nobody but us, replaces whole files and leaves nothing beside them", async () => {
  using place = new Place();
  const folder = place.folder();
  folder.write("a.json", bytes("first, and longer"));
  folder.write("a.json", bytes("second"));
  assert.equal(new TextDecoder().decode(folder.read("a.json", 100)), "second");
  assert.deepEqual([place.mode(), place.mode("a.json")], [0o700, 0o600]);
  assert.deepEqual(readdirSync(place.path), ["a.json"]);
  folder.remove("a.json");
  folder.remove("a.json");
  assert.deepEqual(await folder.names(10), []);
});

test("write() makes the folder again that somebody has removed", async () => {
  using place = new Place();
  const folder = place.folder();
  folder.write("a.json", bytes("1"));
  rmSync(place.path, { recursive: true });
  folder.write("b.json", bytes("2"));
  assert.deepEqual(await folder.names(10), ["b.json"]);
});

test("a folder that is open to others is closed, and a symlink or file in its place is replaced", async () => {
  using place = new Place();
  mkdirSync(place.path);
  chmodSync(place.path, 0o777);
  await place.folder().names(10);
  assert.equal(place.mode(), 0o700);

  rmSync(place.path, { recursive: true });
  mkdirSync(join(place.root, "elsewhere"));
  writeFileSync(join(place.root, "elsewhere", "b.json"), "x");
  symlinkSync(join(place.root, "elsewhere"), place.path);
  assert.deepEqual(await place.folder().names(10), []);
  assert.deepEqual(readdirSync(join(place.root, "elsewhere")), ["b.json"]);

  rmSync(place.path, { recursive: true });
  writeFileSync(place.path, "x");
  assert.deepEqual(await place.folder().names(10), []);
});

test("read() refuses what somebody else could have written, whatever is no regular file, and what is too large", async () => {
  using place = new Place();
  const folder = place.folder();
  folder.write("good", bytes("good"));
  folder.write("open", bytes("x"));
  chmodSync(join(place.path, "open"), 0o620);
  folder.write("linked", bytes("x"));
  linkSync(join(place.path, "linked"), join(place.root, "other"));
  symlinkSync(join(place.path, "good"), join(place.path, "symlink"));
  execFileSync("mkfifo", [join(place.path, "fifo")]);
  mkdirSync(join(place.path, "folder"));
  const code = (name: string, maxBytes = 100): unknown => {
    try {
      folder.read(name, maxBytes);
      return "read";
    } catch (error) {
      return error instanceof FileError ? error.code : error;
    }
  };
  assert.deepEqual(
    ["good", "open", "linked", "symlink", "fifo", "folder", "absent"].map((name) => code(name)),
    ["read", "foreign", "foreign", "not-a-file", "not-a-file", "not-a-file", "not-found"],
  );
  assert.equal(code("good", 3), "too-large");
  assert.deepEqual((await folder.names(10)).toSorted(), ["fifo", "good", "linked", "open", "symlink"]);
});

test("files and folders of another user are not ours to believe or to use", async () => {
  using place = new Place();
  const folder = place.folder();
  folder.write("a", bytes("x"));
  const stranger = createPrivateFolder(place.path, UID + 1);
  assert.throws(() => stranger.read("a", 10), { code: "foreign" });
  await assert.rejects(stranger.names(10), { code: "foreign", message: /belongs to user/ });
  if (UID === 0) {
    chownSync(join(place.path, "a"), 65_534, 65_534);
    assert.throws(() => folder.read("a", 10), { code: "foreign" });
  }
});

test("names() gives up on a folder with too many entries", async () => {
  using place = new Place();
  const folder = place.folder();
  for (const name of ["a", "b", "c"]) folder.write(name, bytes("x"));
  await assert.rejects(folder.names(2), { code: "too-large" });
});

test("a write that fails leaves the old file and no temporary one, and says why", async () => {
  using place = new Place();
  place.folder().write("a", bytes("old"));
  for (const [errno, code] of [
    ["ENOSPC", "no-space"],
    ["EROFS", "read-only"],
    ["EIO", "failed"],
  ] as const) {
    const renameSync = (): never => {
      throw Object.assign(new Error(errno), { code: errno });
    };
    const failing = place.folder({ renameSync });
    assert.throws(() => failing.write("a", bytes("new")), { code });
  }
  assert.deepEqual(readdirSync(place.path), ["a"]);
  assert.equal(readFileSync(join(place.path, "a"), "utf8"), "old");
});

test("what a write leaves that was cut short is known by its name", async () => {
  using place = new Place();
  const end = (): never => {
    throw new Error("the process ends");
  };
  const cut = place.folder({ renameSync: end, unlinkSync: end });
  assert.throws(() => cut.write("a", bytes("x")));
  const [left = ""] = await place.folder().names(10);
  assert.ok(isTemporaryName(left), left);
  for (const name of ["a", ".new-", ".new-0123456789abcdef", "new-0123456789ab"])
    assert.ok(!isTemporaryName(name), name);
});
