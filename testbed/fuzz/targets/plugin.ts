/**
 * Targets: the plugin's readers in C under sanitizers, each beside the agent's reader of the same bytes: where both read, they
 * have to read the same.
 */
import assert from "node:assert/strict";
import { parseCniArgs } from "../../../src/core/cni/cni-args.ts";
import { CniError } from "../../../src/core/cni/cni-error.ts";
import { scanJson } from "../../../src/core/cni/json-scan.ts";
import { parseNetconf } from "../../../src/core/cni/netconf.ts";
import { encodeFrame, FRAME_ANSWER } from "../../../src/core/plugin-protocol/frame.ts";
import { encodeAnswer, encodeVersionRefused } from "../../../src/core/plugin-protocol/request.ts";
import { parsePluginState } from "../../../src/core/plugin-protocol/state-file.ts";
import { bytesOf, type FuzzTarget, type Mutator, type Outcome, textOf } from "../fuzz-target.ts";
import { mutateBytes } from "../mutate-bytes.ts";
import { mutateJson } from "../mutate-json.ts";
import { mutateText } from "../mutate-text.ts";
import { holds } from "../oracle.ts";
import { type ProgramResult, runPluginReader } from "../plugin-program.ts";
import { JSON_SEEDS, JSON_WORDS } from "./json-seeds.ts";
import { NETCONF_SEEDS, NETCONF_WORDS } from "./netconf-seeds.ts";
import { STATE_SEEDS, STATE_WORDS } from "./state-seeds.ts";

type Told = ProgramResult["told"];
/** What the harness told of an input is held against what the agent reads of it. @throws for a difference */
type Check = (told: Told, input: Uint8Array) => void;

function createPluginTarget(
  fields: Pick<FuzzTarget, "name" | "parsers" | "mutators" | "seeds" | "words">,
  check: Check,
): FuzzTarget {
  return {
    maxBytes: 64 * 1024,
    batch: 512,
    ...fields,
    run(inputs, started) {
      for (const input of inputs.slice(0, 1)) started(input);
      const outcomes: Outcome[] = [];
      if (inputs.length === 0) runPluginReader(fields.name, inputs);
      while (outcomes.length < inputs.length) {
        const left = inputs.slice(outcomes.length);
        const { results, crash } = runPluginReader(fields.name, left);
        for (const [index, result] of results.entries())
          outcomes.push(judge(result, left[index] ?? new Uint8Array(), check));
        if (crash !== undefined) outcomes.push({ features: [], failure: new Error(crash) });
      }
      return outcomes;
    },
  };
}

function judge({ told, ways }: ProgramResult, input: Uint8Array, check: Check): Outcome {
  const features = ways.map((way) => `way ${way}`);
  try {
    check(told, input);
    return { features };
  } catch (failure) {
    return { features, failure: failure instanceof Error ? failure : new Error(String(failure)) };
  }
}

function bytesAt(told: Told, key: string): Uint8Array {
  return Uint8Array.fromHex(String(told[key] ?? ""));
}

function textAt(told: Told, key: string): string {
  return textOf(bytesAt(told, key));
}

/** "": nothing was printed. */
function documentOf(told: Told): unknown {
  const text = textAt(told, "stdout");
  return text === "" ? "" : JSON.parse(text);
}

/** The code of a CNI error on stdout, 0 for none. */
function checkAnswer(told: Told): number {
  const document = documentOf(told);
  holds(told["exit"] === 0 || told["exit"] === 1, `Ends with ${String(told["exit"])}`);
  if (told["exit"] === 0) return 0;
  holds(
    typeof document === "object" && document !== null && "code" in document && "msg" in document,
    "An error is a CNI error",
  );
  holds(bytesAt(told, "stdout").length < 20_000, "Unbounded: an error");
  return Number(document.code);
}

const DECODING_FAILURE = 6;

/** The environment's lines and stdin, as the harness takes them apart. */
function split(input: Uint8Array): { readonly env: ReadonlyMap<string, Uint8Array>; readonly stdin: Uint8Array } {
  const text = new TextDecoder("latin1").decode(input);
  const raw = Buffer.from(input).toString("latin1");
  const end = text.indexOf("\n\n");
  const env = new Map<string, Uint8Array>([
    ["CNI_COMMAND", bytesOf("ADD")],
    ["CNI_ARGS", bytesOf("K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;IgnoreUnknown=1")],
  ]);
  if (end < 0) return { env, stdin: input };
  for (const whole of raw.slice(0, end).split("\n")) {
    const line = whole.split("\0", 1)[0] ?? "";
    const at = line.indexOf("=");
    if (at >= 0 && line.startsWith("CNI_")) env.set(line.slice(0, at), Buffer.from(line.slice(at + 1), "latin1"));
  }
  return { env, stdin: input.subarray(end + 2) };
}

function netconfOf(stdin: Uint8Array): ReturnType<typeof parseNetconf> | CniError {
  try {
    return parseNetconf(stdin);
  } catch (error) {
    if (error instanceof CniError) return error;
    throw error;
  }
}

function argsOf(text: string): ReturnType<typeof parseCniArgs> | CniError {
  try {
    return parseCniArgs(text);
  } catch (error) {
    if (error instanceof CniError) return error;
    throw error;
  }
}

const CLAIMS_AMBIENT = /"ambient_enabled"/;

const checkRequest: Check = (told, input) => {
  const { env, stdin } = split(input);
  const command = textOf(env.get("CNI_COMMAND") ?? new Uint8Array());
  const code = checkAnswer(told);
  if (command === "DEL") {
    holds(told["exit"] === 0 && textAt(told, "stdout") === "", "DEL always succeeds and prints nothing");
    return;
  }
  const read = netconfOf(stdin);
  const isDeep = textAt(told, "stdout").includes("nested too deeply");
  if (code === DECODING_FAILURE && !isDeep) {
    // The agent takes null for an error of another code.
    holds(read instanceof CniError, "The plugin refuses a document that the agent reads");
  }
  if (told["isChecked"] === true && textOf(stdin).trim() !== "null") {
    holds(
      !(read instanceof CniError) || read.code !== DECODING_FAILURE,
      "The plugin reads a document that the agent cannot decode",
    );
  }
  if (told["podNamespace"] === undefined) {
    if (told["isParsed"] === true && !CLAIMS_AMBIENT.test(textOf(stdin)) && code === 4)
      holds(
        argsOf(textOf(env.get("CNI_ARGS") ?? new Uint8Array())) instanceof CniError,
        "The plugin refuses CNI_ARGS that the agent reads",
      );
    return;
  }
  const args = argsOf(textOf(env.get("CNI_ARGS") ?? new Uint8Array()));
  holds(!(args instanceof CniError), "The plugin reads CNI_ARGS that the agent refuses");
  assert.deepEqual(
    [args.podName ?? "", args.podNamespace ?? ""],
    [textAt(told, "podName"), textAt(told, "podNamespace")],
    "Plugin and agent read CNI_ARGS alike",
  );
  if (read instanceof CniError) return;
  assert.equal(read.cniVersion, textAt(told, "version"), "Plugin and agent read cniVersion alike");
  assert.equal(read.prevResult?.text ?? "", textAt(told, "prevResult"), "Plugin and agent find the same prevResult");
  assert.equal(
    read.podAnnotations !== undefined,
    told["toldAnnotations"],
    "Plugin and agent agree on whether annotations are told",
  );
  if (command === "ADD" && told["exit"] === 0 && read.prevResult !== undefined)
    assert.equal(textAt(told, "stdout"), read.prevResult.text, "prevResult is passed on as it is");
};

const requestMutators: readonly [Mutator, ...Mutator[]] = [
  mutateText,
  (input, mutation) => {
    const text = Buffer.from(input).toString("latin1");
    const end = text.indexOf("\n\n");
    const [head, body] = end < 0 ? [new Uint8Array(), input] : [input.subarray(0, end + 2), input.subarray(end + 2)];
    const isHead = end >= 0 && mutation.below(4) === 0;
    const other = { ...mutation, other: () => split(mutation.other()).stdin };
    return Buffer.concat(isHead ? [mutateText(head, mutation), body] : [head, mutateJson(body, other)]);
  },
];

const HEAD =
  "CNI_COMMAND=ADD\nCNI_CONTAINERID=c1\nCNI_NETNS=/proc/1/ns/net\nCNI_IFNAME=eth0\nCNI_PATH=/opt\nCNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=u\n\n";

const request = createPluginTarget(
  {
    name: "plugin-request",
    parsers: [
      "plugin:netconf.c",
      "plugin:env.c",
      "plugin:json.c",
      "plugin:json_check.c",
      "plugin:decide.c",
      "plugin:answer.c",
      "plugin:text.c",
    ],
    mutators: requestMutators,
    words: [
      ...NETCONF_WORDS,
      "CNI_ARGS=",
      "CNI_COMMAND=",
      "DEL",
      "CHECK",
      "GC",
      "STATUS",
      "ADD",
      "K8S_POD_NAME=",
      ";",
      "=",
      "IgnoreUnknown=true",
      "K8S_POD_INFRA_CONTAINER_ID=",
      "\n\n",
      "istio-cni-node-",
      "\\u0061",
    ],
    seeds: [
      ...NETCONF_SEEDS,
      ...NETCONF_SEEDS.map((seed) => Buffer.concat([bytesOf(HEAD), seed])),
      bytesOf(`CNI_COMMAND=CHECK\nCNI_ARGS=a=b\n\n{"name":"n"}`),
    ],
  },
  checkRequest,
);

const checkAgentAnswer: Check = (told) => {
  if (told["exit"] === 99) return;
  const document = documentOf(told);
  const exit = Number(told["exit"]);
  holds(exit >= 0 && exit <= 255, "Ends with a status");
  const isObject = typeof document === "object" && document !== null && !Array.isArray(document);
  holds(document === "" || isObject, "What is printed is a JSON object or nothing");
  holds(exit === 0 || isObject, "Who fails says why");
  if (told["isUnderstood"] !== true)
    holds(exit === 1 && isObject && "code" in document && document.code === 11, "What is no answer is none: code 11");
};

const answer = createPluginTarget(
  {
    name: "plugin-answer",
    parsers: ["plugin:frame.c", "plugin:agent.c", "plugin:main.c", "plugin:log.c", "plugin:utf8.c"],
    mutators: [mutateBytes],
    words: [
      "ICNI",
      "\x01\0\0\0",
      "\x02\0\0\0",
      "\x03\0\0\0",
      "0",
      "255",
      "256",
      "{}",
      '{"code":7,"msg":"m"}',
      "\xff",
      "é",
    ],
    seeds: [
      encodeAnswer({ exitCode: 0 }),
      encodeAnswer({ exitCode: 0, stdout: '{"cniVersion":"1.0.0"}', logLine: "done" }),
      encodeAnswer({ exitCode: 1, stdout: '{"code":11,"msg":"m"}' }),
      encodeVersionRefused(),
      encodeFrame(
        FRAME_ANSWER,
        new Map([
          [1, bytesOf("0")],
          [9, bytesOf("later")],
        ]),
      ),
    ],
  },
  checkAgentAnswer,
);

const checkState: Check = (told, input) => {
  const read = parsePluginState(input);
  if (told["exit"] !== 0) {
    holds(read === undefined, "The agent takes a state file that the plugin does not");
    return;
  }
  holds(read !== undefined, "The plugin takes a state file that the agent does not");
  const names = (key: string): (string | undefined)[] => {
    const list: unknown = told[key] ?? [];
    return Array.isArray(list)
      ? list.map((name: unknown) => (typeof name === "string" ? textOf(Uint8Array.fromHex(name)) : undefined))
      : [];
  };
  // A text that the plugin cannot hold (with a zero in it) names no namespace, nor does one with half a surrogate pair.
  const same = (key: string, list: readonly string[]): void => {
    const theirs = names(key);
    assert.deepEqual(
      list.map((name, index) => (theirs[index] === undefined ? undefined : name.toWellFormed())),
      theirs,
      `Plugin and agent read ${key} alike`,
    );
  };
  assert.deepEqual(
    [told["isAmbient"], told["isStrict"], told["knows"]],
    [Number(read.mode === "ambient"), Number(read.whenAway === "strict"), Number(read.enrollment !== undefined)],
    "Plugin and agent read a state file alike",
  );
  same("excluded", read.excludedNamespaces);
  same("enrolling", read.enrollment?.byNamespace ?? []);
  same("podEnrolling", read.enrollment?.byPod ?? []);
};

const state = createPluginTarget(
  {
    name: "plugin-state",
    parsers: ["plugin:state.c"],
    mutators: [mutateJson],
    words: [...STATE_WORDS, "[]", "[".repeat(65) + "]".repeat(65)],
    seeds: STATE_SEEDS,
  },
  checkState,
);

const checkJson: Check = (told, input) => {
  const isValid = ((): boolean => {
    try {
      JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(input));
      return true;
    } catch {
      return false;
    }
  })();
  JSON.parse(textAt(told, "shown"));
  if (told["exit"] === 1) {
    holds(
      !isValid || textAt(told, "why").startsWith("nested too deeply"),
      "The plugin refuses what JSON.parse accepts",
    );
    return;
  }
  holds(isValid, "The plugin accepts what JSON.parse refuses");
  const count = (node: ReturnType<typeof scanJson>): number => {
    if (node.kind === "array") return node.items.reduce((sum, item) => sum + count(item), 1);
    return node.kind === "object" ? node.members.reduce((sum, member) => sum + count(member.value), 1) : 1;
  };
  assert.equal(count(scanJson(bytesAt(told, "value"))), told["parts"], "Plugin and agent find the same parts");
};

const json = createPluginTarget(
  {
    name: "plugin-json",
    parsers: ["plugin:json.c", "plugin:json_check.c", "plugin:utf8.c", "plugin:text.c"],
    mutators: [mutateJson],
    words: JSON_WORDS,
    seeds: JSON_SEEDS,
  },
  checkJson,
);

export const PLUGIN_TARGETS: readonly FuzzTarget[] = [request, answer, state, json];
