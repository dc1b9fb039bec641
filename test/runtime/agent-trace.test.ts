// Where packets of a pod end: `install-cni trace` and the live look of `explain` beside the running agent, by what really is in
// the pod's namespace, and held against connections that are really opened.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { PodExplanation } from "../../src/core/status/status-document.ts";
import type { TraceDocument } from "../../src/core/trace/trace-document.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, INSTALL_CNI, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { createAmbientNode } from "./ambient-node.ts";
import { askAgent, NOBODY } from "./ask-agent.ts";
import { connect, eventually, readGolden, readRules } from "./captured-pods.ts";

enterNodeNamespaces();

async function traced(agent: TestAgent, args: readonly string[]): Promise<TraceDocument & { readonly exit: number }> {
  const { status, stdout, stderr } = await askAgent(agent, ["trace", ...args, "--output", "json"]);
  assert.ok(stdout !== "", stderr);
  return { ...(JSON.parse(stdout) as TraceDocument), exit: status ?? -1 };
}

/** "redirected 15001", or the verdict alone. */
async function verdictOf(agent: TestAgent, args: readonly string[]): Promise<string> {
  const { verdict, port, exit } = await traced(agent, args);
  assert.equal(exit, { redirected: 0, passed: 1, dropped: 4, unknown: 5 }[verdict]);
  return port === null ? verdict : `${verdict} ${port}`;
}

async function liveOf(
  agent: TestAgent,
  pod: string,
): Promise<PodExplanation["live"] & { readonly exit: number | null }> {
  const { status, stdout, stderr } = await askAgent(agent, ["explain", pod, "--output", "json"]);
  assert.ok(stdout !== "", stderr);
  return { ...(JSON.parse(stdout) as PodExplanation).live, exit: status };
}

async function startPod(mesh: MeshNode, object: ReturnType<typeof plainPod>): Promise<TestPod> {
  const pod = await mesh.startPod(object);
  mesh.report(pod);
  return pod;
}

function ipOf(pod: TestPod, family: 4 | 6): string {
  const ip = pod.ips.find((candidate) => candidate.includes(":") === (family === 6));
  assert.ok(ip !== undefined);
  return ip;
}

const endOf = (ip: string, port: number): string => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`);

for (const [dialect, env] of [
  ["iptables-nft", {}],
  ["nftables", { NATIVE_NFTABLES: "true" }],
  ["iptables-legacy", { FORCE_IPTABLES_BINARY: "legacy" }],
] as const) {
  test(`${dialect}: a trace says what becomes of connections that are really opened`, async () => {
    await using mesh = await createMeshNode({ families: "dual" });
    const agent = await mesh.startAgent({ env });
    const web = await startPod(mesh, sidecarPod({ ...NEW_POD, name: "web" }));
    const peer = await startPod(mesh, plainPod({ ...NEW_POD, name: "peer" }));
    for (const { direction, family, result } of await connect(mesh.node, web, peer)) {
      const other = ipOf(peer, family);
      const packet =
        direction === "outbound" ? ["--to", endOf(other, 8080)] : ["--in", "--from", other, "--port", "8080"];
      const expected = result.outcome === "captured" ? `redirected ${result.port}` : "passed";
      assert.equal(await verdictOf(agent, ["shop/web", ...packet]), expected, `${direction} IPv${family}`);
    }
    const to = ["--to", `${ipOf(peer, 4)}:8080`];
    assert.equal(await verdictOf(agent, ["shop/web", ...to]), "redirected 15001");
    assert.equal(await verdictOf(agent, ["shop/web", ...to, "--uid", "1337"]), "passed", "the proxy's own");
    assert.equal(await verdictOf(agent, ["shop/web", ...to, "--udp"]), "passed");
    assert.equal(await verdictOf(agent, ["shop/web", "--to", "127.0.0.1:8080"]), "passed");
    assert.equal(await verdictOf(agent, ["shop/peer", ...to]), "passed", "of a pod that nobody captures");
    const document = await traced(agent, ["shop/web", ...to]);
    assert.ok(document.steps.length > 0 && document.steps.every(({ isWanted }) => isWanted));
    assert.partialDeepStrictEqual(document.packet, { source: ipOf(web, 4), interface: "eth0", uid: 0, mark: 0 });
    assert.equal(document.netns.source, "add");
  });
}

test("rules of others: dropped where they drop, unknown where they cannot be read, and named", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent();
  const web = await startPod(mesh, sidecarPod({ ...NEW_POD, name: "web" }));
  const add = async (...rule: string[]) => {
    const done = await web.exec(["iptables-nft", "-w", "-A", "OUTPUT", "-p", "tcp", ...rule]);
    assert.equal(done.status, 0, done.stderr);
  };
  await add("--dport", "15001", "-m", "comment", "--comment", "the proxy is not for everybody", "-j", "DROP");
  await add("-d", "192.0.2.1", "-j", "DROP");
  await add("-d", "192.0.2.2", "-m", "length", "--length", "1:100", "-j", "DROP");
  const trace = (...args: string[]) => askAgent(agent, ["trace", "shop/web", ...args]);

  const dropped = await trace("--to", "10.99.0.1:80");
  assert.equal(dropped.status, 4, dropped.stderr);
  assert.match(dropped.stdout, /^Verdict +dropped$/m);
  assert.match(dropped.stdout, /^ +It is dropped in chain OUTPUT of table filter$/m);
  assert.match(
    dropped.stdout,
    /^ +# Not a rule this pod should have: the packet is dropped\n +ipv4 filter +-A OUTPUT -p tcp -m tcp --dport 15001 -j DROP$/m,
  );
  assert.match(dropped.stdout, /^ +# .+\n +ipv4 nat +-A OUTPUT -j ISTIO_OUTPUT$/m);
  assert.ok(!dropped.stdout.includes("\u001b"), "colours are for terminals");
  assert.equal((await trace("--to", "192.0.2.1:80", "--uid", "1337")).status, 4);
  const unknown = await trace("--to", "192.0.2.2:80", "--uid", "1337");
  assert.equal(unknown.status, 5, unknown.stderr);
  assert.match(
    unknown.stdout,
    /^Verdict +unknown\n +Chain OUTPUT of table filter decides .*: match length revision 0 is not understood$/m,
  );
  assert.equal((await trace("--to", "192.0.2.3:80", "--uid", "1337")).status, 1, "what is not asked is no hindrance");
  const noWay = await trace("--to", "[2001:db8::1]:80");
  assert.equal(noWay.status, 4, noWay.stdout + noWay.stderr);
  assert.match(noWay.stdout, /The kernel knows no way from here to 2001:db8::1/);
});

test("explain looks at the kernel now, whatever was found before", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const early = await startPod(mesh, sidecarPod({ ...NEW_POD, name: "early" }));
  await startPod(mesh, plainPod({ ...NEW_POD, name: "plain" }));
  const agent = await mesh.startAgent({ env: { REPAIR_ENABLED: "false", VERIFY_INTERVAL: "10m" } });
  await eventually(
    async () => (await askAgent(agent, ["explain", "shop/early"])).stdout.includes("uncaptured"),
    () => agent.log.slice(-20).join("\n"),
  );
  const before = await liveOf(agent, "shop/early");
  assert.deepEqual([before.state, before.exit], ["differs", 1]);
  assert.match(before.drift.join("\n"), /^table nat of IPv4 is missing$/m);
  const folder = mkdtempSync(join(tmpdir(), "agent-trace-"));
  writeFileSync(join(folder, "rules"), readGolden("v4"));
  const load = await early.exec(["iptables-nft-restore", join(folder, "rules")]);
  rmSync(folder, { recursive: true });
  assert.equal(load.status, 0, load.stderr);
  assert.partialDeepStrictEqual(await liveOf(agent, "shop/early"), { state: "as-wanted", drift: [] });

  assert.partialDeepStrictEqual(await liveOf(agent, "shop/plain"), {
    state: "nothing-wanted",
    holdsMeshRules: false,
    exit: 0,
  });
  const text = await askAgent(agent, ["explain", "shop/plain"]);
  assert.match(text.stdout, /^What the kernel holds now\n +difference +none: no rule of a mesh is there/m);
});

test("what render prints of a pod is what the agent writes at its ADD, and the program needs no agent for it", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const folder = mkdtempSync(join(tmpdir(), "agent-render-"));
  const object = sidecarPod({ ...NEW_POD, name: "web" });
  writeFileSync(join(folder, "pod.json"), JSON.stringify(object));
  const render = await runCommand([INSTALL_CNI, "render", "-f", join(folder, "pod.json"), "-o", "iptables-save"]);
  rmSync(folder, { recursive: true });
  assert.equal(render.status, 0, render.stderr);
  await mesh.startAgent();
  const web = await startPod(mesh, object);
  const lines = render.stdout.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const printed = lines.map((line) => `${line.replace(/ \[0:0\]$/, "")}\n`).join("");
  assert.equal(printed, (await readRules(web)).v4);
});

test("who cannot be answered is told why, and names that are none never reach the agent", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent();
  await startPod(mesh, sidecarPod({ ...NEW_POD, name: "web" }));
  const to = ["--to", "10.0.0.1:80"];
  const unknown = await askAgent(agent, ["trace", "shop/absent", ...to]);
  assert.equal(unknown.status, 3);
  assert.match(
    unknown.stderr,
    /Cannot trace in pod shop\/absent: the agent of node \S+ knows no such pod; kubectl -n shop get pod absent /,
  );
  const nobody = await askAgent(agent, ["trace", "shop/web", ...to], NOBODY);
  assert.deepEqual([nobody.status, nobody.stdout], [2, ""]);
  assert.match(nobody.stderr, /only root may ask the agent/);
  for (const [args, message] of [
    [["shop/web"], /to where is not told/],
    [["../web", ...to], /it is no pod/],
    [["shop/web", "--to", "10.0.0.1"], /accepted is IP:PORT/],
    [["shop/web", "--to", "$(reboot):80"], /accepted is IP:PORT/],
    [["shop/web", "--in", "--from", "fd00::1", "--port", "80", "--to", "10.0.0.1"], /different address families/],
    [["shop/web", "--in", "--from", "10.0.0.1", "--port", "80", "--to", "10.0.0.2"], /is no address of the pod/],
    [["shop/web", "--in", "--from", "fd00::1", "--port", "80"], /the pod has no IPv6 address/],
  ] as const) {
    const { status, stdout, stderr } = await askAgent(agent, ["trace", ...args]);
    assert.deepEqual([status, stdout], [2, ""], args.join(" "));
    assert.match(stderr, message);
  }
  const raw = await runCommand([
    "curl",
    "-sS",
    "--unix-socket",
    "/run/istio-cni/admin.sock",
    "http://agent/pods/shop/web/trace?to=%0a;:80",
  ]);
  assert.match(raw.stdout, /^\{"error":"Cannot use --to /);
});

test("ambient mode: packets of an enrolled pod go to ztunnel, its own and those of the node's probes do not", async () => {
  await using node = await createAmbientNode("dual");
  await node.startZtunnel();
  const agent = await node.startAgent({ env: { AMBIENT_IPV6: "true" } });
  const web = await node.startPod({ name: "web" });
  await eventually(
    async () => (await askAgent(agent, ["explain", "mesh/web"])).status === 0,
    () => agent.log.slice(-20).join("\n"),
  );
  for (const [packet, expected] of [
    [["--to", "10.99.0.1:80"], "redirected 15001"],
    [["--to", "10.99.0.1:80", "--mark", "0x539"], "passed"],
    [["--to", `${ipOf(web, 4)}:80`], "passed"],
    [["--in", "--from", "10.99.0.1", "--port", "80"], "redirected 15006"],
    [["--in", "--from", "10.99.0.1", "--port", "15008"], "passed"],
    [["--in", "--from", "169.254.7.127", "--port", "80"], "passed"],
    [["--in", "--from", "fd00:99::1", "--port", "80"], "redirected 15006"],
  ] as const) {
    assert.equal(await verdictOf(agent, ["mesh/web", ...packet]), expected, packet.join(" "));
  }
  assert.partialDeepStrictEqual(await liveOf(agent, "mesh/web"), { state: "as-wanted", exit: 0 });
});
