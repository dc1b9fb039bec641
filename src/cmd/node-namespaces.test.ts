import assert from "node:assert/strict";
import { mkdirSync, mkdtempDisposableSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createProcReader } from "../platform/fs/proc-reader.ts";
import { forbiddenNamespaces } from "./node-namespaces.ts";

const idOf = (path: string): string => {
  const { dev, ino } = statSync(path, { bigint: true });
  return `${dev}:${ino}`;
};

test("the node's namespace is no pod's, whether process 1 shows it or the kernel's threads do", () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), "node-namespaces-"));
  const forbidden = () => forbiddenNamespaces(createProcReader(folder.path)).map(({ dev, ino }) => `${dev}:${ino}`);
  const own = idOf("/proc/self/ns/net");
  assert.deepEqual(forbidden(), [own]);

  const node = join(folder.path, "node");
  writeFileSync(node, "");
  for (const pid of ["1", "2"]) mkdirSync(join(folder.path, pid, "ns"), { recursive: true });
  symlinkSync(node, join(folder.path, "1/ns/net"));
  assert.deepEqual(forbidden(), [own, idOf(node)]);

  rmSync(join(folder.path, "1/ns/net"));
  writeFileSync(join(folder.path, "2/comm"), "kthreadd\n");
  writeFileSync(join(folder.path, "2/cmdline"), "");
  symlinkSync(node, join(folder.path, "2/ns/net"));
  assert.deepEqual(forbidden(), [own, idOf(node)]);
});
