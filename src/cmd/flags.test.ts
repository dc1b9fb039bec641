import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AGENT_COMMAND, COMMANDS } from "../core/config/commands.ts";
import { ConfigError, type ConfigErrorCode } from "../core/config/config-error.ts";
import { ALL_OPTIONS } from "../core/config/options.ts";
import { BOOL } from "../core/config/value-type.ts";
import { parseInvocation, usageStatusOf } from "./flags.ts";

function flagsOf(...argv: string[]): Record<string, readonly string[]> {
  const invocation = parseInvocation(argv);
  assert.ok(invocation.command === "run" || invocation.command === "config");
  return Object.fromEntries(invocation.flags);
}

function assertRefused(argv: readonly string[], code: ConfigErrorCode, message: RegExp): void {
  assert.throws(
    () => parseInvocation(argv),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    },
  );
}

describe("parseInvocation()", () => {
  it("runs the agent without a command, with the chart's arguments", () => {
    assert.deepEqual(parseInvocation([]), { command: "run", flags: new Map() });
    assert.deepEqual(flagsOf("--log_output_level=info", "--log_as_json"), {
      log_output_level: ["info"],
      log_as_json: ["true"],
    });
  });

  it("accepts every flag of the table in both notations", () => {
    for (const { option } of ALL_OPTIONS) {
      if (option.flag === undefined) continue;
      assert.deepEqual(flagsOf(`--${option.flag}=a=b`), { [option.flag]: ["a=b"] });
      if (option.type === BOOL) assert.deepEqual(flagsOf(`--${option.flag}`), { [option.flag]: ["true"] });
      else assert.deepEqual(flagsOf(`--${option.flag}`, "-x"), { [option.flag]: ["-x"] });
    }
  });

  it("collects repeated flags in order and keeps empty values", () => {
    assert.deepEqual(flagsOf("--log_target=a", "--log_target", "b"), { log_target: ["a", "b"] });
    assert.deepEqual(flagsOf("--cni-conf-name="), { "cni-conf-name": [""] });
  });

  it("refuses unknown flags, all at once, with a hint", () => {
    assertRefused(
      ["--nope", "--log-output-level=x", "-z"],
      "unknown-flag",
      /"--nope".*\n.*did you mean --log_output_level\?\n.*"-z"/,
    );
    assertRefused(["--__proto__=1"], "unknown-flag", /"--__proto__"/);
    assertRefused([`--${"x".repeat(10_000)}`], "unknown-flag", /^.{0,200}$/);
    assertRefused(["---"], "unknown-flag", /"---"/);
  });

  it("sends who typed an unknown flag to the help of the command it stands behind, or to the command it names", () => {
    assertRefused(["--nope"], "unknown-flag", /; see install-cni --help$/);
    assertRefused(["explain", "-n", "shop", "web"], "unknown-flag", /"-n".*; see install-cni explain --help$/);
    assertRefused(["--version"], "unknown-flag", /; did you mean install-cni version\?$/);
    assertRefused(["status", "--version"], "unknown-flag", /; see install-cni status --help$/);
    assertRefused(["--confg"], "unknown-flag", /; did you mean install-cni config\?$/);
  });

  it("refuses a flag without its value", () => {
    assertRefused(["--monitoring-port"], "missing-value", /Cannot use --monitoring-port: it needs a value/);
  });

  it("refuses positional arguments as unknown commands", () => {
    assertRefused(["garbage"], "unknown-command", /unknown command "garbage" for "install-cni"/);
    assertRefused(["verson"], "unknown-command", /did you mean version\?/);
    assertRefused(["--log_as_json", "true"], "unknown-command", /"true"/);
    assertRefused(["--", "--x"], "unknown-command", /"--x"/);
    assertRefused(["version", "now"], "unknown-command", /"now"/);
    assertRefused(["run"], "unknown-command", /"run"/);
  });

  it("reads `version` and its flags", () => {
    assert.deepEqual(parseInvocation(["version"]), { command: "version", short: false, output: "text" });
    assert.deepEqual(parseInvocation(["version", "-s"]), { command: "version", short: true, output: "text" });
    assert.deepEqual(parseInvocation(["version", "--short=false", "-ojson"]), {
      command: "version",
      short: false,
      output: "json",
    });
    assert.deepEqual(parseInvocation(["--log_as_json", "version", "-o", "yaml"]), {
      command: "version",
      short: false,
      output: "yaml",
    });
    assertRefused(["version", "-o", "xml"], "malformed-value", /^--output must be 'yaml' or 'json'/);
    assertRefused(["version", "--short=x"], "malformed-value", /Cannot use --short: it is "x"/);
    assertRefused(["version", "--monitoring-port=1"], "unknown-flag", /--monitoring-port/);
  });

  it("reads `config` with the agent's own flags", () => {
    const invocation = parseInvocation(["config", "--output", "json", "--monitoring-port=1"]);
    assert.equal(invocation.command === "config" && invocation.output, "json");
    assert.deepEqual(invocation.command === "config" && invocation.flags.get("monitoring-port"), ["1"]);
    assert.equal(invocation.command === "config" && invocation.isRunning, false);
    const running = parseInvocation(["config", "--running"]);
    assert.equal(running.command === "config" && running.isRunning, true);
    assertRefused(["config", "-o", "yaml"], "malformed-value", /'text' or 'json'/);
  });

  it("reads `uninstall`, which takes the options that say where things are and no other", () => {
    const { command, ...rest } = parseInvocation(["uninstall", "--force", "--mounted-cni-net-dir=/n", "-o", "json"]);
    assert.deepEqual(
      [command, rest],
      [
        "uninstall",
        {
          flags: new Map([
            ["mounted-cni-net-dir", ["/n"]],
            ["force", ["true"]],
            ["output", ["json"]],
          ]),
          output: "json",
          isForced: true,
          isForAllNodes: false,
        },
      ],
    );
    assertRefused(["uninstall", "--monitoring-port=1"], "unknown-flag", /monitoring-port/);
  });

  it("reads `status` and `explain`, which take no option of the agent but its run directory", () => {
    assert.deepEqual(parseInvocation(["status"]), { command: "status", flags: new Map(), output: "text" });
    const elsewhere = parseInvocation(["--cni-agent-run-dir=/x", "status", "-o", "json"]);
    assert.equal(elsewhere.command === "status" && elsewhere.output, "json");
    assert.deepEqual(elsewhere.command === "status" && elsewhere.flags.get("cni-agent-run-dir"), ["/x"]);
    assert.deepEqual(parseInvocation(["explain", "--rules", "shop/web-0"]), {
      command: "explain",
      flags: new Map([["rules", ["true"]]]),
      output: "text",
      pod: { namespace: "shop", name: "web-0" },
      withRules: true,
    });
    assertRefused(["status", "shop/web"], "unknown-command", /"shop\/web"/);
    assertRefused(["status", "--rules"], "unknown-flag", /--rules/);
    assertRefused(["status", "--monitoring-port=1"], "unknown-flag", /--monitoring-port/);
    assertRefused(["status", "-o", "yaml"], "malformed-value", /'text' or 'json'/);
    assertRefused(["explain"], "missing-value", /no pod is named; accepted: NAMESPACE\/POD/);
    for (const pod of ["web", "/web", "shop/", "shop/web/x", "../etc", "shop/WEB", "a b/c", "shop/web\n", "é/b"]) {
      assertRefused(["explain", pod], "malformed-value", /it is no pod; accepted: NAMESPACE\/POD/);
    }
    assertRefused(
      ["explain", "shop/a", "shop/b"],
      "unknown-command",
      /"shop\/b" for "install-cni explain"; accepted: NAMESPACE\/POD$/,
    );
  });

  it("reads `log-level`: what to change, and for how long", () => {
    const shown = { command: "log-level", flags: new Map(), output: "text", levels: [], isReset: false };
    assert.deepEqual(parseInvocation(["log-level"]), { ...shown, forMs: undefined });
    const { flags: _, ...change } = {
      flags: undefined,
      ...parseInvocation(["log-level", "cni-agent=debug", "--for", "1h30m", "cni-plugin:warn", "error", "-ojson"]),
    };
    assert.deepEqual(change, {
      command: "log-level",
      output: "json",
      levels: [
        { scope: "cni-agent", level: "debug" },
        { scope: "cni-plugin", level: "warn" },
        { scope: "default", level: "error" },
      ],
      isReset: false,
      forMs: 5_400_000,
    });
    const reset = parseInvocation(["log-level", "--reset"]);
    assert.equal(reset.command === "log-level" && reset.isReset, true);
    for (const word of ["cni-agent=loud", "nobody=debug", "a=b=c", "=debug", "cni-agent=", "info,debug", "DEBUG"]) {
      assertRefused(
        ["log-level", word],
        "malformed-value",
        /^Cannot set log level ".*"; accepted: SCOPE=LEVEL or LEVEL/,
      );
    }
    assertRefused(["log-level", "--for=10m"], "contradiction", /Cannot use --for: no level is named/);
    assertRefused(
      ["log-level", "debug", "--for=25h"],
      "malformed-value",
      /--for: it is "25h"; accepted: a duration from 1s to 24h/,
    );
    assertRefused(["log-level", "debug", "--for"], "missing-value", /--for: it needs a value/);
  });

  it("reads `completion` for each of cobra's shells", () => {
    for (const shell of ["bash", "zsh", "fish", "powershell"]) {
      assert.deepEqual(parseInvocation(["completion", shell]), {
        command: "completion",
        shell,
        withDescriptions: true,
      });
    }
    assert.deepEqual(parseInvocation(["completion", "zsh", "--no-descriptions"]), {
      command: "completion",
      shell: "zsh",
      withDescriptions: false,
    });
    assertRefused(["completion"], "missing-value", /no shell is named; accepted: bash, zsh, fish or powershell/);
    assertRefused(["completion", "csh"], "malformed-value", /for "csh": it is no shell/);
    assertRefused(["completion", "bash", "zsh"], "unknown-command", /"zsh" for "install-cni completion"/);
  });

  it("knows each command's flags by the same name and kind, wherever the command stands", () => {
    const kinds = new Map<string, string>();
    for (const { flags, optionFlags } of [AGENT_COMMAND, ...COMMANDS]) {
      const names = [...flags, ...optionFlags].map(({ name }) => name);
      assert.equal(new Set(names).size, names.length);
      for (const { name, short, isSwitch } of [...flags, ...optionFlags]) {
        assert.equal(kinds.get(name) ?? `${isSwitch} ${short}`, `${isSwitch} ${short}`, name);
        kinds.set(name, `${isSwitch} ${short}`);
      }
    }
  });

  it("reads every form of help", () => {
    for (const argv of [["help"], ["--help"], ["-h"], ["--log_as_json", "-h"]]) {
      assert.deepEqual(parseInvocation(argv), { command: "help", topic: undefined }, argv.join(" "));
    }
    for (const { name } of COMMANDS.filter((command) => command.name !== "help")) {
      for (const argv of [
        ["help", name],
        [name, "--help"],
        ["-h", name],
      ]) {
        assert.deepEqual(parseInvocation(argv), { command: "help", topic: name }, argv.join(" "));
      }
    }
    assert.deepEqual(parseInvocation(["help", "help"]), { command: "help", topic: "help" });
    assert.deepEqual(parseInvocation(["help", "-h"]), { command: "help", topic: undefined });
    assertRefused(["help", "nope"], "unknown-command", /unknown command "nope" for "install-cni"; known: status, /);
    assertRefused(["help", "status", "config"], "unknown-command", /"config" for "install-cni help"/);
  });
});

describe("usageStatusOf()", () => {
  it("is 2 for commands whose 1 says something about the node, and 1 for the others", () => {
    for (const argv of [
      ["status", "--nope"],
      ["--nope", "explain"],
      ["uninstall", "x"],
      ["log-level", "x"],
    ]) {
      assert.equal(usageStatusOf(argv), 2, argv.join(" "));
    }
    for (const argv of [[], ["--nope"], ["nope"], ["version", "--nope"], ["config", "--nope"]]) {
      assert.equal(usageStatusOf(argv), 1, argv.join(" "));
    }
  });
});
