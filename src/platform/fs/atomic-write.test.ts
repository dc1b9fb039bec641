import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
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
import { describe, it } from "node:test";
import { exchangeFiles } from "../linux/exchange-files.ts";
import { type AtomicWriteOptions, plainDeps, removeDurably, writeAtomically } from "./atomic-write.ts";
import { fileCalls } from "./file-calls.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

class Folder {
  readonly path = mkdtempSync(join(tmpdir(), "istio-cni-fs-"));

  put(name: string, text: string): void {
    writeFileSync(join(this.path, name), text);
  }
  text(name: string): string {
    return readFileSync(join(this.path, name), "utf8");
  }
  names(): string[] {
    return readdirSync(this.path).toSorted();
  }
  async write(name: string, text: string, options: Partial<AtomicWriteOptions> = {}): Promise<void> {
    await writeAtomically(this.path, name, bytes(text), { mode: 0o600, keepOf: name, expected: "any", ...options });
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

describe("writeAtomically()", () => {
  it("makes a new file of the given mode, whatever the umask", async () => {
    using folder = new Folder();
    await folder.write("a", "new", { mode: 0o666 });
    assert.deepEqual(
      [folder.text("a"), statSync(join(folder.path, "a")).mode & 0o7777, folder.names()],
      ["new", 0o666, ["a"]],
    );
  });

  it("keeps mode and owner of the file it replaces", {
    skip: process.getuid?.() !== 0 && "needs root to give a file away",
  }, async () => {
    using folder = new Folder();
    folder.put("a", "old");
    chmodSync(join(folder.path, "a"), 0o640);
    chownSync(join(folder.path, "a"), 1234, 5678);
    await folder.write("a", "new");
    const { mode, uid, gid } = statSync(join(folder.path, "a"));
    assert.deepEqual([folder.text("a"), mode & 0o7777, uid, gid], ["new", 0o640, 1234, 5678]);
  });

  it("takes the mode of another file, and hands labels over to the new one", async () => {
    using folder = new Folder();
    folder.put("model", "");
    chmodSync(join(folder.path, "model"), 0o604);
    const copied: string[] = [];
    const copyLabels = (from: string): number => copied.push(from);
    await writeAtomically(
      folder.path,
      "a",
      bytes("x"),
      { mode: 0o600, keepOf: "model", expected: "absent" },
      { ...plainDeps, copyLabels },
    );
    assert.deepEqual([statSync(join(folder.path, "a")).mode & 0o7777, copied], [0o604, [join(folder.path, "model")]]);
  });

  it("replaces a symlink's target inside the folder, or the symlink itself where nothing is kept", async () => {
    using folder = new Folder();
    mkdirSync(join(folder.path, "sub"));
    folder.put("sub/target", "old");
    symlinkSync("sub/target", join(folder.path, "a"));
    await folder.write("a", "new");
    assert.equal(folder.text("sub/target"), "new");
    await folder.write("a", "newer", { keepOf: undefined });
    assert.deepEqual([folder.text("sub/target"), folder.text("a")], ["new", "newer"]);
  });

  for (const [target, code] of [
    ["/etc/hostname", "outside"],
    ["../x", "outside"],
    ["missing", "dangling"],
    ["a", "dangling"],
  ] as const) {
    it(`refuses a symlink to ${target} as ${code}`, async () => {
      using folder = new Folder();
      symlinkSync(target, join(folder.path, "a"));
      await assert.rejects(folder.write("a", "new"), {
        name: "FileError",
        code,
        message: /it is a symlink to /,
      });
      assert.deepEqual(folder.names(), ["a"]);
    });
  }

  it("refuses when the file is not as expected any more, and leaves it", async () => {
    using folder = new Folder();
    folder.put("a", "other");
    for (const expected of [bytes("old"), bytes("others"), "absent" as const]) {
      await assert.rejects(folder.write("a", "new", { expected }), { code: "changed" });
    }
    await assert.rejects(folder.write("b", "new", { expected: bytes("old") }), { code: "changed" });
    await folder.write("a", "new", { expected: bytes("other") });
    assert.deepEqual([folder.text("a"), folder.names()], ["new", ["a"]]);
  });

  it("refuses a folder that is not there, and a folder in the file's place", async () => {
    using folder = new Folder();
    mkdirSync(join(folder.path, "a"));
    await assert.rejects(folder.write("a", "new"), { name: "FileError" });
    await assert.rejects(
      writeAtomically(join(folder.path, "none"), "a", bytes("x"), { mode: 0o600, keepOf: "a", expected: "any" }),
      { code: "not-found" },
    );
    assert.deepEqual(folder.names(), ["a"]);
  });

  for (const [errno, code] of [
    ["EROFS", "read-only"],
    ["ENOSPC", "no-space"],
    ["EACCES", "denied"],
    ["EIO", "failed"],
  ] as const) {
    it(`calls ${errno} ${code}, keeps the old file and leaves no temporary one`, async () => {
      using folder = new Folder();
      folder.put("a", "old");
      const rename = (): Promise<void> => Promise.reject(Object.assign(new Error(errno), { code: errno }));
      const deps = { ...plainDeps, calls: { ...fileCalls, rename } };
      await assert.rejects(
        writeAtomically(folder.path, "a", bytes("new"), { mode: 0o600, keepOf: "a", expected: "any" }, deps),
        { name: "FileError", code },
      );
      assert.deepEqual([folder.text("a"), folder.names()], ["old", ["a"]]);
    });
  }

  it("has synced the content before the name changes, and the folder after it", async () => {
    using folder = new Folder();
    const order: string[] = [];
    const open: typeof fileCalls.open = async (...args) => {
      const file = await fileCalls.open(...args);
      const sync = file.sync.bind(file);
      file.sync = async () => {
        order.push(`sync ${String(args[0]) === folder.path ? "folder" : "file"}`);
        await sync();
      };
      return file;
    };
    const rename: typeof fileCalls.rename = async (from, to) => {
      order.push("rename");
      await fileCalls.rename(from, to);
    };
    const deps = { ...plainDeps, calls: { ...fileCalls, open, rename } };
    await writeAtomically(folder.path, "a", bytes("x"), { mode: 0o600, keepOf: undefined, expected: "any" }, deps);
    assert.deepEqual(order, ["sync file", "rename", "sync folder"]);
  });
});

describe("writeAtomically() that can exchange files", () => {
  const options = { mode: 0o600, keepOf: "a", expected: bytes("old") } as const;

  it("replaces the file and leaves nothing behind", async () => {
    using folder = new Folder();
    folder.put("a", "old");
    await writeAtomically(folder.path, "a", bytes("new"), options, { ...plainDeps, exchange: exchangeFiles });
    assert.deepEqual([folder.text("a"), folder.names()], ["new", ["a"]]);
  });

  it("puts back what another writer wrote between the last look and the exchange", async () => {
    using folder = new Folder();
    folder.put("a", "old");
    let calls = 0;
    const exchange = (path: string, other: string): ReturnType<typeof exchangeFiles> => {
      if (++calls === 1) folder.put("a", "theirs");
      return exchangeFiles(path, other);
    };
    await assert.rejects(writeAtomically(folder.path, "a", bytes("new"), options, { ...plainDeps, exchange }), {
      code: "changed",
    });
    assert.deepEqual([folder.text("a"), folder.names()], ["theirs", ["a"]]);
  });
});

describe("writeAtomically() over a file that vanishes", () => {
  it("does not bring it back", async () => {
    using folder = new Folder();
    folder.put("a", "old");
    const options = { mode: 0o600, keepOf: "a", expected: bytes("old") } as const;
    const exchange = (path: string, other: string): ReturnType<typeof exchangeFiles> => {
      rmSync(other);
      return exchangeFiles(path, other);
    };
    await assert.rejects(writeAtomically(folder.path, "a", bytes("new"), options, { ...plainDeps, exchange }), {
      code: "changed",
    });
    assert.deepEqual(folder.names(), []);
  });
});

describe("removeDurably()", () => {
  it("removes a file, and is content when there is none", async () => {
    using folder = new Folder();
    folder.put("a", "x");
    await removeDurably(folder.path, "a", bytes("x"));
    await removeDurably(folder.path, "a", "any");
    assert.deepEqual(folder.names(), []);
  });

  it("refuses a file that is not as expected", async () => {
    using folder = new Folder();
    folder.put("a", "y");
    await assert.rejects(removeDurably(folder.path, "a", bytes("x")), { code: "changed" });
    assert.deepEqual(folder.names(), ["a"]);
  });

  it("removes a symlink and not what it leads to", async () => {
    using folder = new Folder();
    folder.put("b", "x");
    symlinkSync("b", join(folder.path, "a"));
    await removeDurably(folder.path, "a", bytes("x"));
    assert.deepEqual(folder.names(), ["b"]);
  });
});
