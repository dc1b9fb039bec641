import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createWatchAges } from "./watch-age.ts";

const QUERY = { limit: 1, continueToken: "", resourceVersion: "", timeoutSeconds: 1, idleTimeoutMs: 1 };
const { signal } = new AbortController();

function createScene() {
  let nowMs = 0;
  const gone: string[] = [];
  async function* chunks(what: string): AsyncGenerator<Uint8Array> {
    try {
      yield Uint8Array.of(1);
      yield Uint8Array.of(2);
    } finally {
      gone.push(what);
    }
  }
  const ages = createWatchAges(
    {
      list: async ({ plural }) => chunks(`list ${plural}`),
      watch: async ({ plural }) => {
        if (plural === "namespaces") throw new Error("refused");
        return chunks(`watch ${plural}`);
      },
      refreshCredentials: () => void gone.push("refresh"),
    },
    () => nowMs,
  );
  const at = (ms: number): void => {
    nowMs = ms;
  };
  return { ages, gone, at };
}

describe("createWatchAges()", () => {
  it("is young again with everything that arrives, and passes it on", async () => {
    const { ages, at } = createScene();
    assert.deepEqual([ages.ageSeconds("pods"), ages.all()], [undefined, []]);
    const bytes: number[] = [];
    for await (const chunk of await ages.api.watch({ plural: "pods" }, QUERY, signal)) {
      bytes.push(...chunk);
      at(bytes.length * 1000);
      assert.equal(ages.ageSeconds("pods"), 1);
    }
    assert.deepEqual(bytes, [1, 2]);
    at(5000);
    assert.deepEqual(ages.all(), [["pods", 4]]);
  });

  it("counts what was never answered as never heard", async () => {
    const { ages } = createScene();
    await assert.rejects(ages.api.watch({ plural: "namespaces" }, QUERY, signal), /refused/);
    assert.equal(ages.ageSeconds("namespaces"), undefined);
  });

  it("closes the connection when the reader leaves", async () => {
    const { ages, gone } = createScene();
    for await (const _ of await ages.api.list({ plural: "pods" }, QUERY, signal)) break;
    ages.api.refreshCredentials();
    assert.deepEqual(gone, ["list pods", "refresh"]);
  });
});
