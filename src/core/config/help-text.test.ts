import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { COMMANDS } from "./commands.ts";
import { renderCommandHelp, renderConfigJson, renderConfigText, renderHelp } from "./help-text.ts";
import { ALL_OPTIONS } from "./options.ts";
import { listValues, resolveConfig } from "./resolve-config.ts";

/** Compares with a file of testdata/; UPDATE_GOLDEN=1 writes it anew. */
function assertGolden(name: string, actual: string): void {
  const path = new URL(`testdata/${name}`, import.meta.url);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, actual);
  assert.equal(actual, readFileSync(path, "utf8"));
}

const resolved = resolveConfig({
  flags: new Map([["log_output_level", ["info"]]]),
  env: {
    CNI_BIN_DIR: "/a:/b",
    NODE_NAME: "node-1",
    AMBIENT_ENABLEMENT_SELECTOR: "- {}\n- {}",
    CNI_NETWORK_CONFIG: "{\n}",
    GOMAXPROCS: "2",
  },
});

describe("renderHelp()", () => {
  it("is the text of testdata/help.txt, at most 100 columns wide", () => {
    assertGolden("help.txt", renderHelp());
    assert.deepEqual(
      renderHelp()
        .split("\n")
        .filter((line) => line.length > 100),
      [],
    );
  });

  it("names every flag and every variable", () => {
    for (const { option } of ALL_OPTIONS) {
      if (option.flag !== undefined) assert.ok(renderHelp().includes(`--${option.flag}`), option.flag);
      if (option.env !== undefined) assert.ok(renderHelp().includes(option.env), option.env);
    }
  });
});

describe("renderCommandHelp()", () => {
  it("is the text of testdata/help-commands.txt, at most 100 columns wide", () => {
    const text = COMMANDS.map((command) => `$ install-cni help ${command.name}\n${renderCommandHelp(command)}`).join(
      "\n",
    );
    assertGolden("help-commands.txt", text);
    assert.deepEqual(
      text.split("\n").filter((line) => line.length > 100),
      [],
    );
  });

  it("names every flag of the command, and how it may end where scripts care", () => {
    for (const command of COMMANDS) {
      const text = renderCommandHelp(command);
      for (const { name } of command.flags) assert.ok(text.includes(`--${name}`), `${command.name} --${name}`);
      if (command.usageStatus === 2) assert.match(text, /^ {2}2 {2}.*the command line is wrong/m, command.name);
    }
  });
});

describe("the listing of `config`", () => {
  it("is the text of testdata/config.txt, one line per option", () => {
    const text = renderConfigText(listValues(resolved));
    assertGolden("config.txt", text);
    assert.equal(text.trimEnd().split("\n").length, ALL_OPTIONS.length + 1);
  });

  it("has nothing that a terminal would obey, in either form, and JSON that reads back", () => {
    const user = "a\u202eb\u2028c";
    const options = listValues(resolveConfig({ flags: new Map(), env: { ENVOY_USER: user } }));
    const [text, json] = [renderConfigText(options), renderConfigJson(options)];
    for (const shown of [text, json]) assert.doesNotMatch(shown, /(?!\n)[\p{Cc}\p{Cf}\p{Zl}]/u);
    const read = JSON.parse(json) as { options: { env?: string; value: string }[] };
    assert.equal(read.options.find(({ env }) => env === "ENVOY_USER")?.value, user);
  });

  it("is JSON with flag, variable, value and source of every option", () => {
    const { options } = JSON.parse(renderConfigJson(listValues(resolved))) as { options: Record<string, unknown>[] };
    assert.equal(options.length, ALL_OPTIONS.length);
    assert.deepEqual(
      options.find(({ env }) => env === "CNI_BIN_DIR"),
      {
        env: "CNI_BIN_DIR",
        value: "/a:/b",
        source: "environment",
        hasEffect: true,
      },
    );
  });
});
