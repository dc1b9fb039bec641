import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLogLevelTable, parseScopeLevels, renderScopeLevels, type ScopeLevels } from "../../core/log-levels.ts";
import { createLogLevels } from "./log-levels.ts";

const levelsOf = (text: string): ScopeLevels => parseScopeLevels(text) ?? assert.fail(text);

/** Time stands still until `pass()`. */
function createScene(configured = "info") {
  const table = createLogLevelTable(levelsOf(configured));
  const said: string[] = [];
  const waiting = new Set<{ readonly dueMs: number; resolve(): void }>();
  let nowMs = 0;
  const clock = {
    nowMs: () => nowMs,
    sleep: (ms: number, signal: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        const entry = { dueMs: nowMs + ms, resolve };
        waiting.add(entry);
        signal.addEventListener("abort", () => {
          waiting.delete(entry);
          reject(signal.reason);
        });
      }),
  };
  const audit = { info: (message: string, labels = {}) => void said.push(`${message} ${JSON.stringify(labels)}`) };
  const levels = createLogLevels({ table, clock, audit }, levelsOf(configured));
  const ending = new AbortController();
  const running = levels.run(ending.signal);
  const settle = async (): Promise<void> => {
    for (let times = 0; times < 10; times++) await Promise.resolve();
  };
  return {
    levels,
    table,
    said,
    change: async (text: string, forMs?: number, isReset = false) => {
      levels.change({ levels: levelsOf(text), isReset, forMs });
      await settle();
    },
    pass: async (ms: number) => {
      nowMs += ms;
      for (const entry of [...waiting].filter(({ dueMs }) => dueMs <= nowMs)) {
        waiting.delete(entry);
        entry.resolve();
      }
      await settle();
    },
    held: () => renderScopeLevels(table.entries()),
    end: async () => {
      ending.abort();
      await running;
      return waiting.size;
    },
  };
}

describe("createLogLevels()", () => {
  it("changes levels for good, and says so", async () => {
    const scene = createScene();
    await scene.change("cni-agent:debug");
    assert.equal(scene.held(), "default:info,cni-plugin:info,cni-agent:debug");
    await scene.pass(1e9);
    assert.equal(scene.held(), "default:info,cni-plugin:info,cni-agent:debug");
    assert.deepEqual(scene.said, [
      'Log levels were changed over the admin socket {"levels":"cni-agent:debug","now":"default:info,cni-plugin:info,cni-agent:debug"}',
    ]);
    assert.equal(await scene.end(), 0);
  });

  it("changes levels for a time, and puts back what was before", async () => {
    const scene = createScene("warn");
    await scene.change("cni-agent:error");
    await scene.change("all:debug", 60_000);
    assert.equal(scene.held(), "default:debug");
    assert.deepEqual(scene.levels.document().temporary, {
      levels: [{ scope: "all", level: "debug" }],
      secondsLeft: 60,
    });
    await scene.pass(59_999);
    assert.equal(scene.held(), "default:debug");
    await scene.pass(1);
    assert.equal(scene.held(), "default:warn,cni-plugin:info,cni-agent:error");
    assert.equal(scene.levels.document().temporary, null);
    assert.match(scene.said.at(-1) ?? "", /^Log levels are back .*cni-agent:error/);
    await scene.end();
  });

  it("lets the last time hold for all that was changed for a time", async () => {
    const scene = createScene();
    await scene.change("cni-agent:debug", 60_000);
    await scene.pass(50_000);
    await scene.change("cni-plugin:debug", 60_000);
    await scene.pass(59_000);
    assert.equal(scene.held(), "default:info,cni-plugin:debug,cni-agent:debug");
    await scene.pass(1000);
    assert.equal(scene.held(), "default:info,cni-plugin:info");
    await scene.end();
  });

  it("lets a level that is set for good win over one that is there for a time", async () => {
    const scene = createScene();
    await scene.change("cni-agent:debug,cni-plugin:debug", 60_000);
    await scene.change("cni-agent:error");
    assert.equal(scene.held(), "default:info,cni-plugin:debug,cni-agent:error");
    await scene.pass(60_000);
    assert.equal(scene.held(), "default:info,cni-plugin:info,cni-agent:error");
    await scene.change("default:debug", 60_000);
    await scene.change("all:warn");
    assert.equal(scene.levels.document().temporary, null);
    assert.equal(scene.held(), "default:warn");
    await scene.end();
  });

  it("goes back to the configuration when asked to, and then makes the other changes", async () => {
    const scene = createScene("default:warn,cni-plugin:error");
    await scene.change("all:debug");
    await scene.change("cni-agent:info", 60_000);
    await scene.change("", undefined, true);
    assert.equal(scene.held(), "default:warn,cni-plugin:error");
    await scene.change("all:debug");
    await scene.change("cni-agent:info", undefined, true);
    assert.equal(scene.held(), "default:warn,cni-plugin:error,cni-agent:info");
    assert.equal(renderScopeLevels(scene.levels.document().configured), "default:warn,cni-plugin:error");
    await scene.end();
  });
});
