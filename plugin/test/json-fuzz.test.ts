// The JSON scanner against JSON.parse, and against itself under sanitizers: what one accepts the other accepts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson } from "../../src/core/json-value.ts";
import { createRandom, type Random } from "./random.ts";
import { ADD_ENVIRONMENT, pluginPath, runPlugin } from "./run-plugin.ts";

pluginPath("asan");

const ATOMS: readonly [string, ...string[]] = [
  "null",
  "true",
  "false",
  "0",
  "-0",
  "-1.5e+10",
  "1E3",
  "123456789012345678901234567890",
  "01",
  "1.",
  ".5",
  "+1",
  "-",
  "1e",
  '""',
  '"a"',
  '"\\n\\"\\\\"',
  '"\\u00e9\\ud83d\\ude00"',
  '"\\ud800"',
  '"\\x"',
  '"\\u12g4"',
  '"é"',
  '"\u007f"',
  '"\t"',
  '"',
  "nul",
  "truee",
  "NaN",
];
const SPACES: readonly [string, ...string[]] = ["", "", "", " ", "\n", "\t\r ", "\u00a0", "/**/"];
const KEYS: readonly [string, ...string[]] = ['"a"', '"name"', '""', '"\\u0061"', "a", '"runtimeConfig"'];

function randomJson(random: Random, depth: number): string {
  const space = (): string => (random.below(12) === 0 ? random.pick(SPACES) : "");
  const comma = (): string => (random.below(30) === 0 ? random.pick([",,", "", ";"]) : ",");
  const kind = depth === 0 ? 0 : random.below(3);
  // Mostly valid atoms, so that whole documents are accepted often enough to mean something.
  const atom = (): string =>
    random.below(10) === 0 ? random.pick(ATOMS) : random.pick(["1", '"x"', "null", "-2.5e3", "true"]);
  if (kind === 0) return space() + atom() + space();
  const items = Array.from({ length: random.below(4) }, () => {
    const value = randomJson(random, depth - 1);
    if (kind === 1) return value;
    return `${space()}${random.below(15) === 0 ? random.pick(KEYS) : '"k"'}${space()}:${value}`;
  });
  const body = items.reduce((all, item) => (all === "" ? item : all + comma() + item), "");
  return kind === 1 ? `[${body}${space()}]` : `{${body}${space()}}`;
}

const isJson = (text: string): boolean => parseJson(text) !== undefined;

test("the scanner accepts exactly the documents that JSON.parse accepts, in 400 random ones", async () => {
  const random = createRandom(7);
  let accepted = 0;
  for (let i = 0; i < 400; i++) {
    const value = randomJson(random, 5);
    const result = `{"value":${value}}`;
    const stdin = `{"name":"n","exclude_namespaces":["shop"],"prevResult":${result}}`;
    const run = await runPlugin("asan", ADD_ENVIRONMENT, stdin);
    const valid = isJson(stdin);
    // A value that closes and opens brackets itself can make another document; the plugin must still agree on it.
    assert.equal(run.exitCode, valid ? 0 : 1, stdin);
    if (valid) assert.equal(run.stdout.toString(), result);
    accepted += valid ? 1 : 0;
  }
  assert.ok(accepted > 100 && accepted < 390, `${accepted} were accepted`);
});

test("the scanner survives 400 random damages to a configuration", async () => {
  const random = createRandom(8);
  const valid = Buffer.from(
    JSON.stringify({
      cniVersion: "1.0.0",
      name: "k8s-pod-network",
      prevResult: { ips: [{ address: "10.0.0.1/24" }], dns: {} },
      runtimeConfig: { "io.kubernetes.cri.pod-annotations": { "é😀": '\\"\u2028', "a.b/c": "{}" } },
      exclude_namespaces: ["kube-system", "a"],
      agent_wait_ms: 0,
      pod_namespace: "istio-system",
      cni_agent_run_dir: "/nonexistent",
    }),
  );
  for (let i = 0; i < 400; i++) {
    const stdin = Buffer.from(valid);
    for (let change = 1 + random.below(3); change > 0; change--) {
      stdin[random.below(stdin.length)] =
        random.below(3) === 0 ? random.below(256) : (Buffer.from('{}[]",:\\u0nt ')[random.below(13)] ?? 0);
    }
    const run = await runPlugin("asan", ADD_ENVIRONMENT, stdin.subarray(0, stdin.length - random.below(3)));
    assert.ok(run.exitCode === 0 || run.exitCode === 1, stdin.toString("hex"));
    assert.doesNotThrow(() => JSON.parse(run.stdout.toString()), stdin.toString("hex"));
  }
});
