import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createProcReader } from "./proc-reader.ts";

function createTree(): Disposable & { readonly root: string } {
  const root = mkdtempSync(join(tmpdir(), "proc-reader-"));
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) };
}

function addProcess(root: string, pid: number, netns: string): void {
  mkdirSync(join(root, String(pid), "ns"), { recursive: true });
  symlinkSync(netns, join(root, String(pid), "ns/net"));
  symlinkSync("/pause", join(root, String(pid), "exe"));
  writeFileSync(join(root, String(pid), "stat"), `${pid} (pause) S 1\n`);
  writeFileSync(join(root, String(pid), "cgroup"), "0::/kubepods\n");
}

test("the reader lists processes only, and reads what each tells", async () => {
  using tree = createTree();
  addProcess(tree.root, 17, "net:[4026531840]");
  for (const name of ["self", "sys", "007", "12x", "0"]) mkdirSync(join(tree.root, name));
  const proc = createProcReader(tree.root);
  assert.deepEqual(await proc.pids(), [17]);
  assert.equal(proc.netnsIno(17), 4026531840n);
  assert.equal(proc.stat(17), "17 (pause) S 1\n");
  assert.equal(proc.exe(17), "/pause");
  assert.equal(await proc.cgroup(17), "0::/kubepods\n");
});

test("what is gone, and what is no process, is undefined", async () => {
  using tree = createTree();
  addProcess(tree.root, 17, "somewhere");
  const proc = createProcReader(tree.root);
  assert.equal(proc.netnsIno(17), undefined);
  assert.equal(proc.netnsIno(18), undefined);
  assert.equal(proc.stat(18), undefined);
  assert.equal(proc.exe(18), undefined);
  assert.equal(await proc.cgroup(18), undefined);
});

test("a procfs that is not mounted is an error that names it", async () => {
  using tree = createTree();
  const proc = createProcReader(join(tree.root, "proc"));
  await assert.rejects(proc.pids(), { code: "not-found", message: /\/proc: it does not exist$/ });
  assert.throws(() => proc.nodeNetns(), { code: "not-found" });
});

test("this machine's own /proc reads as this process sees itself", async () => {
  const proc = createProcReader("/proc");
  const { dev, ino } = statSync("/proc/self/ns/net", { bigint: true });
  assert.ok((await proc.pids()).includes(process.pid));
  assert.equal(proc.netnsIno(process.pid), ino);
  assert.equal(statSync(proc.netnsPath(process.pid), { bigint: true }).dev, dev);
  assert.equal(proc.exe(process.pid), readlinkSync("/proc/self/exe"));
  assert.match(proc.stat(process.pid) ?? "", new RegExp(`^${process.pid} \\(`));
});

test("only namespaces count among the files of a runtime's folder, and symlinks are not followed", async () => {
  using tree = createTree();
  writeFileSync(join(tree.root, "leftover"), "");
  symlinkSync("/proc/self/ns/net", join(tree.root, "link"));
  const proc = createProcReader("/proc");
  const { dev } = statSync("/proc/self/ns/net", { bigint: true });
  assert.deepEqual(await proc.namedNetns([tree.root, join(tree.root, "absent")], dev), []);
});

test("a node whose process 1 is hidden is told by its first kernel thread, and by nothing that only looks like it", () => {
  using tree = createTree();
  const own = statSync("/proc/self/ns/net", { bigint: true });
  addProcess(tree.root, 2, "net:[1]");
  unlinkSync(join(tree.root, "2/ns/net"));
  symlinkSync("/proc/self/ns/net", join(tree.root, "2/ns/net"));
  writeFileSync(join(tree.root, "2/comm"), "kthreadd\n");
  writeFileSync(join(tree.root, "2/cmdline"), "");
  const { dev, ino } = createProcReader(tree.root).nodeNetns();
  assert.deepEqual([dev, ino], [own.dev, own.ino]);
  writeFileSync(join(tree.root, "2/cmdline"), "kthreadd\0");
  assert.throws(() => createProcReader(tree.root).nodeNetns(), { code: "not-found" });
});
