import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type LogRecord, renderConsoleLine, renderJsonLine, renderLogTime } from "./log-format.ts";

const AT = Date.UTC(2026, 10, 22, 6, 7, 8, 9) * 1000 + 12;

const RECORDS: readonly LogRecord[] = [
  { epochMicros: AT, level: "info", scope: "default", message: "CNI version: 0.1.0" },
  {
    epochMicros: AT,
    level: "warn",
    scope: "cni-agent",
    message: "pod repaired",
    labels: { ns: "a", name: "b", retries: 3, ok: true },
  },
  {
    epochMicros: AT,
    level: "error",
    scope: "cni-plugin",
    message: 'Cannot "x": a\tb\r\nc',
    labels: { path: "/a b", q: 'x="1"' },
  },
  {
    epochMicros: AT,
    level: "debug",
    scope: "cni-agent",
    message: "evil\n2026-11-22T06:07:08.000000Z\tinfo\tcni-agent\tforged",
    labels: { name: "x\u2028y\u001b[31m\u202eabc\u0085", level: "fatal", "k\ney": "v", ratio: Number.NaN, empty: "" },
  },
];

/** Compares with a file of testdata/; UPDATE_GOLDEN=1 writes it anew. */
function assertGolden(name: string, actual: string): void {
  const path = new URL(`testdata/${name}`, import.meta.url);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, actual);
  assert.equal(actual, readFileSync(path, "utf8"));
}

describe("renderConsoleLine()", () => {
  it("is the text of testdata/log-console.txt", () => {
    assertGolden("log-console.txt", RECORDS.map((record) => `${renderConsoleLine(record)}\n`).join(""));
  });

  it("keeps any text on its line and in its column", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (message, value) => {
        const line = renderConsoleLine({
          epochMicros: AT,
          level: "info",
          scope: "cni-agent",
          message,
          labels: { value },
        });
        assert.equal(line.split("\t").length, 5);
        assert.doesNotMatch(line.replaceAll("\t", ""), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
    );
  });
});

describe("renderJsonLine()", () => {
  it("is the text of testdata/log-json.txt", () => {
    assertGolden("log-json.txt", RECORDS.map((record) => `${renderJsonLine(record)}\n`).join(""));
  });

  it("is one JSON object that gives back message and labels, whatever they hold", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (message, value) => {
        const line = renderJsonLine({ epochMicros: AT, level: "info", scope: "default", message, labels: { value } });
        assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        const parsed = JSON.parse(line) as Record<string, unknown>;
        assert.equal(parsed["msg"], message);
        assert.equal(parsed["value"], value);
        assert.equal(parsed["level"], "info");
      }),
    );
  });
});

describe("a log line", () => {
  it("shows what nobody would see, as a terminal's text does", () => {
    const message = "a\u200bb\u061c\u00ad\u{e0041}";
    const shown = "a\\u200bb\\u061c\\u00ad\\udb40\\udc41";
    const record: LogRecord = { epochMicros: AT, level: "info", scope: "default", message, labels: { name: message } };
    assert.equal(renderConsoleLine(record).split("\t").slice(2).join("\t"), `${shown}\tname=${shown}`);
    assert.ok(renderJsonLine(record).endsWith(`"msg":"${shown}","name":"${shown}"}`));
  });

  it("is bounded in message, values and number of labels", () => {
    const labels = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`l${n}`, "v".repeat(5000)]));
    const record: LogRecord = { epochMicros: AT, level: "info", scope: "default", message: "m".repeat(1e6), labels };
    assert.ok(renderConsoleLine(record).length < 100_000);
    assert.ok(renderJsonLine(record).length < 100_000);
    assert.match(renderConsoleLine(record), /m… \(991808 more\)/);
  });
});

describe("renderLogTime()", () => {
  it("has six digits behind the second, in UTC", () => {
    assert.equal(renderLogTime(AT), "2026-11-22T06:07:08.009012Z");
    assert.equal(renderLogTime(0), "1970-01-01T00:00:00.000000Z");
    assert.equal(renderLogTime(Number.NaN).length > 0, true);
  });
});
