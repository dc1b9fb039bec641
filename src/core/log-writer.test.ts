import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLogLevelTable } from "./log-levels.ts";
import { createLogger } from "./log-writer.ts";

describe("createLogger()", () => {
  it("writes what the levels let pass, in the scope it has", () => {
    const lines: string[] = [];
    const levels = createLogLevelTable([]);
    const log = createLogger(
      { epochMicros: () => 0, write: (line) => lines.push(line) },
      { levels, asJson: false, scope: "cni-agent" },
    );
    log.debug("no");
    log.info("yes", { pod: "p" });
    log.scope("default").error("bare");
    levels.set([{ scope: "cni-agent", level: "debug" }]);
    log.debug("now");
    log.scope("cni-plugin").debug("still not");
    log.warn("w");
    const time = "1970-01-01T00:00:00.000000Z";
    assert.deepEqual(lines, [
      `${time}\tinfo\tcni-agent\tyes\tpod=p`,
      `${time}\terror\tbare`,
      `${time}\tdebug\tcni-agent\tnow`,
      `${time}\twarn\tcni-agent\tw`,
    ]);
  });

  it("writes JSON when told", () => {
    const lines: string[] = [];
    const options = { levels: createLogLevelTable([]), asJson: true, scope: "default" };
    createLogger({ epochMicros: () => 0, write: (line) => lines.push(line) }, options).info("m", { n: 1 });
    assert.deepEqual(lines, ['{"level":"info","time":"1970-01-01T00:00:00.000000Z","msg":"m","n":1}']);
  });
});
