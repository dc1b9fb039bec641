/** Targets: command line, environment, and what is typed at the admin socket (cmd, core/config, core/trace, log levels). */

import assert from "node:assert/strict";
import { isIP } from "node:net";
import { parseInvocation, usageStatusOf } from "../../../src/cmd/flags.ts";
import { formatCidr, formatIp, parseCidr, parseIpAddress } from "../../../src/core/address.ts";
import { COMMANDS } from "../../../src/core/config/commands.ts";
import { ConfigError } from "../../../src/core/config/config-error.ts";
import { ALL_OPTIONS } from "../../../src/core/config/options.ts";
import { listValues, resolveConfig } from "../../../src/core/config/resolve-config.ts";
import { DOCUMENT_MAX } from "../../../src/core/config/value-type.ts";
import { type LogLevelChange, parseLogChange, renderLogChange } from "../../../src/core/log-change.ts";
import { parseScopeLevels, renderScopeLevels } from "../../../src/core/log-levels.ts";
import { parseTraceQuery, readTraceTexts, renderTraceTexts } from "../../../src/core/trace/trace-query.ts";
import { bytesOf, createTarget, type FuzzTarget, textOf } from "../fuzz-target.ts";
import { mutateText } from "../mutate-text.ts";
import { holds } from "../oracle.ts";

const FLAGS = ALL_OPTIONS.flatMap(({ option }) => (option.flag === undefined ? [] : [`--${option.flag}`]));
const VARIABLES = ALL_OPTIONS.flatMap(({ option }) => (option.env === undefined ? [] : [`${option.env}=`]));
const VALUES = ALL_OPTIONS.map(({ option }) => option.type.render(option.fallback)).filter((text) => text !== "");

const commandLine = createTarget(
  {
    name: "command-line",
    parsers: ["cmd/flags.ts", "cmd/render-flags.ts", "cmd/trace-flags.ts", "core/config/command-line.ts"],
    mutators: [mutateText],
    words: [
      ...FLAGS,
      ...COMMANDS.map(({ name }) => name),
      "--output=json",
      "-o",
      "-oyaml",
      "-so",
      "--",
      "--for=1h",
      "--namespace-label=a=b",
      "--to",
      "10.0.0.1:80",
      "shop/web-0",
      "all=debug",
      "\n",
      "=",
    ],
    seeds: [
      "run",
      "explain\nshop/web-0\n--output=json",
      "trace\nshop/web-0\n--to\n10.0.0.1:80\n--uid=1337",
      "log-level\ncni-agent=debug\n--for\n10m",
      "render\n-f\n-\n--namespace-label=a=b,c=d",
      "version\n-s\n-oyaml",
    ].map(bytesOf),
  },
  [ConfigError],
  (input) => {
    // No argument holds a zero, and no argument vector more than the kernel gives.
    const argv = textOf(input).replaceAll("\0", "").split("\n").slice(0, 2000);
    usageStatusOf(argv);
    return parseInvocation(argv);
  },
);

const environment = createTarget(
  {
    name: "environment",
    parsers: [
      "core/config/resolve-config.ts",
      "core/config/value-type.ts",
      "core/config/domain-value-type.ts",
      "core/config/ambient-value-type.ts",
      "core/config/agent-config.ts",
    ],
    mutators: [mutateText],
    words: [
      ...VARIABLES,
      ...FLAGS.map((flag) => `${flag}=`),
      ...VALUES,
      "true",
      "false",
      "15s",
      "1h30m",
      "0644",
      "0x1f",
      "\n",
      ",",
      "/",
      "{}",
    ],
    seeds: [
      VARIABLES.map((name, index) => name + (VALUES[index % VALUES.length] ?? "")).join("\n"),
      "AMBIENT_ENABLED=true\nCNI_NET_DIR=/host/x\nLOG_LEVEL=debug",
      ...VARIABLES.map((name) => `${name}1`),
    ].map(bytesOf),
  },
  [ConfigError],
  (input) => {
    const flags = new Map<string, string[]>();
    const env: Record<string, string> = Object.create(null);
    for (const line of textOf(input).replaceAll("\0", "").split("\n").slice(0, 1000)) {
      const at = line.indexOf("=");
      const [name, text] = [line.slice(0, at), line.slice(at + 1)];
      if (at > 2 && name.startsWith("--")) flags.set(name.slice(2), [...(flags.get(name.slice(2)) ?? []), text]);
      else if (at > 0) env[name] = text;
    }
    const resolved = resolveConfig({ flags, env });
    for (const entry of listValues(resolved)) holds(typeof entry.value === "string", "Every value has a text");
    return [resolved.values, resolved.warnings.length, resolved.notes.length];
  },
);

/** The first line chooses the option, the rest is its text. */
const valueTypes = createTarget(
  {
    name: "option-values",
    parsers: [
      "core/config/value-type.ts",
      "core/config/domain-value-type.ts",
      "core/config/ambient-value-type.ts",
      "core/go-boolean.ts",
    ],
    mutators: [mutateText],
    words: [
      ...VALUES,
      "1s",
      "1.5h",
      "0x1f",
      "0b1",
      "0o7",
      "07",
      "a,b",
      "10.0.0.1",
      "fd00::1",
      ",",
      " ",
      "[]",
      "{}",
      "_",
    ],
    seeds: ALL_OPTIONS.map(({ option }, index) => bytesOf(`${index}\n${option.type.render(option.fallback)}`)),
  },
  [],
  (input) => {
    const [first = "", ...rest] = textOf(input).split("\n");
    const entry = ALL_OPTIONS[Number.parseInt(first, 10) % ALL_OPTIONS.length] ?? ALL_OPTIONS[0];
    if (entry === undefined) return undefined;
    const { type, repeatable } = entry.option;
    const text = rest.join("\n");
    type.caution?.(text);
    const value = type.parse(text);
    if (value === undefined) return [entry.id, type.fault?.(text)?.state.replace(/".*"/g, "")];
    const written = type.render(value);
    const again = type.parse(written);
    // An empty text is "not given" and never parsed; lists that may be repeated are joined; what was written in a short form may be
    // longer than a document may be. What is compared is the text: a value may also hold what was said of the one it was read from.
    if (written !== "" && repeatable !== true && written.length <= DOCUMENT_MAX) {
      holds(again !== undefined && type.render(again) === written, `What ${entry.id} writes reads back`);
    }
    return [entry.id, value];
  },
);

function isChange(read: LogLevelChange | string): read is LogLevelChange {
  return typeof read !== "string";
}

const adminQuery = createTarget(
  {
    name: "admin-query",
    parsers: ["core/log-change.ts", "core/log-levels.ts", "core/trace/trace-query.ts"],
    mutators: [mutateText],
    words: [
      "level=",
      "for=",
      "reset=true",
      "&",
      "%3D",
      "=",
      "cni-agent",
      "debug",
      "all:info",
      "10m",
      "to=",
      "from=",
      "port=",
      "uid=",
      "gid=",
      "mark=",
      "in=true",
      "udp=true",
      "10.0.0.1:80",
      "[fd00::1]:80",
      "0x539",
      "%",
    ],
    seeds: [
      "level=cni-agent%3Ddebug&for=10m",
      "reset=true",
      "to=10.0.0.1:80&uid=1337&mark=0x539",
      "in=true&from=fd00::1&port=80",
      "default:debug,cni-agent:info",
    ].map(bytesOf),
  },
  [],
  (input) => {
    const text = textOf(input);
    const query = new URLSearchParams(text);
    const change = parseLogChange(query);
    if (isChange(change))
      assert.deepEqual(
        parseLogChange(new URLSearchParams(renderLogChange(change))),
        change,
        "What is written reads back",
      );
    else holds(change.length < 1000, "Unbounded: a refusal");
    const levels = parseScopeLevels(text);
    if (levels !== undefined)
      assert.deepEqual(parseScopeLevels(renderScopeLevels(levels)), levels, "What is written reads back");
    const texts = readTraceTexts(query);
    const trace = parseTraceQuery(texts);
    if ("message" in trace) holds(trace.message.length < 1000, "Unbounded: a refusal");
    else
      assert.deepEqual(
        parseTraceQuery(readTraceTexts(new URLSearchParams(renderTraceTexts(texts)))),
        trace,
        "What is written reads back",
      );
    return [change, levels, trace];
  },
);

const address = createTarget(
  {
    name: "address",
    parsers: ["core/address.ts"],
    mutators: [mutateText],
    words: ["::", ":", ".", "/", "ffff", "255", "256", "00", "128", "%eth0"],
    seeds: ["10.0.0.1", "fd00::1/64", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "0.0.0.0/0"].map(bytesOf),
    maxBytes: 4096,
  },
  [],
  (input) => {
    const text = textOf(input);
    const [ip, cidr] = [parseIpAddress(text), parseCidr(text)];
    if (ip !== undefined) assert.deepEqual(parseIpAddress(formatIp(ip)), ip, "What is written reads back");
    if (cidr !== undefined) assert.deepEqual(parseCidr(formatCidr(cidr)), cidr, "What is written reads back");
    // node:net takes the same texts, but for zones.
    holds((ip !== undefined) === (isIP(text) !== 0) || text.includes("%"), "Disagrees with node:net");
    return [ip, cidr];
  },
);

export const CONFIG_TARGETS: readonly FuzzTarget[] = [commandLine, environment, valueTypes, adminQuery, address];
