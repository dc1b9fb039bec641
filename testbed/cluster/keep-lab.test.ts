import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../until.ts";

/** Notes what it is asked, and is not up before there is a file `go`. */
const LAB = `#!/bin/sh
cd "$(dirname "$0")"
echo "$1" >> asked
[ "$1" = down ] || until [ -e go ]; do sleep 0.01; done
echo "$1 is done"
`;

test("the keeper takes the lab down when its owner is killed before the lab is up", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "keep-lab-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "lab"), LAB, { mode: 0o755 });
  const asked = (): string => (existsSync(join(folder, "asked")) ? readFileSync(join(folder, "asked"), "utf8") : "");
  const keeper = spawn(join(import.meta.dirname, "keep-lab"), [folder]);
  t.after(() => keeper.kill("SIGKILL"));
  let hasEnded = false;
  keeper.once("exit", () => (hasEnded = true));
  await until("the lab to be asked", () => asked() === "down\nup\n");
  // All that the end of its owner means to it.
  for (const stream of [keeper.stdin, keeper.stdout, keeper.stderr]) stream.destroy();
  writeFileSync(join(folder, "go"), "");
  await until("its end", () => hasEnded);
  assert.equal(asked(), "down\nup\ndown\n");
});
