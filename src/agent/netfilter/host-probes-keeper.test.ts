import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../../platform/clock.ts";
import type { HostEnsured } from "./host-probes.ts";
import { keepHostProbes } from "./host-probes-keeper.ts";

const FINE: HostEnsured = { changed: false, repaired: [], replaced: [], notes: [], isBehind: false };

/** Time that passes when somebody sleeps, and a node that answers what the test says, until it has nothing more to say. */
function createScene(
  options: { readonly intervalMs?: number; readonly dialect?: "nftables" | "iptables-legacy" } = {},
) {
  const ending = new AbortController();
  const looks: { atMs: number; mayMove: boolean }[] = [];
  const told: string[] = [];
  const answers: (HostEnsured | Error)[] = [];
  let nowMs = 0;
  let heard: () => void = () => assert.fail("nobody listens");
  let isOpen = false;
  /** What happens while the keeper sleeps: the first that is due is called, and its sleep ends early if it is aborted. */
  const events: { readonly atMs: number; readonly act: () => void }[] = [];
  const clock: Clock = {
    nowMs: () => nowMs,
    async sleep(ms, signal) {
      const endMs = nowMs + ms;
      for (;;) {
        const next = events.toSorted((left, right) => left.atMs - right.atMs)[0];
        if (next === undefined || next.atMs > endMs) break;
        events.splice(events.indexOf(next), 1);
        nowMs = Math.max(nowMs, next.atMs);
        next.act();
        await Promise.resolve();
        if (signal.aborted) throw signal.reason;
      }
      nowMs = endMs;
      if (signal.aborted) throw signal.reason;
    },
  };
  return {
    ...{ looks, told, answers },
    change: (atMs: number): void => void events.push({ atMs, act: () => heard() }),
    isMonitorOpen: () => isOpen,
    run: (): Promise<void> =>
      keepHostProbes(
        {
          probes: {
            dialect: options.dialect ?? "nftables",
            async ensure({ mayMove }) {
              looks.push({ atMs: nowMs, mayMove });
              const answer = answers.shift();
              if (answers.length === 0) ending.abort();
              if (answer instanceof Error) throw answer;
              return answer ?? FINE;
            },
          },
          openMonitor(onChange) {
            heard = onChange;
            isOpen = true;
            return {
              [Symbol.dispose]() {
                isOpen = false;
              },
            };
          },
          clock,
          readSet: async () => void told.push("read"),
          onRepaired: (sentences) => void told.push(`repaired: ${sentences.join("; ")}`),
          onReplaced: (dialects) => void told.push(`replaced: ${dialects.join(", ")}`),
          onNotes: (notes) => void told.push(`notes: ${notes.join("; ")}`),
          onFailure: (error) => void told.push(error === undefined ? "well again" : `failed: ${String(error)}`),
        },
        options.intervalMs === undefined ? {} : { intervalMs: options.intervalMs },
        ending.signal,
      ),
  };
}

test("it looks at once, on the timer, and soon after a change but not at each of many", async () => {
  const scene = createScene({ intervalMs: 10_000 });
  scene.answers.push(FINE, FINE, FINE, FINE);
  for (const atMs of [3000, 3010, 3020, 3030]) scene.change(atMs);
  await scene.run();
  assert.deepEqual(
    scene.looks.map(({ atMs }) => atMs),
    [0, 3000, 4000, 14_000],
  );
  assert.equal(scene.isMonitorOpen(), false);
  assert.deepEqual(scene.told, []);
});

test("iptables legacy tells of nothing and costs programs: it is looked at less often", async () => {
  const scene = createScene({ dialect: "iptables-legacy" });
  scene.answers.push(FINE, FINE);
  await scene.run();
  assert.deepEqual(
    scene.looks.map(({ atMs }) => atMs),
    [0, 30_000],
  );
});

test("what was put right is told, what cannot be changed once, and a failure until it is over", async () => {
  const scene = createScene();
  scene.answers.push(
    { ...FINE, repaired: ["ipset x is missing"], replaced: ["iptables-legacy"], notes: ["left over"] },
    { ...FINE, notes: ["left over"] },
    new Error("EPERM"),
    new Error("EPERM"),
    FINE,
    FINE,
  );
  await scene.run();
  assert.deepEqual(scene.told, [
    "repaired: ipset x is missing",
    "replaced: iptables-legacy",
    "notes: left over",
    "failed: Error: EPERM",
    "notes: ",
    "well again",
  ]);
});

test("who is in the set is read anew when something was changed, before that is told", async () => {
  const scene = createScene();
  scene.answers.push({ ...FINE, changed: true, repaired: ["ipset x is missing"] }, FINE, { ...FINE, changed: true });
  await scene.run();
  assert.deepEqual(scene.told, ["read", "repaired: ipset x is missing", "read"]);
});

test("who puts his rules first each time is answered more and more rarely, and told of", async () => {
  const scene = createScene({ intervalMs: 10_000 });
  const behind = { ...FINE, isBehind: true, repaired: ["rules of others stand before ours"] };
  for (let count = 0; count < 40; count++) scene.answers.push(behind);
  await scene.run();
  const moves = scene.looks.filter(({ mayMove }) => mayMove).map(({ atMs }) => atMs);
  assert.deepEqual(moves, [0, 30_000, 90_000, 210_000]);
  assert.equal(scene.told.filter((line) => line.startsWith("notes: rules of others")).length > 0, true);
});

test("once nobody disputes the first place any more, it is taken back at once as at first", async () => {
  const scene = createScene({ intervalMs: 10_000 });
  const behind = { ...FINE, isBehind: true };
  scene.answers.push(behind, ...new Array<HostEnsured>(8).fill(FINE), behind, behind, FINE);
  await scene.run();
  const moves = scene.looks.filter(({ mayMove }) => mayMove).map(({ atMs }) => atMs);
  assert.ok(moves.includes(90_000), String(moves));
  assert.ok(!moves.includes(100_000), String(moves));
});

test("without a monitor the timer looks", async () => {
  const told: unknown[] = [];
  const ending = new AbortController();
  let looks = 0;
  await keepHostProbes(
    {
      probes: {
        dialect: "nftables",
        async ensure() {
          looks += 1;
          if (looks === 3) ending.abort();
          return FINE;
        },
      },
      openMonitor: () => {
        throw new Error("EPERM");
      },
      clock: { nowMs: () => 0, sleep: async () => undefined },
      readSet: () => assert.fail(),
      onRepaired: () => assert.fail(),
      onReplaced: () => assert.fail(),
      onNotes: () => assert.fail(),
      onFailure: (error) => told.push(error),
    },
    {},
    ending.signal,
  );
  assert.equal(looks, 3);
  assert.match(String(told[0]), /EPERM/);
});
