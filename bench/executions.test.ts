import assert from "node:assert/strict";
import { test } from "node:test";
import { parseExecutions } from "./executions.ts";

test("parseExecutions() counts what was executed, not what was tried, over interrupted lines", () => {
  const trace = [
    '71    execve("/opt/cni/bin/istio-cni", ["istio-cni"], 0x7ffd /* 8 vars */) = 0',
    '72    execve("/sbin/nft", ["nft", "--check"], 0xc000 /* 8 vars */) = -1 ENOENT (No such file or directory)',
    '72    execve("/usr/sbin/nft", ["nft", "--check"], 0xc000 /* 8 vars */ <unfinished ...>',
    '73    execveat(AT_FDCWD, "/usr/sbin/ip", ["ip"], 0xc000 /* 8 vars */, 0) = 0',
    "72    <... execve resumed>)              = 0",
    "72    +++ exited with 0 +++",
    "",
  ].join("\n");
  assert.deepEqual(parseExecutions(trace), ["/opt/cni/bin/istio-cni", "/usr/sbin/ip", "/usr/sbin/nft"]);
});
