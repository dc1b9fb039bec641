// The program as a whole, as far as it needs no cluster.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { COMMANDS } from "../core/config/commands.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;

async function run(
  argv: readonly string[],
  {
    readsOutput = true,
    env = { CNI_AGENT_RUN_DIR: "/var/empty/no-agent" },
    input = "",
  }: {
    readonly readsOutput?: boolean;
    readonly env?: Readonly<Record<string, string>>;
    readonly input?: string;
  } = {},
) {
  const child = spawn(process.execPath, [MAIN, ...argv], { stdio: ["pipe", "pipe", "pipe"], env, timeout: 60_000 });
  // Nearly all of them end without having read it.
  child.stdin.on("error", () => undefined).end(input);
  const output = { stdout: "", stderr: "" };
  if (!readsOutput) child.stdout.destroy();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  const [status]: unknown[] = await once(child, "close");
  return { status, ...output };
}

/** Folders as a host has them: an installed plugin of ours, a conflist, a run directory. */
function createHost() {
  const root = mkdtempSync(join(tmpdir(), "host-"));
  const folders = { netDir: join(root, "net.d"), binDir: join(root, "bin"), runDir: join(root, "run") };
  for (const folder of Object.values(folders)) mkdirSync(folder);
  writeFileSync(
    join(folders.netDir, "10-cni.conflist"),
    '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"}]}',
  );
  cpSync("/bin/true", join(folders.binDir, "istio-cni"));
  const snapshot = (): string[] =>
    readdirSync(root, { recursive: true, encoding: "utf8" })
      .sort()
      .map((name) => {
        const path = join(root, name);
        const { ino, mode, mtimeNs, ctimeNs, size } = lstatSync(path, { bigint: true });
        const content = lstatSync(path).isFile() ? readFileSync(path).toString("base64").length : 0;
        return [name, ino, mode, mtimeNs, ctimeNs, size, content].join(" ");
      });
  return {
    env: {
      MOUNTED_CNI_NET_DIR: folders.netDir,
      CNI_BIN_DIR: folders.binDir,
      CNI_AGENT_RUN_DIR: folders.runDir,
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
    },
    snapshot,
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

describe("install-cni", () => {
  it("reads a manifest from standard input, and ends as is documented", async () => {
    const pod = (spec: string): string => `kind: Pod\nmetadata: {name: web, namespace: shop}\nspec: ${spec}\n`;
    const out = await run(["render", "--filename", "-"], { input: pod("{containers: [{name: app}]}") });
    assert.deepEqual([out.status, out.stderr], [0, ""]);
    assert.match(out.stdout, /^Pod shop\/web would be outside the mesh: it has no container istio-proxy$/m);
    const wrong = await run(["render"], { input: pod("{hostNetwork: maybe}") });
    assert.deepEqual([wrong.status, wrong.stdout], [2, ""]);
    assert.match(wrong.stderr, /^Cannot read Pod: spec\.hostNetwork must be a boolean.*\n$/);
    assert.equal((await run(["render", "--family", "both"])).status, 2);
    const trace = await run(["trace", "shop/web", "--to", "10.0.0.1:80"]);
    assert.deepEqual([trace.status, trace.stdout], [2, ""]);
    assert.match(trace.stderr, /no agent runs with this run directory/);
  });

  it("does not mind a reader that has seen enough", async () => {
    for (const argv of [["help"], ["version"], ["config"], ["completion", "bash"]]) {
      assert.deepEqual(await run(argv, { readsOutput: false }), { status: 0, stdout: "", stderr: "" }, argv.join(" "));
    }
  });

  it("says in a sentence that its answer cannot be written, and does not end well", async () => {
    const full = openSync("/dev/full", "w");
    for (const [argv, status] of [
      [["config"], 1],
      [["render"], 2],
    ] as const) {
      const ended = spawnSync(process.execPath, [MAIN, ...argv], {
        stdio: ["pipe", full, "pipe"],
        input: "kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: app}]}\n",
        encoding: "utf8",
        env: {},
        timeout: 60_000,
      });
      assert.equal(ended.stderr, "Cannot write the answer: ENOSPC: no space left on device, write\n");
      assert.equal(ended.status, status);
    }
    closeSync(full);
  });

  it("ends with 2 where commands that ask cannot tell, and with 1 for other wrong command lines", async () => {
    const asking = [
      ["status"],
      ["explain", "shop/web"],
      ["log-level"],
      ["log-level", "debug"],
      ["config", "--running"],
    ];
    for (const argv of [...asking, ["explain", "shop"], ["status", "--nope"], ["explain"], ["log-level", "loud"]]) {
      const { status, stdout, stderr } = await run(argv);
      assert.deepEqual([status, stdout], [2, ""], argv.join(" "));
      assert.match(stderr, /^Cannot .+\n$/, argv.join(" "));
    }
    assert.equal((await run(["version", "--nope"])).status, 1);
    assert.equal((await run(["nope"])).status, 1);
  });

  it("prints help for itself and for each command, and names the rest of what upstream's has", async () => {
    const whole = await run(["--help"]);
    assert.equal(whole.status, 0);
    assert.deepEqual(await run(["-h"]), whole);
    assert.deepEqual(await run(["help"]), whole);
    for (const { name, summary } of COMMANDS) {
      assert.match(whole.stdout, new RegExp(`^  ${name} +${summary.replaceAll(/[.()]/g, "\\$&")}$`, "m"));
    }
    const one = await run(["help", "version"]);
    assert.match(one.stdout, /^Usage:\n {2}install-cni version \[flags\]$/m);
    assert.deepEqual(await run(["version", "--help"]), one);
    const collateral = await run(["collateral"]);
    assert.equal(collateral.status, 1);
    assert.match(collateral.stderr, /unknown command "collateral" for "install-cni"/);
  });

  it("prints its version in upstream's forms", async () => {
    assert.match((await run(["version"])).stdout, /^client version: \S+-\S+-\S+\n$/);
    assert.match((await run(["version", "-s"])).stdout, /^client version: \S+\n$/);
    assert.match((await run(["version", "--short=true"])).stdout, /^client version: \S+\n$/);
    assert.match((await run(["version", "-s=false"])).stdout, /^client version: \S+-\S+-\S+\n$/);
    assert.match((await run(["version", "-so", "json"])).stdout, /^\{/);
    assert.match((await run(["version", "-so=json"])).stdout, /^\{/);
    assert.match((await run(["version", "-sz"])).stderr, /"-z"/);
    assert.deepEqual(Object.keys(JSON.parse((await run(["version", "-o", "json"])).stdout)), ["clientVersion"]);
    assert.match((await run(["version", "-o", "yaml"])).stdout, /^clientVersion:\n {2}golang_version: /);
    assert.match((await run(["version", "-o", "xml"])).stderr, /^--output must be 'yaml' or 'json'/);
  });

  it("touches nothing on the host when a value is malformed or a flag is not known", async () => {
    using host = createHost();
    const before = host.snapshot();
    const cases: readonly (readonly [Readonly<Record<string, string>>, readonly string[], RegExp])[] = [
      [{ MONITORING_PORT: "abc" }, [], /^Cannot use MONITORING_PORT: it is "abc"; accepted: a whole number/],
      [{ CHAINED_CNI_PLUGIN: "yes" }, [], /^Cannot use CHAINED_CNI_PLUGIN: it is "yes"; accepted: /],
      [{}, ["--chained-cni-plugin=maybe"], /^Cannot use --chained-cni-plugin: it is "maybe"; accepted: /],
      [{}, ["--no-such-flag"], /^Cannot use flag "--no-such-flag": it is not known/],
      [{}, ["install"], /^Cannot run: unknown command "install"/],
      [
        { AMBIENT_ENABLED: "true", AMBIENT_ENABLEMENT_SELECTOR: "- podSelector: {matchLabels: [a]}" },
        [],
        /^Cannot use AMBIENT_ENABLEMENT_SELECTOR: /,
      ],
      [{ AMBIENT_ENABLEMENT_SELECTOR: "{" }, [], /^Cannot use AMBIENT_ENABLEMENT_SELECTOR: .*; accepted: /],
      [{ HOST_PROBE_SNAT_IP: "x", LOG_LEVEL: "loud" }, [], /HOST_PROBE_SNAT_IP.*\n.*LOG_LEVEL: it is "loud"/],
      [{ CNI_NETWORK_CONFIG_FILE: "/no/such/file" }, [], /CNI_NETWORK_CONFIG_FILE: \/no\/such\/file: /],
    ];
    for (const [env, argv, message] of cases) {
      const { status, stdout, stderr } = await run(argv, { env: { ...host.env, ...env } });
      assert.equal(status, 1, stderr);
      assert.match(stderr || stdout, message);
    }
    assert.deepEqual(host.snapshot(), before);
  });
});
