import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readIdentity } from "./identity.ts";

const folder = mkdtempSync(join(tmpdir(), "identity-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const PERSON = { NAME: "a", EMAIL: "a@example.org", DATE: "2026-11-20T10:00:00+01:00" };
const AUTHOR = Object.entries(PERSON).flatMap(([key, value]) =>
  ["AUTHOR", "COMMITTER"].map((who) => [`GIT_${who}_${key}`, value]),
);

function git(...args: readonly string[]): string {
  const env = { PATH: process.env["PATH"] ?? "", HOME: folder, ...Object.fromEntries(AUTHOR) };
  return execFileSync("git", args, { cwd: folder, env, encoding: "utf8", timeout: 30_000 }).trim();
}

test("readIdentity() names the commit and its time, and no commit when the checkout has something else besides", () => {
  writeFileSync(join(folder, "package.json"), '{"version":"1.2.3"}');
  const archive = { version: "1.2.3", revision: undefined, created: "2026-11-22T00:00:00.000Z" };
  assert.deepEqual(readIdentity(folder, "2026-11-22"), archive, "a source archive");

  git("init", "--quiet");
  git("add", "package.json");
  git("commit", "--quiet", "--message", "x");
  const committed = { version: "1.2.3", revision: git("rev-parse", "HEAD"), created: "2026-11-20T09:00:00.000Z" };
  assert.deepEqual(readIdentity(folder, "2026-11-22"), committed);

  writeFileSync(join(folder, "agent.ts"), "");
  assert.deepEqual(readIdentity(folder, "2026-11-22"), { ...committed, revision: undefined }, "a file more");
  rmSync(join(folder, "agent.ts"));
  writeFileSync(join(folder, "package.json"), '{"version":"1.2.3" }');
  assert.deepEqual(readIdentity(folder, "2026-11-22"), { ...committed, revision: undefined }, "a changed file");
});
