import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LogLevel } from "./log.ts";
import { createLogLevelTable, mergeScopeLevels, parseScopeLevels, type ScopeLevels } from "./log-levels.ts";

function tableOf(text: string, base: LogLevel = "info") {
  return createLogLevelTable(mergeScopeLevels(base, parseScopeLevels(text) ?? assert.fail(text)));
}

describe("parseScopeLevels()", () => {
  it("reads scopes and bare levels", () => {
    assert.deepEqual(parseScopeLevels("debug"), [{ scope: "default", level: "debug" }]);
    assert.deepEqual(parseScopeLevels("default:debug, cni-agent:info,grpc:none"), [
      { scope: "default", level: "debug" },
      { scope: "cni-agent", level: "info" },
      { scope: "grpc", level: "none" },
    ]);
    assert.deepEqual(parseScopeLevels(""), []);
  });

  it("refuses unknown levels, two colons, empty parts and floods", () => {
    for (const text of [
      "loud",
      "a:b:c",
      "a:",
      ":info",
      ",",
      "info,",
      "a b:info",
      "DEBUG",
      "a:info,".repeat(100),
      `${"a".repeat(99)}:info`,
    ]) {
      assert.equal(parseScopeLevels(text), undefined, text);
    }
  });
});

describe("the table of levels", () => {
  /** flag, LOG_LEVEL, then the levels of default, cni-agent, cni-agent.repair, cni-plugin */
  const cases: readonly [string, LogLevel, readonly LogLevel[]][] = [
    ["", "info", ["info", "info", "info", "info"]],
    ["", "debug", ["debug", "debug", "debug", "debug"]],
    ["debug", "info", ["debug", "debug", "debug", "info"]],
    ["info", "debug", ["info", "info", "info", "info"]],
    ["all:error", "debug", ["error", "error", "error", "error"]],
    ["all:error,cni-agent:debug", "info", ["error", "debug", "debug", "error"]],
    ["default:warn,cni-agent.repair:debug", "info", ["warn", "warn", "debug", "info"]],
    ["cni-plugin:none", "warn", ["warn", "warn", "warn", "none"]],
  ];
  for (const [flag, base, levels] of cases) {
    it(`has ${levels.join(", ")} for --log_output_level="${flag}" and LOG_LEVEL=${base}`, () => {
      const table = tableOf(flag, base);
      assert.deepEqual(
        ["default", "cni-agent", "cni-agent.repair", "cni-plugin"].map((scope) => table.levelOf(scope)),
        levels,
      );
    });
  }

  it("lets lines pass from their level upward", () => {
    const table = tableOf("warn,a:none,b:fatal,c:debug");
    assert.deepEqual(
      [table.passes("x", "info"), table.passes("x", "warn"), table.passes("x", "error")],
      [false, true, true],
    );
    assert.deepEqual(
      [table.passes("a", "error"), table.passes("b", "error"), table.passes("c", "debug")],
      [false, false, true],
    );
  });

  it("changes while it is used, and stays bounded", () => {
    const table = tableOf("info");
    table.set([{ scope: "cni-agent", level: "debug" }]);
    assert.equal(table.levelOf("cni-agent"), "debug");
    table.set([{ scope: "all", level: "error" }]);
    assert.deepEqual(table.entries(), [{ scope: "default", level: "error" }]);
    const flood: ScopeLevels = Array.from({ length: 1000 }, (_, n) => ({ scope: `s${n}`, level: "debug" }));
    table.set(flood);
    assert.ok(table.entries().length <= 64);
    table.set([
      { scope: "all", level: "info" },
      { scope: "cni-agent", level: "debug" },
    ]);
    assert.equal(table.levelOf("cni-agent"), "debug");
  });
});
