import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { createDirectoryWatch, type DirectoryWatch } from "./directory-watch.ts";

const LONG_MS = 60_000;
const never = new AbortController().signal;

class Scene {
  readonly root = mkdtempSync(join(tmpdir(), "istio-cni-watch-"));
  readonly folder = join(this.root, "d");
  readonly watch: DirectoryWatch;

  constructor() {
    mkdirSync(this.folder);
    this.watch = createDirectoryWatch([this.folder, join(this.root, "later")]);
  }
  [Symbol.dispose](): void {
    this.watch[Symbol.dispose]();
    rmSync(this.root, { recursive: true, force: true });
  }
}

describe("createDirectoryWatch()", { timeout: 120_000 }, () => {
  it("wakes for a file that is made, written, renamed or removed", async () => {
    using scene = new Scene();
    const path = join(scene.folder, "a");
    for (const act of [
      () => writeFileSync(path, "1"),
      () => writeFileSync(path, "2"),
      () => renameSync(path, `${path}b`),
      () => rmSync(`${path}b`),
    ]) {
      scene.watch.arm();
      act();
      assert.equal(await scene.watch.wait(LONG_MS, never), "changed");
    }
  });

  it("remembers a change that comes before it is waited for", async () => {
    using scene = new Scene();
    scene.watch.arm();
    writeFileSync(join(scene.folder, "a"), "");
    await scene.watch.wait(LONG_MS, never);
    assert.equal(await scene.watch.wait(LONG_MS, never), "changed");
  });

  it("ends at its time limit and with its signal", async () => {
    using scene = new Scene();
    scene.watch.arm();
    assert.equal(await scene.watch.wait(1, never), "timeout");
    const ending = new AbortController();
    const waiting = scene.watch.wait(LONG_MS, ending.signal);
    ending.abort();
    assert.equal(await waiting, "aborted");
    assert.equal(await scene.watch.wait(LONG_MS, ending.signal), "aborted");
  });

  it("names the folder that is missing, and watches it from the next arming after it is there", async () => {
    using scene = new Scene();
    const later = join(scene.root, "later");
    scene.watch.arm();
    assert.deepEqual([...scene.watch.unwatched().keys()], [later]);
    mkdirSync(later);
    scene.watch.arm();
    assert.equal(scene.watch.unwatched().size, 0);
    writeFileSync(join(later, "a"), "");
    assert.equal(await scene.watch.wait(LONG_MS, never), "changed");
  });

  it("wakes when a missing folder, or the folder above it, is made", async () => {
    using scene = new Scene();
    const deep = join(scene.root, "x/y");
    using watch = createDirectoryWatch([deep]);
    for (const folder of [join(scene.root, "x"), deep]) {
      watch.arm();
      mkdirSync(folder);
      assert.equal(await watch.wait(LONG_MS, never), "changed");
    }
    watch.arm();
    assert.equal(watch.unwatched().size, 0);
    writeFileSync(join(deep, "a"), "");
    assert.equal(await watch.wait(LONG_MS, never), "changed");
  });

  it("goes over to a folder made anew, also where it has the number of the one that was removed", async () => {
    using scene = new Scene();
    // Twice: ext4 gives the number that was freed last.
    for (let times = 0; times < 2; times++) {
      scene.watch.arm();
      rmSync(scene.folder, { recursive: true });
      mkdirSync(scene.folder);
      assert.equal(await scene.watch.wait(LONG_MS, never), "changed");
      await setTimeout(50);
      scene.watch.arm();
      writeFileSync(join(scene.folder, "a"), "");
      assert.equal(await scene.watch.wait(5000, never), "changed");
    }
  });

  it("goes over to the folder that took another's place", async () => {
    using scene = new Scene();
    scene.watch.arm();
    renameSync(scene.folder, join(scene.root, "old"));
    mkdirSync(scene.folder);
    assert.equal(await scene.watch.wait(LONG_MS, never), "changed");
    scene.watch.arm();
    writeFileSync(join(scene.folder, "a"), "");
    assert.equal(await scene.watch.wait(LONG_MS, never), "changed");
  });
});
