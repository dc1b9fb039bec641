import assert from "node:assert/strict";
import { test } from "node:test";
import { ENDS_AGENT, FAULTS, planFault, planPod } from "./plan.ts";

const pods = Array.from({ length: 2000 }, (_, index) => planPod(42, index));

test("planPod() plans the same pod for the same seed and index, whatever was planned before", () => {
  assert.deepEqual(planPod(42, 1999), pods[1999]);
  assert.notDeepEqual(planPod(43, 1999), pods[1999]);
});

test("planPod() has pods of every kind, mode, namespace and expectation, each with a name of its own", () => {
  const kinds = new Set(
    pods.map(({ kind, namespace, expectation, interceptionMode, isNative }) =>
      kind === "sidecar"
        ? [kind, namespace, expectation, interceptionMode, isNative].join()
        : [kind, namespace, expectation].join(),
    ),
  );
  const captured = ["mesh", "shop"].flatMap((namespace) =>
    ["REDIRECT", "TPROXY"].flatMap((mode) =>
      [true, false].map((native) => `sidecar,${namespace},captured,${mode},${native}`),
    ),
  );
  assert.deepEqual(
    kinds,
    new Set([
      ...captured,
      ...["sidecar,shop,free,NONE,true", "sidecar,shop,free,NONE,false"],
      ...["ambient,mesh,captured", "ambient,labelled,captured", "plain,shop,free", "host-network,shop,none"],
    ]),
  );
  assert.equal(new Set(pods.map(({ name }) => name)).size, pods.length);
  assert.ok(pods.some(({ givenUpAfterMs }) => givenUpAfterMs !== undefined));
  assert.ok(pods.some(({ terminatesForMs }) => terminatesForMs > 0));
});

test("planPod() labels exactly the ambient pods of the namespace that does not enrol by itself", () => {
  for (const { kind, namespace, labels } of pods)
    assert.equal(Object.hasOwn(labels, "istio.io/dataplane-mode"), kind === "ambient" && namespace === "labelled");
});

test("planFault() has every fault of its lane, some longer than the plugin waits, and leaves out what it is told to", () => {
  for (const lane of ["around", "ours"] as const) {
    const all = Array.from({ length: 500 }, (_, index) => planFault(42, lane, index));
    assert.deepEqual(new Set(all.map(({ kind }) => kind)), new Set(FAULTS[lane]));
    assert.ok(all.some(({ lastsMs }) => lastsMs > 15_000));
    assert.ok(all.every(({ lastsMs }) => lastsMs <= 20_000));
  }
  const kept = Array.from({ length: 500 }, (_, index) => planFault(42, "ours", index, ENDS_AGENT));
  assert.ok(kept.every(({ kind }) => !ENDS_AGENT.includes(kind)));
});
