import assert from "node:assert/strict";
import { test } from "node:test";
import { ALL_OPTIONS } from "../../src/core/config/options.ts";
import { isJsonObject, readPath, readText } from "../api-server/kube-object.ts";
import { listChartPodCases, readChartObjects, renderChartPod, whatAgentMeets } from "./chart-pods.ts";

const CASES = listChartPodCases();
const PODS = CASES.flatMap(({ name, versions }) =>
  [...versions].map(([version, pod]) => ({ what: `${name} of ${version}`, pod })),
);

function containerOf(template: unknown): unknown {
  const containers = readPath(template, "spec", "containers");
  assert.ok(Array.isArray(containers) && containers.length === 1);
  return containers[0];
}

const items = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

test("listChartPodCases() has names of its own, and values that some version lacks only where upstream says so", () => {
  const names = CASES.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  const partial = CASES.filter(({ versions }) => versions.size < 4).map(
    ({ name, versions }) => `${name}: ${[...versions.keys()].join(" ")}`,
  );
  assert.deepEqual(partial, ["ambient-compatibility-1.28: 1.29 1.30 1.31", "apparmor-field: 1.30 1.31"]);
});

test("each case differs from the defaults as its values say: two with the same pod are told so by their name", () => {
  const byPod = Map.groupBy(CASES, ({ versions }) => JSON.stringify([...versions.values()].map(whatAgentMeets).at(-1)));
  const twins = [...byPod.values()].filter((same) => same.length > 1).map((same) => same.map(({ name }) => name));
  // What these values change is the image, or an object that is not the agent's.
  assert.deepEqual(twins, [
    ["defaults", "quota"],
    ["ambient", "profile-ambient"],
  ]);
});

test("readChartObjects() reads back what renderChartPod() wrote", () => {
  for (const { what, pod } of PODS)
    assert.deepEqual(whatAgentMeets(readChartObjects(renderChartPod(pod))), whatAgentMeets(pod), what);
});

test("every mount has its volume, and nothing of a patch is left in any case", () => {
  for (const { what, pod } of PODS) {
    assert.doesNotMatch(JSON.stringify(pod), /\$patch/, what);
    const volumes = new Set(items(readPath(pod.template, "spec", "volumes")).map((volume) => readText(volume, "name")));
    const mounts = items(readPath(containerOf(pod.template), "volumeMounts")).map((mount) => readText(mount, "name"));
    assert.deepEqual(
      mounts.filter((name) => !volumes.has(name)),
      [],
      what,
    );
  }
});

test("our agent knows every variable that upstream's chart sets", () => {
  const known = new Set(ALL_OPTIONS.map(({ option }) => option.env));
  for (const { what, pod } of PODS) {
    const names = items(readPath(containerOf(pod.template), "env"))
      .filter(isJsonObject)
      .map((each) => each["name"]);
    const unknown = [...Object.keys(pod.config), ...names].filter((name) => !known.has(String(name)));
    assert.deepEqual(unknown, [], what);
  }
});
