import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError, type KubeApiErrorCode, type KubeApiErrorFields } from "./kube-api-error.ts";
import type { ListPage, UnreadableObject } from "./list-page.ts";
import {
  BACKOFF_MAX_MS,
  backoffMs,
  type ListWatchEffect,
  type ListWatchEvent,
  MAX_LISTED,
  PAGE_LIMIT,
  RELIST_AFTER_FAILURES,
  RETRY_AFTER_MAX_MS,
  startListWatch,
  stepListWatch,
  WATCH_PROVEN_MS,
} from "./list-watch.ts";

/** Objects are words here: the machine never looks into them. */
function createMachine(random = 0) {
  const first = startListWatch<string>();
  let state = first.state;
  const machine = {
    last: first.effects,
    get state() {
      return state;
    },
    step(event: ListWatchEvent<string>): string[] {
      const next = stepListWatch(state, event, random);
      state = next.state;
      machine.last = next.effects;
      return next.effects.map(show);
    },
    page: (objects: string[], version = "10", continueToken = "", unreadable: UnreadableObject[] = []): string[] => {
      const page: ListPage<string> = { objects, resourceVersion: version, continueToken, unreadable };
      return machine.step({ type: "page", page });
    },
    fail: (code: KubeApiErrorCode, fields: KubeApiErrorFields = {}, livedMs = 0): string[] =>
      machine.step({ type: "failed", error: new KubeApiError(code, "Cannot x", fields), livedMs }),
    status: (status: number, livedMs = 0): string[] => machine.fail("KUBE_API_STATUS", { status }, livedMs),
    waited: (): string[] => machine.step({ type: "waited" }),
    ended: (how: "end" | "truncated" | "idle", livedMs: number): string[] =>
      machine.step({ type: "watch-ended", how, livedMs }),
    upsert: (object: string, resourceVersion: string): string[] =>
      machine.step({ type: "watch-event", event: { type: "upsert", object, resourceVersion } }),
  };
  return machine;
}

function createWatching(random = 0) {
  const machine = createMachine(random);
  machine.page(["a"]);
  return machine;
}

function show(effect: ListWatchEffect<string>): string {
  switch (effect.type) {
    case "upsert":
      return `upsert ${effect.objects.join(",")}`;
    case "keep":
      return `keep ${effect.uids.join(",")}`;
    case "delete":
      return `delete ${effect.uid} ${effect.object ?? "?"}`;
    case "report":
      return `${effect.severity} ${effect.what} x${effect.count}`;
    case "list":
      return `list limit=${effect.limit} version=${effect.resourceVersion} continue=${effect.continueToken}`;
    case "watch":
      return `watch ${effect.resourceVersion} ${effect.timeoutSeconds}s`;
    case "wait":
      return `wait ${effect.ms}`;
    default:
      return effect.type;
  }
}

test("the machine begins by listing from the server's cache", () => {
  assert.deepEqual(createMachine().last.map(show), ["begin-replace", "list limit=100 version=0 continue="]);
});

test("the machine lists page by page, is synced after the last and watches from the first page's version", () => {
  const machine = createMachine(0.5);
  assert.deepEqual(machine.page(["a", "b"], "10", "t1"), ["upsert a,b", "list limit=100 version= continue=t1"]);
  assert.equal(machine.state.isSynced, false);
  assert.deepEqual(machine.page(["c"], "11", "t2"), ["upsert c", "list limit=100 version= continue=t2"]);
  assert.deepEqual(machine.page([], "12"), ["upsert ", "end-replace", "synced", "watch 10 300s"]);
  assert.equal(machine.state.isSynced, true);
});

test("the machine keeps what a page names and cannot show", () => {
  const unreadable = [
    { uid: "u1", resourceVersion: "1", message: "bad" },
    { uid: "", resourceVersion: "", message: "worse" },
  ];
  assert.deepEqual(createMachine().page(["a"], "10", "", unreadable), [
    "upsert a",
    "keep u1",
    "warn unreadable-object x2",
    "end-replace",
    "synced",
    "watch 10 240s",
  ]);
});

test("the machine spreads the ends of watches over 4 to 6 minutes", () => {
  assert.match(createMachine(0).page([]).at(-1) ?? "", / 240s$/);
  assert.match(createMachine(0.999).page([]).at(-1) ?? "", / 359s$/);
});

test("the machine applies events and resumes after the last version it has seen", () => {
  const machine = createWatching();
  assert.deepEqual(machine.upsert("b", "11"), ["upsert b"]);
  const gone = { type: "delete", uid: "u", object: "b", resourceVersion: "12" } as const;
  assert.deepEqual(machine.step({ type: "watch-event", event: gone }), ["delete u b"]);
  assert.deepEqual(machine.ended("end", WATCH_PROVEN_MS), ["watch 12 240s"]);
  assert.deepEqual(machine.step({ type: "watch-event", event: { type: "bookmark", resourceVersion: "40" } }), []);
  assert.deepEqual(machine.ended("end", WATCH_PROVEN_MS), ["watch 40 240s"]);
});

test("the machine goes on after an event it cannot read, and past its version", () => {
  const machine = createWatching();
  const unreadable = { uid: "u", resourceVersion: "15", message: "bad" };
  const event = { type: "unreadable", unreadable } as const;
  assert.deepEqual(machine.step({ type: "watch-event", event }), ["warn unreadable-object x1"]);
  assert.equal(machine.state.resourceVersion, "15");
  const nameless = { type: "unreadable", unreadable: { ...unreadable, resourceVersion: "" } } as const;
  machine.step({ type: "watch-event", event: nameless });
  assert.equal(machine.state.resourceVersion, "15", "an event without version leaves it");
});

test("the machine waits before it resumes a watch that ended at once, longer each time", () => {
  const machine = createWatching();
  assert.deepEqual(machine.ended("end", 10), ["wait 125"]);
  assert.deepEqual(machine.waited(), ["watch 10 240s"]);
  assert.deepEqual(machine.ended("end", 10), ["wait 250"]);
  machine.waited();
  machine.upsert("b", "11");
  assert.deepEqual(machine.ended("end", 10), ["wait 125"], "an event proves that the watch works");
});

test("the machine resumes before an event that was cut in half", () => {
  const machine = createWatching();
  assert.deepEqual(machine.ended("truncated", 10_000), ["info truncated-event x1", "watch 10 240s"]);
});

test("the machine opens another watch when one says nothing", () => {
  assert.deepEqual(createWatching().ended("idle", 150_000), ["info idle-watch x1", "watch 10 240s"]);
});

test("the machine lists anew when its version is gone, by status and within the stream", () => {
  const byStatus = createWatching();
  assert.deepEqual(byStatus.status(410), ["info relist x1", "wait 125"]);
  assert.deepEqual(byStatus.waited(), ["begin-replace", "list limit=100 version= continue="]);
  assert.deepEqual(byStatus.page(["a"], "50"), ["upsert a", "end-replace", "watch 50 240s"], "synced is told once");

  const inStream = createWatching();
  const error = new KubeApiError("KUBE_API_STATUS", "Cannot go on", { status: 410 });
  const told = inStream.step({ type: "watch-event", event: { type: "error", error } });
  assert.deepEqual(told, ["info relist x1", "wait 125"]);
  assert.deepEqual(inStream.waited(), ["begin-replace", "list limit=100 version= continue="]);
});

test("the machine backs off from a server that answers every watch with 410", () => {
  const machine = createWatching();
  const waits: (string | undefined)[] = [];
  for (let turn = 0; turn < 4; turn += 1) {
    waits.push(machine.status(410).at(-1));
    machine.waited();
    machine.page(["a"]);
  }
  assert.deepEqual(waits, ["wait 125", "wait 250", "wait 500", "wait 1000"]);
});

test("the machine lists from the beginning when a continue token has expired", () => {
  const machine = createMachine();
  machine.page(["a"], "10", "t1");
  assert.deepEqual(machine.status(410), ["info relist x1", "wait 125"]);
  assert.deepEqual(machine.waited(), ["begin-replace", "list limit=100 version= continue="]);
});

test("the machine asks for the same page again after any other failure of a list", () => {
  for (const status of [403, 404, 429, 500, 503]) {
    const machine = createMachine();
    machine.page(["a"], "10", "t1");
    assert.deepEqual(machine.status(status), ["warn failure x1", "wait 125"], `${status}`);
    assert.deepEqual(machine.waited(), ["list limit=100 version= continue=t1"]);
  }
});

test("the machine repeats the first page from its beginning", () => {
  const machine = createMachine();
  assert.deepEqual(machine.fail("KUBE_API_TRANSPORT"), ["warn failure x1", "wait 125"]);
  assert.deepEqual(machine.waited(), ["begin-replace", "list limit=100 version=0 continue="]);
});

test("the machine resumes a watch after a lost connection however often that happens", () => {
  const machine = createWatching();
  for (let turn = 0; turn < RELIST_AFTER_FAILURES + 3; turn += 1) {
    assert.equal(machine.fail("KUBE_API_TRANSPORT")[0], "warn failure x1");
    assert.deepEqual(machine.waited(), ["watch 10 240s"]);
  }
  assert.deepEqual(machine.fail("KUBE_API_TRANSPORT", {}, WATCH_PROVEN_MS), ["warn failure x1", "wait 125"]);
});

test("the machine doubts its version when a watch is answered badly several times", () => {
  for (const code of ["KUBE_API_STATUS", "KUBE_API_GARBAGE"] as const) {
    const machine = createWatching();
    for (let turn = 1; turn < RELIST_AFTER_FAILURES; turn += 1) {
      assert.equal(machine.fail(code, { status: 504 })[0], "warn failure x1");
      assert.deepEqual(machine.waited(), ["watch 10 240s"]);
    }
    assert.equal(machine.fail(code, { status: 504 })[0], "warn relist x1");
    assert.deepEqual(machine.waited(), ["begin-replace", "list limit=100 version= continue="]);
  }
});

test("the machine lists anew at once when the server refuses the version", () => {
  const machine = createWatching();
  assert.deepEqual(machine.status(400), ["warn relist x1", "wait 125"]);
  assert.equal(machine.waited()[0], "begin-replace");
});

test("the machine reads the token again after 401 and asks at once, the second time it waits", () => {
  const watching = createWatching();
  assert.deepEqual(watching.status(401), ["refresh-credentials", "watch 10 240s"]);
  assert.deepEqual(watching.status(401), ["refresh-credentials", "warn failure x1", "wait 250"]);
  assert.deepEqual(watching.waited(), ["watch 10 240s"]);
  watching.upsert("b", "11");
  assert.deepEqual(watching.status(401), ["refresh-credentials", "watch 11 240s"], "success makes it trust again");

  const listing = createMachine();
  listing.page(["a"], "10", "t1");
  assert.deepEqual(listing.status(401), ["refresh-credentials", "list limit=100 version= continue=t1"]);
  assert.deepEqual(listing.status(401), ["refresh-credentials", "warn failure x1", "wait 250"]);
  assert.deepEqual(listing.waited(), ["list limit=100 version= continue=t1"]);
});

test("the machine stays away as long as the server asks, within a bound", () => {
  const asked = (retryAfterMs: number): string | undefined =>
    createWatching().fail("KUBE_API_STATUS", { status: 429, retryAfterMs }).at(-1);
  assert.equal(asked(7000), "wait 7000");
  assert.equal(asked(10), "wait 125");
  assert.equal(asked(86_400_000), `wait ${RETRY_AFTER_MAX_MS}`);
});

test("the machine asks for smaller pages when an answer is too large, down to single objects", () => {
  const machine = createMachine();
  const limits: (string | undefined)[] = [];
  for (let turn = 0; turn < 5; turn += 1) {
    assert.equal(machine.fail("KUBE_API_TOO_LARGE")[0], "warn relist x1");
    limits.push(machine.waited().at(-1));
  }
  assert.deepEqual(
    limits,
    [25, 6, 1, 1, 1].map((limit) => `list limit=${limit} version= continue=`),
    "and no more from the cache, which knows no pages",
  );
});

test("the machine lists anew in smaller pages when an event is too large", () => {
  const machine = createWatching();
  assert.equal(machine.fail("KUBE_API_TOO_LARGE")[0], "warn relist x1");
  assert.deepEqual(machine.waited(), ["begin-replace", "list limit=25 version= continue="]);
});

test("the machine stops a list that has no end", () => {
  const machine = createMachine();
  const pages = MAX_LISTED / PAGE_LIMIT;
  for (let page = 1; page < pages; page += 1) machine.page([], "10", `t${page}`);
  assert.deepEqual(machine.page([], "10", "more"), ["upsert ", "warn relist x1", "wait 125"]);
  assert.deepEqual(machine.waited(), ["begin-replace", "list limit=100 version= continue="]);
});

test("backoffMs() doubles to its bound, and chance decides over the upper half", () => {
  assert.deepEqual(
    [1, 2, 3, 4].map((failures) => backoffMs(failures, 0)),
    [125, 250, 500, 1000],
  );
  assert.equal(backoffMs(1, 0.999_999), 250);
  for (const failures of [8, 100, 1_000_000]) {
    assert.ok(backoffMs(failures, 0.999) <= BACKOFF_MAX_MS && backoffMs(failures, 0) >= BACKOFF_MAX_MS / 2);
  }
});

test("the machine refuses an event of another phase, which is a defect of its runner", () => {
  assert.throws(() => createMachine().waited(), /belongs to waiting, the machine is listing/);
  assert.throws(() => createMachine().ended("end", 0), /belongs to watching/);
  assert.throws(() => createWatching().page([]), /belongs to listing/);
});
