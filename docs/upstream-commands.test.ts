// The commands for istioctl and for upstream's chart that our documents show are such that they work: istioctl knows the values
// (it checks `values.cni` strictly), and the chart does not ignore the tag. Whether the cluster likes them, only a cluster tells.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readCodeBlocks } from "./code-blocks.ts";

const ROOT = join(import.meta.dirname, "..");
// istio/istio operator/pkg/apis/values_types.proto, message CNIConfig, 1.28 to 1.31.
const SCHEMA = new Set(
  (
    "enabled hub tag variant image pullPolicy cniBinDir cniConfDir cniConfFileName cniNetnsDir excludeNamespaces affinity env " +
    "daemonSetLabels podAnnotations podLabels psp_cluster_role logLevel logging repair chained resource_quotas resources " +
    "privileged seccompProfile ambient provider rollingMaxUnavailable istioOwnedCNIConfig istioOwnedCNIConfigFileName"
  ).split(" "),
);

interface Shown {
  readonly where: string;
  readonly command: string;
}

function shown(program: RegExp): readonly Shown[] {
  const paths = globSync(["README.md", "docs/*.md", "chart/*.md"], { cwd: ROOT });
  return paths.flatMap((path) =>
    readCodeBlocks(readFileSync(join(ROOT, path), "utf8")).flatMap(({ line, text }) =>
      text
        .replaceAll("\\\n", " ")
        .split("\n")
        .filter((command) => program.test(command))
        .map((command) => ({ where: `${path}, the block of line ${line}`, command })),
    ),
  );
}

const values = (command: string): ReadonlyMap<string, string> =>
  new Map(
    [...command.matchAll(/--set(?:-string|-json)?[ =]["']?([^\s=]+)=([^\s"']*)/g)].map(([, key = "", value = ""]) => [
      key,
      value,
    ]),
  );

test("each istioctl command that our documents show sets values that istioctl knows (P13, P14)", () => {
  const commands = shown(/\bistioctl (?:install|upgrade|manifest)\b/);
  assert.ok(commands.length > 2, "where are they?");
  for (const { where, command } of commands)
    for (const key of values(command).keys()) {
      const [, ofCni] = /^values\.cni\.(\w+)/.exec(key) ?? [];
      if (ofCni !== undefined) assert.ok(SCHEMA.has(ofCni), `${where}: istioctl refuses values.cni.${ofCni}`);
      else assert.match(key, /^(?:profile|components|values\.(?:global|pilot|ztunnel)|meshConfig|tag|hub)\b/, where);
    }
});

test("a pull secret is shown for istioctl where it takes one (P14)", () => {
  const secrets = shown(/\bistioctl\b.*imagePullSecrets/);
  assert.ok(secrets.length > 0);
  for (const { where, command } of secrets) assert.match(command, /values\.global\.imagePullSecrets\[0\]=/, where);
});

test("no command for upstream's chart that our documents show sets a tag that it ignores (P15)", () => {
  const commands = shown(/\bistio\/cni\b|\bistioctl\b/);
  assert.ok(commands.length > 3, "where are they?");
  for (const { where, command } of commands) {
    const given = values(command);
    const image = ["image", "cni.image", "values.cni.image"].map((key) => given.get(key)).find(Boolean) ?? "";
    const isTagged = ["tag", "cni.tag", "values.cni.tag", "global.tag"].some((key) => given.has(key));
    assert.ok(!(image.includes("/") && isTagged), `${where}: with an image that has a / the tag is ignored`);
  }
});
