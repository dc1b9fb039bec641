// Taking over from upstream's agent, and handing back to it, in place: with files as it leaves them and as it would treat
// ours, by what is known of it (contract 3.3, 3.5, 3.7; cni/pkg/install/cniconfig.go@1.30.3).

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConfFile } from "./choose-conflist.ts";
import { isConfFileName } from "./conflist.ts";
import { type DesiredInstall, decideInstall } from "./decide-install.ts";
import { decideRemoval } from "./decide-removal.ts";
import { BACKUP_SUFFIX, type HostView, type InstallStep } from "./host-view.ts";
import { createPluginEntry } from "./plugin-entry.ts";
import { SAMPLE_ENTRY_OPTIONS } from "./testing.ts";

type Json = { [key: string]: unknown };
type Conf = Json & { plugins: Json[] };
type Files = Map<string, string>;

const OWNED = "02-istio-cni.conflist";
const PRIMARY = '{"cniVersion":"0.3.1","name":"k8s","plugins":[{"mtu":1450,"type":"calico"},{"type":"portmap"}]}';
const ENTRY = createPluginEntry({ ...SAMPLE_ENTRY_OPTIONS, ambientEnabled: true, agentWaitMs: 15_000 });

/** Upstream's object: the keys of contract 3.3. */
const UPSTREAMS: Json = Object.fromEntries(
  Object.entries(ENTRY).filter(([key]) => key !== "agent_wait_ms" && key !== "capabilities"),
);

/** As Go's encoder writes it: keys in order, two blanks, a line break at the end. */
function encode(value: unknown): string {
  const sorted = (part: unknown): unknown =>
    Array.isArray(part)
      ? part.map(sorted)
      : typeof part === "object" && part !== null
        ? Object.fromEntries(
            Object.entries(part)
              .toSorted()
              .map(([key, inner]) => [key, sorted(inner)]),
          )
        : part;
  return `${JSON.stringify(sorted(value), null, 2)}\n`;
}

function upstreamChains(text: string): string {
  const conf: Conf = JSON.parse(text);
  const index = conf.plugins.findIndex(({ type }) => type === "istio-cni");
  return encode({ ...conf, plugins: [...conf.plugins.filter((_, at) => at !== index), UPSTREAMS] });
}

function upstreamLeaves(text: string): string {
  const conf: Conf = JSON.parse(text);
  const index = conf.plugins.findIndex(({ type }) => type === "istio-cni");
  return encode({ ...conf, plugins: conf.plugins.filter((_, at) => at !== index) });
}

function viewOf(files: Files): HostView {
  const bytesOf = (text: string) => new TextEncoder().encode(text);
  const confs = [...files].filter(([name]) => isConfFileName(name));
  const backups = [...files].filter(([name]) => name.endsWith(BACKUP_SUFFIX));
  return {
    pluginUnavailable: undefined,
    netDir: {
      path: "/net.d",
      files: confs.map(([name, text]): ConfFile => ({ name, content: { bytes: bytesOf(text) }, unchangedMs: 10_000 })),
      backups: new Map(backups.map(([name, text]) => [name, bytesOf(text)])),
    },
    binDirs: [{ path: "/bin", plugin: "current" }],
  };
}

function carryOut(files: Files, steps: readonly InstallStep[]): Files {
  for (const step of steps) {
    if (step.kind === "write-conf") files.set(step.name, new TextDecoder().decode(step.bytes));
    if (step.kind === "remove-conf") files.delete(step.name);
  }
  return files;
}

function weInstall(files: Files, mode: DesiredInstall["mode"]): Files {
  const desired: DesiredInstall = { entry: ENTRY, mode, confName: undefined, ownedName: OWNED, settleMs: 0 };
  for (let passes = 0; passes < 5; passes++) {
    const { steps } = decideInstall(viewOf(files), desired);
    if (steps.length === 0) return files;
    carryOut(files, steps);
  }
  throw new Error("still changing after 5 passes");
}

function types(text: string | undefined): unknown[] {
  const conf: Conf = JSON.parse(text ?? "{}");
  return conf.plugins.map(({ type }) => type);
}

describe("taking over from upstream's agent in place", () => {
  it("replaces its object in the chain by ours, and leaves every other byte", () => {
    const chained = upstreamChains(PRIMARY);
    const files = weInstall(new Map([["10-calico.conflist", chained]]), "chained");
    const text = files.get("10-calico.conflist") ?? "";
    assert.deepEqual(types(text), ["calico", "portmap", "istio-cni"]);
    assert.match(text, /"agent_wait_ms": 15000/);
    const before = chained.slice(0, chained.indexOf('"ambient_enabled"'));
    assert.ok(text.startsWith(before.slice(0, before.lastIndexOf("{"))));
    assert.equal(files.size, 1);
  });

  it("takes over the list it made of a single configuration; that the node had a .conf is known to nobody any more", () => {
    const single = { name: "k8s", type: "flannel" };
    const made = encode({ cniVersion: "0.3.1", name: "k8s-pod-network", plugins: [single, UPSTREAMS] });
    const files = weInstall(new Map([["10-flannel.conflist", made]]), "chained");
    assert.deepEqual(types(files.get("10-flannel.conflist")), ["flannel", "istio-cni"]);
    carryOut(files, decideRemoval(viewOf(files), { ownedName: OWNED }));
    assert.deepEqual([...files.keys()], ["10-flannel.conflist"]);
    assert.deepEqual(types(files.get("10-flannel.conflist")), ["flannel"]);
  });

  for (const [what, primary] of [
    ["with a clean primary file", PRIMARY],
    ["with its object still in the primary file, which it does not clean", upstreamChains(PRIMARY)],
  ] as const) {
    for (const mode of ["owned", "chained"] as const) {
      it(`takes over its own file ${what}, for the ${mode} mode`, () => {
        const files: Files = new Map([
          [OWNED, upstreamChains(PRIMARY)],
          ["10-calico.conflist", primary],
        ]);
        weInstall(files, mode);
        const withUs = mode === "owned" ? OWNED : "10-calico.conflist";
        assert.deepEqual(types(files.get(withUs)), ["calico", "portmap", "istio-cni"]);
        assert.match(files.get(withUs) ?? "", /agent_wait_ms/);
        if (mode === "owned") assert.deepEqual(types(files.get("10-calico.conflist")), ["calico", "portmap"]);
        else assert.equal(files.has(OWNED), false);
      });
    }
  }

  it("takes over its file for Multus", () => {
    const standalone = encode({ ...UPSTREAMS, cniVersion: "0.3.1" });
    const files = weInstall(new Map([["YYY-istio-cni.conf", standalone]]), "standalone");
    assert.deepEqual([...files.keys()], ["YYY-istio-cni.conf"]);
    const conf: Json = JSON.parse(files.get("YYY-istio-cni.conf") ?? "");
    assert.deepEqual([conf["type"], conf["cniVersion"], conf["agent_wait_ms"]], ["istio-cni", "0.3.1", 15_000]);
  });
});

describe("handing back to upstream's agent in place", () => {
  it("leaves a chain that upstream makes its own, from which it takes itself out, and which we can take over again", () => {
    const files = weInstall(new Map([["10-calico.conflist", PRIMARY]]), "chained");
    const handedBack = upstreamChains(files.get("10-calico.conflist") ?? "");
    assert.equal(handedBack, upstreamChains(PRIMARY));
    assert.deepEqual(JSON.parse(upstreamLeaves(handedBack)), JSON.parse(PRIMARY));
    files.set("10-calico.conflist", handedBack);
    weInstall(files, "chained");
    assert.deepEqual(types(files.get("10-calico.conflist")), ["calico", "portmap", "istio-cni"]);
  });

  it("leaves a converted list that upstream uses as it is; the way back to the .conf stays for an uninstall of ours", () => {
    const single = '{"cniVersion":"0.3.1","name":"k8s","type":"flannel"}';
    const files = weInstall(new Map([["10-flannel.conf", single]]), "chained");
    assert.deepEqual([...files.keys()].filter(isConfFileName), ["10-flannel.conflist"]);
    const handedBack = upstreamChains(files.get("10-flannel.conflist") ?? "");
    assert.deepEqual(types(handedBack), ["flannel", "istio-cni"]);
  });

  it("leaves an own file that upstream, in the same mode, writes anew from the primary one", () => {
    const files = weInstall(new Map([["10-calico.conflist", PRIMARY]]), "owned");
    assert.equal(files.get("10-calico.conflist"), PRIMARY);
    assert.deepEqual(types(upstreamChains(files.get(OWNED) ?? "")), ["calico", "portmap", "istio-cni"]);
  });
});
