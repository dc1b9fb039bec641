// The commands against a socket on which anything may answer.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ConfigError } from "../../core/config/config-error.ts";
import { object, TEXT } from "../../core/status/shape.ts";
import { askAgent, type QueryInput } from "./ask-agent.ts";
import { explainPod } from "./explain.ts";
import { showStatus } from "./status.ts";

const runDir = mkdtempSync(join(tmpdir(), "ask-agent-"));
let server: Server;
let answer: { readonly status: number; readonly body: string };
let asked: string | undefined;

before(async () => {
  server = createServer((request, response) => {
    asked = request.url;
    response.writeHead(answer.status).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(join(runDir, "admin.sock"), resolve));
});
after(() => {
  server.close();
  rmSync(runDir, { recursive: true, force: true });
});

const INPUT: QueryInput = {
  flags: new Map(),
  // What is wrong with the agent's own variables must not keep anybody from asking.
  env: { CNI_AGENT_RUN_DIR: runDir, REPAIR_ENABLED: "nonsense" },
  output: "text",
  hasColours: false,
};
const EXPLAIN = { ...INPUT, pod: { namespace: "shop", name: "web" }, withRules: false };

describe("askAgent()", () => {
  it("finds the socket by flag before variable, and refuses a run directory that is none", async () => {
    answer = { status: 200, body: '{"a":"b"}' };
    const shape = object({ a: TEXT });
    assert.deepEqual(await askAgent("/x", shape, INPUT), { document: { a: "b" } });
    const flags = new Map([["cni-agent-run-dir", [runDir]]]);
    const elsewhere = await askAgent("/x", shape, { flags, env: { CNI_AGENT_RUN_DIR: "/elsewhere" } });
    assert.ok("document" in elsewhere);
    await assert.rejects(askAgent("/x", shape, { flags: new Map(), env: { CNI_AGENT_RUN_DIR: "x" } }), ConfigError);
  });

  it("says what is in the way where nobody answers", async () => {
    const { stdout, stderr, exitCode } = await showStatus({ ...INPUT, env: { CNI_AGENT_RUN_DIR: "/var/empty/x" } });
    assert.deepEqual([stdout, exitCode], ["", 2]);
    assert.match(
      stderr,
      /^Cannot ask over \/var\/empty\/x\/admin\.sock: .*no agent runs with this run directory; ask on .*kubectl .* exec .*CNI_AGENT_RUN_DIR.*\n$/,
    );
  });

  for (const body of ["", "<html>", "null", "{}", '{"schemaVersion":2}', '{"schemaVersion":1}', "[".repeat(100_000)]) {
    it(`takes ${JSON.stringify(body.slice(0, 30))} for no answer`, async () => {
      answer = { status: 200, body };
      for (const outcome of [await showStatus(INPUT), await explainPod(EXPLAIN)]) {
        assert.deepEqual([outcome.stdout, outcome.exitCode], ["", 2]);
        assert.match(outcome.stderr, /^Cannot read the agent's answer: .*another version than this program\n$/s);
      }
    });
  }

  it("passes the agent's own refusals on", async () => {
    answer = { status: 404, body: '{"error":"Cannot explain: there is none"}' };
    assert.deepEqual(await explainPod(EXPLAIN), { stdout: "", stderr: "Cannot explain: there is none\n", exitCode: 3 });
    assert.equal(asked, "/pods/shop/web");
    assert.equal((await showStatus(INPUT)).exitCode, 2);
    answer = { status: 500, body: "Internal Server Error" };
    assert.deepEqual(await explainPod(EXPLAIN), { stdout: "", stderr: "the agent answered 500\n", exitCode: 2 });
  });
});
