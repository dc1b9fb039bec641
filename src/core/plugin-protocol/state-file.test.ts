import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_STATE_BYTES, type PluginState, parsePluginState, renderPluginState } from "./state-file.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (state: PluginState): string => new TextDecoder().decode(renderPluginState(state));
const STATE: PluginState = {
  mode: "ambient",
  whenAway: "enroll-later",
  excludedNamespaces: ["kube-system", "istio-system", "kube-system"],
  enrollment: { byNamespace: ["shop"], byPod: [] },
};
const FILE =
  '{"version":1,"mode":"ambient","when_away":"enroll-later","excluded_namespaces":["istio-system","kube-system"],' +
  '"enrolling_namespaces":["shop"],"pod_enrolling_namespaces":[]}\n';

test("renderPluginState() writes one line of JSON, sorted, so that equal facts are equal bytes", () => {
  assert.equal(text(STATE), FILE);
  assert.equal(text({ ...STATE, excludedNamespaces: ["istio-system", "kube-system"] }), FILE);
});

test("renderPluginState() leaves out what is not known, and names that no namespace has", () => {
  assert.equal(
    text({
      mode: "sidecar",
      whenAway: "strict",
      excludedNamespaces: ["A", "", "a_b", "-a", "a".repeat(64)],
      enrollment: undefined,
    }),
    '{"version":1,"mode":"sidecar","when_away":"strict","excluded_namespaces":[]}\n',
  );
});

test("parsePluginState() reads back what renderPluginState() wrote", () => {
  const name = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?$/);
  const names = fc.uniqueArray(name).map((list) => list.toSorted());
  const plain = { noNullPrototype: true };
  const state: fc.Arbitrary<PluginState> = fc.record(
    {
      mode: fc.constantFrom("sidecar" as const, "ambient" as const),
      whenAway: fc.constantFrom("enroll-later" as const, "strict" as const),
      excludedNamespaces: names,
      enrollment: fc.option(fc.record({ byNamespace: names, byPod: names }, plain), { nil: undefined }),
    },
    plain,
  );
  fc.assert(fc.property(state, (one) => assert.deepEqual(parsePluginState(renderPluginState(one)), one)));
});

test("renderPluginState() never makes a file the plugin would not read: first the enrolment goes, then excluded names", () => {
  const many = Array.from({ length: 20_000 }, (_, index) => `${"n".repeat(57)}${String(index).padStart(6, "0")}`);
  const enrolled = renderPluginState({ ...STATE, enrollment: { byNamespace: many, byPod: [] } });
  assert.deepEqual(parsePluginState(enrolled)?.enrollment, undefined);
  assert.deepEqual(parsePluginState(enrolled)?.excludedNamespaces, ["istio-system", "kube-system"]);
  const excluded = renderPluginState({ ...STATE, excludedNamespaces: many });
  assert.ok(excluded.length <= MAX_STATE_BYTES && excluded.length > MAX_STATE_BYTES / 2);
  assert.equal(parsePluginState(excluded)?.enrollment, undefined);
});

test("parsePluginState() takes unknown keys, and a file without enrolment as one that does not know it", () => {
  const extended = FILE.replace("{", '{"later":{"a":[1]},');
  assert.deepEqual(parsePluginState(bytes(extended)), {
    ...STATE,
    excludedNamespaces: ["istio-system", "kube-system"],
  });
  const half = FILE.replace(',"pod_enrolling_namespaces":[]', "");
  assert.equal(parsePluginState(bytes(half))?.enrollment, undefined);
});

for (const [name, damaged] of [
  ["empty", ""],
  ["cut", FILE.slice(0, -20)],
  ["zeroed", "\0".repeat(200)],
  ["of another version", FILE.replace("1", "2")],
  ["of no version", FILE.replace('"version":1,', "")],
  ["with a version that is text", FILE.replace("1", '"1"')],
  ["of another mode", FILE.replace('"ambient"', '"both"')],
  ["without word on absence", FILE.replace('"when_away":"enroll-later",', "")],
  ["without excluded namespaces", FILE.replace("excluded_", "excluded")],
  ["with a list that is none", FILE.replace("[]", "null")],
  ["with a name that is none", FILE.replace('"shop"', "7")],
  ["an array", `[${FILE}]`],
  ["huge", FILE + " ".repeat(MAX_STATE_BYTES)],
] as const) {
  test(`parsePluginState() takes a file that is ${name} for absent`, () => {
    assert.equal(parsePluginState(bytes(damaged)), undefined);
  });
}
