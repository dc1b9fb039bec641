// What the chart's values do, and what it refuses.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ALL_OPTIONS } from "../../src/core/config/options.ts";
import { resolveConfig } from "../../src/core/config/resolve-config.ts";
import { isJsonObject, readPath } from "../../testbed/api-server/kube-object.ts";
import { CHART_CASES, MANIFEST_CASES } from "../../testbed/chart/chart-cases.ts";
import { CHART, parseYaml, pick, render, renderObjects, tryRender } from "../../testbed/chart/render-chart.ts";
import { VALUE_ROWS, type ValueRow } from "./chart-values.ts";

describe("each value of the chart has its effect, bare and below cni", () => {
  for (const row of VALUE_ROWS) {
    const { value, set, also = [] } = row;
    test(`${[`${value}=${set}`, ...also].join(" ")}`, async () => {
      const text = await render({ args: args(row, "") });
      assert.deepEqual(row.see(await parseYaml(text)), row.wanted);
      if (!value.startsWith("global.")) assert.equal(await render({ args: args(row, "cni.") }), text);
    });
  }
});

test("each value of values.yaml has a row, and is in the schema", async () => {
  const [values] = await parseYaml(readFileSync(join(CHART, "values.yaml"), "utf8"));
  const { $defs }: { $defs: { values: unknown } } = JSON.parse(readFileSync(join(CHART, "values.schema.json"), "utf8"));
  const rows = new Set(VALUE_ROWS.map(({ value }) => value));
  const known = leaves(values?.["_internal_defaults_do_not_set"], rows);
  assert.ok(known.length > 60, `only ${known.length} values were found`);
  assert.deepEqual(
    known.filter((value) => !rows.has(value)),
    [],
    "without a row",
  );
  const inSchema = (value: string): boolean => {
    const [first = "", second, third] = value.split(".");
    if (first === "monitoring") return second !== undefined && third !== undefined;
    const path = second === undefined ? [first] : [first, "properties", second];
    return isJsonObject(readPath($defs.values, "properties", ...path));
  };
  assert.deepEqual(
    known.filter((value) => !inSchema(value)),
    [],
    "not in the schema",
  );
});

test("the agent knows every variable the chart gives it, and each has an effect", async () => {
  const effects = new Map(ALL_OPTIONS.map(({ option }) => [option.env, option.inert === undefined]));
  for (const { args } of [...MANIFEST_CASES, ...CHART_CASES.filter(({ name }) => name === "everything")]) {
    const objects = await renderObjects({ args });
    const config = pick(objects, "ConfigMap", "istio-cni-config")["data"];
    const containers = readPath(pick(objects, "DaemonSet"), "spec", "template", "spec", "containers");
    const env: unknown = Array.isArray(containers) ? readPath(containers[0], "env") : [];
    assert.ok(isJsonObject(config) && Array.isArray(env));
    const names = [...Object.keys(config), ...env.map((each) => String(readPath(each, "name")))];
    assert.deepEqual(
      names.filter((name) => effects.get(name) !== true),
      [],
    );
  }
});

test("what a user gives wins over profile and platform, bare and below cni", async () => {
  const chosen = ["--set", "platform=k3s", "--set", "profile=ambient"];
  for (const prefix of ["", "cni."]) {
    const given = ["--set", `${prefix}cniConfDir=/mine`, "--set", `${prefix}ambient.enabled=false`];
    const objects = await renderObjects({ args: [...chosen, ...given] });
    assert.equal(readPath(pick(objects, "ConfigMap"), "data", "AMBIENT_ENABLED"), "false");
    assert.match(JSON.stringify(pick(objects, "DaemonSet")), /"path":"\/mine"/);
  }
});

test("an empty plugin folder is left to the server's version, and is the usual one elsewhere than on GKE", async () => {
  const objects = await renderObjects({ args: ["--set", "cniBinDir="] });
  assert.match(JSON.stringify(pick(objects, "DaemonSet")), /"path":"\/opt\/cni\/bin"/);
});

test("a file copied from the output of helm show values changes nothing", async () => {
  assert.deepEqual(await renderObjects({ args: ["--values", join(CHART, "values.yaml")] }), await renderObjects());
});

test("values of other charts of Istio beside ours are let through", async () => {
  const given = [
    "--set",
    "pilot.cni.enabled=true",
    "--set",
    "meshConfig.accessLogFile=/dev/stdout",
    "--set",
    "cni.enabled=true",
  ];
  assert.deepEqual(await renderObjects({ args: given }), await renderObjects());
});

describe("the agent takes the names of files that the chart takes", () => {
  const all = ["a.conf", "a.conflist", "a.json", ".conf", ".conflist", "a", "a.yaml", "..", "a/b.conf", "é.conf"];
  const some = ["a.conf", "a.conflist", "a.json"];
  for (const [what, value, chosen, names, wanted] of [
    ["to be chained into", "cniConfFileName", [], all, [...some, "é.conf"]],
    ["of our own", "cniConfFileName", ["chained=false"], some, ["a.conf", "a.json"]],
    ["of a copy", "istioOwnedCNIConfigFileName", ["profile=ambient", "istioOwnedCNIConfig=true"], all, ["a.conflist"]],
  ] as const) {
    test(what, async () => {
      const taken: string[] = [];
      for (const name of names) {
        const given = [...chosen, `${value}=${name}`].flatMap((pair) => ["--set", pair]);
        const { status, stdout } = await tryRender({ args: [...given, "--show-only", "templates/configmap.yaml"] });
        if (status !== 0) continue;
        taken.push(name);
        const data = pick(await parseYaml(stdout), "ConfigMap")["data"];
        assert.ok(isJsonObject(data));
        const env = Object.fromEntries(Object.entries(data).map(([key, text]) => [key, String(text)]));
        assert.doesNotThrow(() => resolveConfig({ env, flags: new Map() }), name);
      }
      assert.deepEqual(taken, wanted);
    });
  }
});

test("the notes name values that nothing reads, and none that something does", async () => {
  const notesOf = async (pairs: readonly string[]): Promise<string> => {
    const chart = mkdtempSync(join(tmpdir(), "chart-notes-"));
    try {
      cpSync(CHART, chart, { recursive: true });
      const notes = readFileSync(join(CHART, "templates/NOTES.txt"), "utf8");
      const object = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: notes }\ndata:\n  notes: ";
      const text = `{{ define "notes" }}${notes}{{ end }}\n${object}{{ include "notes" . | quote }}\n`;
      writeFileSync(join(chart, "templates/notes.yaml"), text);
      const args = [...pairs.flatMap((pair) => ["--set", pair]), "--show-only", "templates/notes.yaml"];
      const [config] = await renderObjects({ chart, args });
      return String(readPath(config, "data", "notes"));
    } finally {
      rmSync(chart, { recursive: true });
    }
  };
  const given = ["imgae=a/b:1", "repair.repairPod=true", "cni.cniBinDri=/opt", "cni.repair.repairPods=true"];
  assert.match(await notesOf(given), /^Nothing reads these values .*: imgae, repair\.repairPod, cni\.cniBinDri$/m);
  const read = ["env.ANY=x", "podLabels.a=b", "resources.limits.memory=1Gi", "global.network=x", "profile=ambient"];
  const notes = await notesOf([...read, "updateStrategy.rollingUpdate.maxSurge=1", "affinity.nodeAffinity.a=b"]);
  assert.doesNotMatch(notes, /Nothing reads/);
  assert.match(notes, /^Ambient mode is on\. An agent is ready when the ztunnel of its node is connected\.$/m);
});

describe("the chart refuses", () => {
  const refused: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["a boolean that is none", ["ambient.enabled=yes"], /\/ambient\/enabled/],
    ["a boolean that is none, below cni", ["cni.ambient.enabled=yes"], /\/cni\/ambient\/enabled/],
    ["a folder that is no absolute path", ["cni.cniBinDir=opt"], /\/cni\/cniBinDir/],
    ["an empty image", ["image="], /\/image/],
    ["a file that no runtime loads", ["cniConfFileName=10-calico"], /\/cniConfFileName/],
    ["a file of another folder", ["cniConfFileName=../10-calico.conflist"], /\/cniConfFileName/],
    ["a copy that is no list", ["cni.istioOwnedCNIConfigFileName=02-istio.conf"], /istioOwnedCNIConfigFileName/],
    [
      "a list's name for a single configuration",
      ["platform=openshift", "cniConfFileName=istio-cni.conflist"],
      /Cannot use cniConfFileName: istio-cni\.conflist is the name of a list.*\.conf or \.json/,
    ],
    [
      "a copy that is its own original",
      ["profile=ambient", "istioOwnedCNIConfig=true", "cniConfFileName=02-istio-cni.conflist"],
      /Cannot use istioOwnedCNIConfigFileName: 02-istio-cni\.conflist is cniConfFileName/,
    ],
    ["a misspelt value of ours", ["agent.strict=true"], /\/agent/],
    ["a wrong word", ["agent.conflistFight=win"], /\/agent\/conflistFight/],
    ["a misspelt selector", ["ambient.enablementSelectors[0].podselector.a=b"], /enablementSelectors\/0/],
    ["a section that is none", ["repair=off"], /\/repair/],
    [
      "another chart's defaults, as --reuse-values brings them",
      ["_internal_defaults_do_not_set=null"],
      /Cannot take the defaults of another chart.*--reset-then-reuse-values/,
    ],
    ["an unknown profile", ["profile=huge"], /Cannot use profile: there is no huge; there are ambient, /],
    [
      "an unknown platform",
      ["global.platform=moon"],
      /Cannot use platform: there is no moon; there are gke, [a-z0-9, ]+$/m,
    ],
    [
      "an unknown version",
      ["compatibilityVersion=1.2"],
      /Cannot use compatibilityVersion: there is no 1\.2; there are 1\.25, /,
    ],
    [
      "an image with a tag and no registry",
      ["image=a:1"],
      /Cannot use image: a:1 has a tag .*; accepted: REGISTRY\/a:1,/,
    ],
  ];
  for (const [what, pairs, message] of refused) {
    test(what, async () => {
      const { status, stderr } = await tryRender({ args: pairs.flatMap((pair) => ["--set", pair]) });
      assert.notEqual(status, 0);
      assert.match(stderr, message);
    });
  }
});

function args({ value, set, also = [], how = "--set" }: ValueRow, prefix: string): readonly string[] {
  return [how, `${prefix}${value}=${set}`, ...also.flatMap((pair) => ["--set", `${prefix}${pair}`])];
}

/** Paths of values: what is no map, or an empty one, or has a row as a whole. */
function leaves(value: unknown, whole: ReadonlySet<string>, path = ""): readonly string[] {
  if (!isJsonObject(value) || Object.keys(value).length === 0 || whole.has(path)) return [path];
  return Object.entries(value).flatMap(([key, below]) => leaves(below, whole, path === "" ? key : `${path}.${key}`));
}
