// `install-cni render` as a command: manifests in files, options by flags and variables, all forms of output.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { plainPod, sidecarPod } from "../../../testbed/api-server/pod-fixtures.ts";
import { ConfigError } from "../../core/config/config-error.ts";
import { PREVIEW_DOCUMENT } from "../../core/preview/preview-document.ts";
import { parseInvocation } from "../flags.ts";
import { renderManifest } from "./render.ts";

const folder = mkdtempSync(join(tmpdir(), "render-command-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** With the command line as a person writes it. */
function render(manifest: unknown, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
  const path = join(folder, "manifest");
  writeFileSync(path, typeof manifest === "string" ? manifest : JSON.stringify(manifest));
  const invocation = parseInvocation(["render", "-f", path, ...args]);
  assert.ok(invocation.command === "render");
  return renderManifest({ ...invocation, env, hasColours: false });
}

const SIDECAR = sidecarPod({ namespace: "shop", name: "web", podIps: [] });
const PLAIN = plainPod({ namespace: "shop", name: "plain", podIps: [] });

describe("renderManifest()", () => {
  it("tells people of every pod, with rules and why they are there", async () => {
    const { stdout, stderr, exitCode } = await render({
      kind: "List",
      items: [SIDECAR, PLAIN, { kind: "Service", metadata: { name: "s" } }],
    });
    assert.deepEqual([stderr, exitCode], ["", 0]);
    assert.match(stdout, /^On a node in sidecar mode; pods whose status has no address are taken to have ipv4$/m);
    assert.match(stdout, /^Pod shop\/web would be in the mesh: it was injected with a sidecar/m);
    assert.match(stdout, /^ +# .+\n +ipv4 nat +-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006$/m);
    assert.match(
      stdout,
      /^Pod shop\/plain would be outside the mesh: it has no container istio-proxy\n +reason +no-proxy-container\n +hint +A manifest has no sidecar before its injection/m,
    );
    assert.match(stdout, /^Without pods: Service s$/m);
  });

  it("tells programs the same, in the shape that is documented", async () => {
    const { stdout } = await render(
      [SIDECAR].map((pod) => JSON.stringify(pod)).join("\n---\n"),
      ["-o", "json", "--family", "dual"],
      {
        STRICT_FAMILIES: "true",
      },
    );
    const document = JSON.parse(stdout) as unknown;
    assert.deepEqual(PREVIEW_DOCUMENT.read(document, ""), document);
    assert.partialDeepStrictEqual(document, {
      families: ["ipv4", "ipv6"],
      pods: [{ decision: "in", capture: { families: ["ipv4", "ipv6"] } }],
    });
    assert.match(stdout, /"command": "ip -6 address add ::6\/128 dev lo"/);
  });

  it("honours the agent's options, by variable and by flag, and what the command line assumes instead", async () => {
    const dialectOf = async (...call: [readonly string[], Record<string, string>?]) => {
      const { stdout } = await render(SIDECAR, ["-o", "json", ...call[0]], call[1]);
      return /"dialect": "([^"]+)"/.exec(stdout)?.[1];
    };
    assert.equal(await dialectOf([]), "iptables-nft");
    assert.equal(await dialectOf([], { NATIVE_NFTABLES: "true" }), "nftables");
    assert.equal(await dialectOf(["--backend", "legacy"], { NATIVE_NFTABLES: "true" }), "iptables-legacy");
    const excluded = await render(SIDECAR, [], { EXCLUDE_NAMESPACES: "shop" });
    assert.match(excluded.stdout, /its namespace is among EXCLUDE_NAMESPACES/);
    const labels = ["--namespace-label", "istio.io/dataplane-mode=ambient"];
    assert.match(
      (await render(PLAIN, ["--ambient-enabled", ...labels])).stdout,
      /would be in the mesh: the labels of its namespace/,
    );
    assert.match((await render(PLAIN, ["--mode", "ambient", ...labels])).stdout, /^On a node in ambient mode/);
    const unknown = await render(PLAIN, ["--mode", "ambient"]);
    assert.equal(unknown.exitCode, 1);
    assert.match(unknown.stdout, /cannot be decided on: it depends on the labels of its namespace, which are not told/);
    const document = `${JSON.stringify(PLAIN)}\n---\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n`;
    assert.match((await render(document, ["--mode", "ambient"])).stdout, /would be in the mesh/);
    await assert.rejects(render(PLAIN, [], { MONITORING_PORT: "x" }), ConfigError);
  });

  it("prints rules alone for one captured pod in a form that fits, and says otherwise why not", async () => {
    const save = await render(SIDECAR, ["-o", "iptables-save"]);
    assert.match(save.stdout, /^\*nat\n:PREROUTING ACCEPT \[0:0\]\n/);
    assert.match((await render(SIDECAR, ["-o", "nft"])).stdout, /^table inet istio-proxy-nat \{\n/);
    for (const [manifest, args, exitCode, message] of [
      [SIDECAR, ["-o", "ip6tables-save"], 1, /IPv6 of Pod shop\/web would not be captured/],
      [
        SIDECAR,
        ["-o", "nft", "--backend", "iptables"],
        1,
        /would be written as iptables-nft; accepted: --output iptables-save/,
      ],
      [
        SIDECAR,
        ["-o", "iptables-save", "--backend", "nftables"],
        1,
        /would be written as nftables; accepted: --output nft/,
      ],
      [PLAIN, ["-o", "nft"], 1, /Pod shop\/plain is not captured \(no-proxy-container\)/],
      [{ kind: "List", items: [SIDECAR, SIDECAR] }, ["-o", "nft"], 2, /has 2 pods, and this form holds those of one/],
    ] as const) {
      const { stdout, stderr, exitCode: ended } = await render(manifest, args);
      assert.deepEqual([stdout, ended], ["", exitCode], args.join(" "));
      assert.match(stderr, message);
    }
  });

  it("refuses what is no manifest, names no pod, or cannot be read", async () => {
    for (const [manifest, message] of [
      ["", /there is no pod in the manifest, it is empty; accepted: Pod, Deployment/],
      ["kind: Service\nmetadata: {name: s}\n", /it has Service s; accepted:/],
      ["a: &x 1\n", /line 1 has a value that begins with &; accepted: JSON, or YAML without anchors/],
      ["kind: Pod\nmetadata: {name: a}\nspec: {hostNetwork: 1}\n", /spec\.hostNetwork must be a boolean/],
      ["x".repeat(9 * 1024 * 1024), /larger than 8388608 bytes/],
    ] as const) {
      const { stdout, stderr, exitCode } = await render(manifest);
      assert.deepEqual([stdout, exitCode], ["", 2], manifest.slice(0, 40));
      assert.match(stderr, message);
    }
    const invocation = parseInvocation(["render", "--filename=/nowhere/to/be/found"]);
    assert.ok(invocation.command === "render");
    const absent = await renderManifest({ ...invocation, env: {}, hasColours: false });
    assert.deepEqual([absent.exitCode, absent.stdout], [2, ""]);
    assert.match(absent.stderr, /\/nowhere\/to\/be\/found/);
  });

  it("has flags that are checked before anything is read", () => {
    for (const args of [
      ["--family", "ipv5"],
      ["--backend", "ebpf"],
      ["--mode", "both"],
      ["-o", "yaml"],
      ["-n", "Shop"],
      ["--namespace-label", "a"],
      ["--namespace-label", "a=b=c"],
      ["--namespace-label", "=b"],
      ["surplus"],
    ]) {
      assert.throws(() => parseInvocation(["render", ...args]), ConfigError, args.join(" "));
    }
  });
});
