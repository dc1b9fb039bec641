import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type LogLevelChange, parseLogChange, renderLogChange } from "./log-change.ts";

const parse = (query: string): LogLevelChange | string => parseLogChange(new URLSearchParams(query));

describe("a change of log levels in a request", () => {
  it("reads back as it was written", () => {
    const changes: readonly LogLevelChange[] = [
      { levels: [{ scope: "cni-agent", level: "debug" }], isReset: false, forMs: undefined },
      {
        levels: [
          { scope: "all", level: "none" },
          { scope: "cni-agent.repair", level: "info" },
        ],
        isReset: true,
        forMs: 90_000,
      },
      { levels: [], isReset: true, forMs: undefined },
    ];
    for (const change of changes) assert.deepEqual(parse(renderLogChange(change)), change);
  });

  it("takes levels as somebody types them", () => {
    const expected = { levels: [{ scope: "default", level: "debug" }], isReset: false, forMs: undefined };
    for (const query of ["level=debug", "level=default:debug", "level=default=debug"]) {
      assert.deepEqual(parse(query), expected, query);
    }
  });

  it("is refused with what is accepted, whatever it is", () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ["", /none is named/],
      ["for=10m", /none is named/],
      ["reset=true&for=10m", /none is named that could hold/],
      ["reset=yes", /"reset" is not known; accepted: level=SCOPE=LEVEL, for=DURATION, reset=true/],
      ["level=cni-agent=loud", /Cannot set log level "cni-agent=loud"; accepted: SCOPE=LEVEL/],
      ["level=ztunnel=debug", /Cannot set log level "ztunnel=debug"/],
      ["level=debug&for=0s", /for "0s"; accepted: a duration from 1s to 24h/],
      ["level=debug&for=25h", /for "25h"/],
      ["level=debug&__proto__=x", /"__proto__" is not known/],
      [Array(65).fill("level=debug").join("&"), /65 log levels at once; accepted: at most 64/],
    ];
    for (const [query, reason] of cases) {
      const refusal = parse(query);
      assert.ok(typeof refusal === "string" && reason.test(refusal), `${query}: ${JSON.stringify(refusal)}`);
    }
    const long = parse(`level=${"x".repeat(100_000)}`);
    assert.ok(typeof long === "string" && long.length < 400);
  });
});
