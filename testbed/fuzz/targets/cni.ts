/** Targets: what a runtime and the files of its CNI folder hold (core/cni). */
import assert from "node:assert/strict";
import { runInNewContext } from "node:vm";
import { parseCniArgs } from "../../../src/core/cni/cni-args.ts";
import { CniError } from "../../../src/core/cni/cni-error.ts";
import { type Conflist, MAX_CONFLIST_BYTES, parseConf } from "../../../src/core/cni/conflist.ts";
import {
  hasForeignPlugin,
  hasOurEntry,
  isMadeOf,
  toConflist,
  withOurEntry,
  withoutOurEntry,
} from "../../../src/core/cni/edit-conflist.ts";
import { isIstioCniKubeconfig, renderHostKubeconfig } from "../../../src/core/cni/host-kubeconfig.ts";
import { type JsonNode, JsonScanError, MAX_JSON_DEPTH, scanJson } from "../../../src/core/cni/json-scan.ts";
import { parseNetconf, peekCniVersion } from "../../../src/core/cni/netconf.ts";
import { createPluginEntry, isEntryText, PLUGIN_TYPE } from "../../../src/core/cni/plugin-entry.ts";
import { SAMPLE_ENTRY_OPTIONS } from "../../../src/core/cni/testing.ts";
import { bytesOf, createTarget, type FuzzTarget, textOf } from "../fuzz-target.ts";
import { mutateJson } from "../mutate-json.ts";
import { mutateText } from "../mutate-text.ts";
import { holds } from "../oracle.ts";
import { JSON_SEEDS, JSON_WORDS } from "./json-seeds.ts";
import { NETCONF_SEEDS, NETCONF_WORDS } from "./netconf-seeds.ts";

const ENTRY = createPluginEntry({ ...SAMPLE_ENTRY_OPTIONS, ambientEnabled: true, agentWaitMs: 15_000 });

const CONFLIST = {
  cniVersion: "0.3.1",
  name: "k8s-pod-network",
  plugins: [
    { type: "bridge", ipam: { type: "host-local" } },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
};

/** Whether JSON.parse takes it too, and reads the same; its number is what a document of that text has. */
function isSameAs(node: JsonNode, value: unknown): boolean {
  switch (node.kind) {
    case "null":
      return value === null;
    case "string":
    case "boolean":
      return node.value === value;
    case "number":
      return Object.is(Number(node.text), value);
    case "array":
      return (
        Array.isArray(value) &&
        value.length === node.items.length &&
        node.items.every((item, at) => isSameAs(item, value[at]))
      );
    case "object": {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
      const members = new Map(node.members.map((member) => [member.key, member.value]));
      const entries = Object.entries(value);
      return (
        entries.length === members.size && entries.every(([key, entry]) => isSameAs(members.get(key) ?? node, entry))
      );
    }
  }
}

function parseOrUndefined(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

/** V8 14.6 may take an escaped key for one that ends in a backslash and that it has read before (nodejs/node#63785); a
 * context of its own has read none. Nothing the agent reads has such keys beside ones that are asked for. */
function parseAnew(text: string): unknown {
  return runInNewContext("JSON.parse(text)", { text });
}

const jsonScan = createTarget(
  {
    name: "json-scan",
    parsers: ["core/cni/json-scan.ts"],
    mutators: [mutateJson],
    words: JSON_WORDS,
    seeds: JSON_SEEDS,
  },
  [JsonScanError],
  (input) => {
    const expected = parseOrUndefined(textOf(input));
    try {
      const node = scanJson(input);
      holds(expected !== undefined, "Accepts: what JSON.parse refuses");
      holds(
        isSameAs(node, expected.value) || isSameAs(node, parseAnew(textOf(input))),
        "Reads: not what JSON.parse reads",
      );
      return { kind: node.kind };
    } catch (error) {
      const isTooDeep = error instanceof JsonScanError && error.code === "too-deep";
      const wasDeep = isTooDeep && textOf(input).replace(/[^[{]/g, "").length > MAX_JSON_DEPTH;
      holds(!(error instanceof JsonScanError) || expected === undefined || wasDeep, "Refuses: what JSON.parse accepts");
      throw error;
    }
  },
);

const netconf = createTarget(
  {
    name: "netconf",
    parsers: ["core/cni/netconf.ts", "core/address.ts"],
    mutators: [mutateJson],
    words: NETCONF_WORDS,
    seeds: NETCONF_SEEDS,
  },
  [CniError],
  (input) => {
    peekCniVersion(input);
    const read = parseNetconf(input);
    holds(
      read.prevResult === undefined || parseOrUndefined(read.prevResult.text) !== undefined,
      "prevResult is passed on broken",
    );
    for (const { address, gateway } of read.prevResult?.ips ?? []) {
      holds(address.bytes.length === (address.family === 4 ? 4 : 16), "An address has the bytes of its family");
      holds(
        gateway === undefined || gateway.bytes.length === (gateway.family === 4 ? 4 : 16),
        "A gateway has the bytes of its family",
      );
    }
    return read;
  },
);

const cniArgs = createTarget(
  {
    name: "cni-args",
    parsers: ["core/cni/cni-args.ts"],
    mutators: [mutateText],
    words: [
      "K8S_POD_NAME=",
      "K8S_POD_NAMESPACE=",
      "K8S_POD_UID=",
      "K8S_POD_INFRA_CONTAINER_ID=",
      "IgnoreUnknown=",
      ";",
      "=",
      "TRUE",
      "__proto__=",
    ],
    seeds: [
      "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=1-2",
    ].map(bytesOf),
  },
  [CniError],
  (input) => parseCniArgs(textOf(input)),
);

function checkEdits(conf: Conflist): void {
  holds(hasForeignPlugin(conf) || hasOurEntry(conf), "A list has plugins of somebody");
  const without = withoutOurEntry(conf);
  const added = withOurEntry(conf, ENTRY);
  const again = parseConf("a.conflist", added);
  if (added.length > MAX_CONFLIST_BYTES) return;
  holds(again.kind === "list", "With our object the list is still one");
  assert.deepEqual(withOurEntry(again, ENTRY), added, "Putting it in twice changes nothing");
  const ours = again.plugins.filter(({ type }) => type === PLUGIN_TYPE);
  holds(ours.length === 1, "Our object is in the list once");
  const { start, end } = ours[0]?.node ?? { start: 0, end: 0 };
  holds(isEntryText(textOf(added.subarray(start, end)), ENTRY), "Our object is as wanted");
  assert.deepEqual(withoutOurEntry(again), without, "Taking it out gives what was there without it");
  const others = (list: Conflist): string[] =>
    list.plugins
      .filter(({ type }) => type !== PLUGIN_TYPE)
      .map(({ node }) => new TextDecoder("latin1").decode(list.bytes.subarray(node.start, node.end)));
  assert.deepEqual(others(again), others(conf), "Nobody else's object is touched");
}

const conflist = createTarget(
  {
    name: "conflist",
    parsers: ["core/cni/conflist.ts", "core/cni/edit-conflist.ts", "core/cni/plugin-entry.ts"],
    mutators: [mutateJson, mutateText],
    words: [
      "plugins",
      "type",
      "name",
      "cniVersion",
      PLUGIN_TYPE,
      '{"type":"istio-cni"}',
      '{"type":"ptp"}',
      "\r\n",
      "\t",
      "  ",
      ",",
      "\ufeff",
    ],
    seeds: [
      JSON.stringify(CONFLIST),
      JSON.stringify(CONFLIST, undefined, 2),
      JSON.stringify({ ...CONFLIST, plugins: [...CONFLIST.plugins, ENTRY] }, undefined, "\t").replaceAll("\n", "\r\n"),
      JSON.stringify({ ...CONFLIST, plugins: [ENTRY, ...CONFLIST.plugins, { type: PLUGIN_TYPE }] }),
      '{"cniVersion":"0.3.1","name":"n","type":"ptp","ipam":{}}',
    ].map(bytesOf),
  },
  [],
  (input) => {
    const list = parseConf("a.conflist", input);
    if (list.kind === "list") checkEdits(list);
    const single = parseConf("a.conf", input);
    if (single.kind === "single" && !hasOurEntry(single)) {
      const made = parseConf("a.conflist", toConflist(single, ENTRY));
      holds(made.kind === "list" && made.plugins.length === 2, "A single configuration becomes a list of two");
      holds(isMadeOf(made, input), "The list is known for what it was made of");
    }
    for (const conf of [list, single]) holds(conf.kind !== "invalid" || conf.reason.length < 500, "A reason is short");
    return [list.kind, single.kind, list.kind === "invalid" ? list.reason.replace(/\d+/g, "") : list.kind];
  },
);

const hostKubeconfig = createTarget(
  {
    name: "host-kubeconfig",
    parsers: ["core/cni/host-kubeconfig.ts"],
    mutators: [mutateText],
    words: ["kind: Config", "current-context: istio-cni-context", '"', "\n"],
    seeds: [
      bytesOf(
        renderHostKubeconfig({ protocol: "https", host: "fd00::1", port: 443, ca: Uint8Array.of(1), token: "t" }),
      ),
    ],
  },
  [],
  isIstioCniKubeconfig,
);

export const CNI_TARGETS: readonly FuzzTarget[] = [jsonScan, netconf, cniArgs, conflist, hostKubeconfig];
