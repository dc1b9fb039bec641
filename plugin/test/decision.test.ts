// What the plugin decides by itself, and what it prints for a pod it passes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ADD_ENVIRONMENT, BUILDS, cniErrorOf, netconf, runPlugin } from "./run-plugin.ts";

const ANNOTATIONS = "io.kubernetes.cri.pod-annotations";
const args = (namespace: string, name: string): string =>
  `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}`;
const annotated = (annotations: unknown): Record<string, unknown> => ({
  runtimeConfig: { [ANNOTATIONS]: annotations },
});

interface Case {
  readonly name: string;
  readonly args?: string;
  readonly netconf?: Record<string, unknown>;
  readonly stdin?: string;
  readonly asks: boolean;
}

const cases: readonly Case[] = [
  { name: "no CNI_ARGS", args: "", asks: false },
  { name: "no pod name", args: "K8S_POD_NAMESPACE=shop", asks: false },
  { name: "no namespace", args: "K8S_POD_NAME=cart", asks: false },
  {
    name: "unknown arguments with IgnoreUnknown=TRUE",
    args: "IgnoreUnknown=TRUE;A=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart",
    asks: true,
  },
  { name: "no UID", args: args("shop", "cart"), asks: true },
  {
    name: "the agent's own pod",
    args: args("istio-system", "istio-cni-node-x7k2"),
    netconf: { pod_namespace: "istio-system" },
    asks: false,
  },
  {
    name: "the agent's own pod in ambient mode",
    args: args("istio-system", "istio-cni-node-x7k2"),
    netconf: { pod_namespace: "istio-system", ambient_enabled: true },
    asks: false,
  },
  {
    name: "a pod of the agent's name elsewhere",
    args: args("shop", "istio-cni-node-x7k2"),
    netconf: { pod_namespace: "istio-system" },
    asks: true,
  },
  {
    name: "another pod of the agent's namespace",
    args: args("istio-system", "istio-cni-nod"),
    netconf: { pod_namespace: "istio-system" },
    asks: true,
  },
  {
    name: "a pod of the agent's name when no namespace is configured",
    args: args("istio-system", "istio-cni-node-x"),
    asks: true,
  },
  { name: "an excluded namespace", netconf: { exclude_namespaces: ["kube-system", "shop"] }, asks: false },
  {
    name: "an excluded namespace written with escapes",
    stdin: netconf().replace("{", '{"exclude_namespaces":["\\u0073h\\u006fp"],'),
    asks: false,
  },
  {
    name: "a namespace that an excluded one begins with",
    netconf: { exclude_namespaces: ["shop-2", "sho", "SHOP", ""] },
    asks: true,
  },
  { name: "no excluded namespace (null)", netconf: { exclude_namespaces: null }, asks: true },
  { name: "annotations without the sidecar's", netconf: annotated({ a: "b" }), asks: false },
  { name: "no annotation at all", netconf: annotated({}), asks: false },
  { name: "the sidecar's annotation", netconf: annotated({ a: "b", "sidecar.istio.io/status": "{}" }), asks: true },
  {
    name: "the sidecar's annotation written with escapes",
    stdin: netconf().replace("{", `{"runtimeConfig":{"${ANNOTATIONS}":{"sidecar.istio.io\\/stat\\u0075s":""}},`),
    asks: true,
  },
  {
    name: "annotations without the sidecar's in ambient mode",
    netconf: { ...annotated({}), ambient_enabled: true },
    asks: true,
  },
  { name: "annotations that are null, as containerd writes none", netconf: annotated(null), asks: false },
  { name: "annotations of another kind", netconf: annotated([]), asks: true },
  { name: "a runtimeConfig that is null", netconf: { runtimeConfig: null }, asks: true },
  { name: "a runtimeConfig with other things", netconf: { runtimeConfig: { portMappings: [] } }, asks: true },
  { name: "no runtimeConfig", asks: true },
  {
    name: "two runtimeConfigs, the last one without the annotation",
    stdin: `{"runtimeConfig":{"${ANNOTATIONS}":{"sidecar.istio.io/status":""}},"runtimeConfig":{"${ANNOTATIONS}":{}},${netconf().slice(1)}`,
    asks: false,
  },
  {
    name: "two runtimeConfigs, the last one with the annotation",
    stdin: `{"runtimeConfig":{"${ANNOTATIONS}":{}},"runtimeConfig":{"${ANNOTATIONS}":{"sidecar.istio.io/status":""}},${netconf().slice(1)}`,
    asks: true,
  },
  {
    name: "the sidecar's annotation only inside a value",
    netconf: { ...annotated({ x: '"sidecar.istio.io/status":"' }) },
    asks: false,
  },
  {
    name: "unknown keys everywhere",
    netconf: { x: { "sidecar.istio.io/status": [1, { y: null }] }, ...annotated({ "sidecar.istio.io/statuses": "" }) },
    asks: false,
  },
];

for (const build of BUILDS) {
  test(`the ${build} plugin passes what is provably outside, and asks about the rest`, async (context) => {
    for (const one of cases) {
      await context.test(`${one.asks ? "asks" : "passes"}: ${one.name}`, async () => {
        const environment = { ...ADD_ENVIRONMENT, CNI_ARGS: one.args ?? ADD_ENVIRONMENT.CNI_ARGS };
        const run = await runPlugin(build, environment, one.stdin ?? netconf(one.netconf));
        // Nobody listens: a question ends in code 11, never in a pass.
        if (one.asks) {
          assert.equal(cniErrorOf(run).code, 11);
          return;
        }
        assert.deepEqual([run.exitCode, run.stdout.toString()], [0, '{"cniVersion":"1.0.0"}\n']);
        const isKubernetes = environment.CNI_ARGS.includes("NAMESPACE=") && environment.CNI_ARGS.includes("NAME=");
        if (isKubernetes && one.args !== "K8S_POD_NAMESPACE=shop") assert.equal(run.stderr, "");
        else assert.match(run.stderr, /^\{"level":"info".*not Kubernetes.*\}\n$/);
      });
    }
  });

  test(`the ${build} plugin passes prevResult byte for byte, in every version`, async (context) => {
    const results = [
      "{}",
      '{ "cniVersion" : "1.0.0" ,\n\t"ips":[ {"address":"10.0.0.1/24"} ]   }',
      '{"big":123456789012345678901234567890.0e+10,"small":-0.0,"dns":{},"dns":{}}',
      '{"escapes":"\\u00e9\\ud83d\\ude00\\/\\"}]","é😀":"\u2028","lone":"\\ud800"}',
      `{"deep":${"[".repeat(60)}1${"]".repeat(60)}}`,
      `{"brackets":"}]{[\\\\","long":"${"x".repeat(200_000)}"}`,
    ];
    for (const version of ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]) {
      await context.test(version, async () => {
        for (const result of results) {
          const stdin = ` {"name":"n","prevResult" : ${result} ,"cniVersion":"${version}","exclude_namespaces":["shop"]}\n`;
          const run = await runPlugin(build, ADD_ENVIRONMENT, stdin);
          assert.deepEqual([run.exitCode, run.stdout.toString()], [0, result]);
        }
      });
    }
  });

  test(`the ${build} plugin answers with an empty result of the request's version when there is no prevResult`, async () => {
    for (const [version, expected] of [
      [{}, { cniVersion: "0.1.0", dns: {} }],
      [{ cniVersion: "" }, { cniVersion: "0.1.0", dns: {} }],
      [{ cniVersion: "0.4.0" }, { cniVersion: "0.4.0", dns: {} }],
      [{ cniVersion: "1.0.0" }, { cniVersion: "1.0.0" }],
      [{ cniVersion: "1.1.0", prevResult: null }, { cniVersion: "1.1.0" }],
    ] as const) {
      const stdin = JSON.stringify({ name: "n", exclude_namespaces: ["shop"], ...version });
      const run = await runPlugin(build, ADD_ENVIRONMENT, stdin);
      assert.deepEqual([run.exitCode, JSON.parse(run.stdout.toString())], [0, expected]);
    }
  });

  test(`the ${build} plugin takes exactly 1 MiB of stdin`, async () => {
    const stdin = netconf({ exclude_namespaces: ["shop"] });
    const run = await runPlugin(build, ADD_ENVIRONMENT, stdin + " ".repeat(1024 * 1024 - stdin.length));
    assert.equal(run.exitCode, 0);
  });

  test(`the ${build} plugin checks only pods that may be in the mesh`, async () => {
    const environment = { ...ADD_ENVIRONMENT, CNI_COMMAND: "CHECK" };
    const outside = await runPlugin(build, environment, netconf({ exclude_namespaces: ["shop"] }));
    assert.deepEqual([outside.exitCode, outside.stdout.toString(), outside.stderr], [0, "", ""]);
  });
}
