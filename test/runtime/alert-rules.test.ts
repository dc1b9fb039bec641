// Prometheus' own promtool over the alert rules, their tests, and the expressions of the dashboard.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { readExpressions } from "../../dashboards/read-expressions.ts";
import { type CommandResult, runCommand } from "../../testbed/node/command.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";

const DASHBOARDS = join(REPOSITORY, "dashboards");
const folder = mkdtempSync(join(tmpdir(), "alert-rules-"));
after(() => rmSync(folder, { recursive: true }));

function promtool(...args: readonly string[]): Promise<CommandResult> {
  return runCommand([join(REPOSITORY, "tools/promtool"), ...args], { timeoutMs: 120_000 });
}

async function checkExpressions(expressions: readonly string[]): Promise<CommandResult> {
  const rules = expressions.map((expr, index) => ({ record: `test:expression:${index}`, expr }));
  const path = join(folder, "expressions.json");
  writeFileSync(path, JSON.stringify({ groups: [{ name: "expressions", rules }] }));
  return promtool("check", "rules", path);
}

describe("promtool", () => {
  test("accepts the alert rules", async () => {
    const { status, stdout, stderr } = await promtool("check", "rules", join(DASHBOARDS, "istio-cni.rules.yaml"));
    assert.equal(status, 0, stderr);
    assert.match(stdout, /SUCCESS: [1-9]\d+ rules found/);
  });

  test("sees every alert fire where its fault is, in its time, and none on a healthy node", async () => {
    const { status, stdout, stderr } = await promtool("test", "rules", join(DASHBOARDS, "istio-cni.rules.test.yaml"));
    assert.equal(status, 0, `${stdout}${stderr}`);
  });

  test("accepts every expression of the dashboard, and would not accept a broken one", async () => {
    const { status, stdout, stderr } = await checkExpressions(readExpressions("istio-cni.dashboard.json"));
    assert.equal(status, 0, `${stdout}${stderr}`);
    assert.notEqual((await checkExpressions(["sum by (istio_cni_agent_pods"])).status, 0);
  });
});
