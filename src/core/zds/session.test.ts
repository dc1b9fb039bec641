import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeHello, encodeResponse } from "./messages.ts";
import {
  hasAcknowledged,
  isForgetting,
  type Session,
  type SessionEffect,
  type SessionEvent,
  sessionDueMs,
  startSession,
  stepSession,
} from "./session.ts";
import { RETRY_MAX_MS, RETRY_MIN_MS, retryDelayMs, type Want } from "./session-items.ts";

const LIMITS = { helloTimeoutMs: 5000, ackTimeoutMs: 10_000 };

function want(generation: number, fields: Partial<Want> = {}): Want {
  return { generation, hasNetns: true, isUrgent: false, failures: 0, notBeforeMs: 0, ...fields };
}

function createMachine(wants: Record<string, Want> = {}, isAdmitted = true) {
  let state = startSession(Object.entries(wants), { ...LIMITS, isAdmitted }, 0);
  const machine = {
    now: 0,
    get state(): Session {
      return state;
    },
    step(event: SessionEvent): string[] {
      const next = stepSession(state, event, machine.now);
      state = next.state;
      return next.effects.map(show);
    },
    hello: (): string[] => machine.step({ type: "received", bytes: encodeHello(1), descriptors: 0 }),
    answer: (error = ""): string[] =>
      machine.step({ type: "received", bytes: encodeResponse({ error }), descriptors: 0 }),
    garbage: (...bytes: number[]): string[] =>
      machine.step({ type: "received", bytes: Uint8Array.from(bytes), descriptors: 0 }),
    want: (uid: string, wanted: Want): string[] => machine.step({ type: "want", uid, want: wanted }),
    unwant: (uid: string): string[] => machine.step({ type: "unwant", uid }),
    primary: (isPrimary = true): string[] => machine.step({ type: "primary", isPrimary }),
    at(nowMs: number): string[] {
      machine.now = nowMs;
      return machine.step({ type: "tick" });
    },
  };
  return machine;
}

/** Past its snapshot, and the one that gets new workloads. */
function createLive(wants: Record<string, Want> = {}) {
  const machine = createMachine(wants);
  machine.hello();
  while (machine.state.phase === "snapshot") machine.answer();
  machine.primary();
  return machine;
}

function show(effect: SessionEffect): string {
  switch (effect.type) {
    case "send": {
      const { message } = effect;
      if (message.kind === "add") return `send add ${message.uid}@${message.generation}`;
      return message.kind === "snapshot-sent" ? "send snapshot-sent" : `send ${message.kind} ${message.uid}`;
    }
    case "close":
      return `close ${effect.reason}: ${effect.detail}`;
    case "greeted":
      return `greeted ${effect.version}`;
    case "acknowledged":
      return `acknowledged ${effect.uid}@${effect.generation}`;
    case "refused":
      return `refused ${effect.uid}@${effect.generation}: ${effect.error}`;
    case "synced":
      return "synced";
  }
}

test("a snapshot tells of every workload, one at a time, and ends", () => {
  const machine = createMachine({ a: want(1), b: want(2, { hasNetns: false }) });
  assert.deepEqual(machine.hello(), ["greeted 1", "send add a@1"]);
  assert.deepEqual(machine.answer(), ["acknowledged a@1", "send keep b"]);
  assert.deepEqual(machine.answer(), ["send snapshot-sent"]);
  assert.deepEqual(machine.answer(), ["synced"]);
  assert.ok(hasAcknowledged(machine.state, "a", 1));
  assert.ok(!hasAcknowledged(machine.state, "b", 2));
});

test("nothing is sent before the hello, and a silent connection is given up", () => {
  const machine = createMachine({ a: want(1) });
  assert.deepEqual(machine.want("b", want(2, { isUrgent: true })), []);
  assert.deepEqual(machine.primary(), []);
  assert.equal(sessionDueMs(machine.state), 5000);
  assert.deepEqual(machine.at(4999), []);
  assert.deepEqual(machine.at(5000), ["close hello-timeout: it did not say hello"]);
  assert.deepEqual(machine.hello(), []);
});

test("no snapshot is begun before everything is known", () => {
  const machine = createMachine({}, false);
  assert.deepEqual(machine.hello(), ["greeted 1"]);
  assert.deepEqual(machine.want("a", want(1)), []);
  assert.equal(sessionDueMs(machine.state), Number.POSITIVE_INFINITY);
  assert.deepEqual(machine.step({ type: "admit" }), ["send add a@1"]);
});

test("a later version is served, none is not", () => {
  const later = createMachine();
  assert.deepEqual(later.step({ type: "received", bytes: encodeHello(2), descriptors: 0 }), [
    "greeted 2",
    "send snapshot-sent",
  ]);
  const answer = createMachine();
  assert.deepEqual(answer.answer(), ["close no-version: its hello has version 0"]);
});

test("a workload for which somebody waits goes before the rest of the snapshot", () => {
  const machine = createMachine({ a: want(1), b: want(2) });
  machine.hello();
  machine.want("c", want(3, { isUrgent: true }));
  assert.deepEqual(machine.answer(), ["acknowledged a@1", "send add c@3"]);
  assert.deepEqual(machine.answer(), ["acknowledged c@3", "send add b@2"]);
});

test("a workload that changes while it is in flight is told again, and its old answer is not taken for the new one", () => {
  const machine = createMachine({ a: want(1) });
  machine.hello();
  assert.deepEqual(machine.want("a", want(2)), []);
  assert.deepEqual(machine.answer("in use"), ["refused a@1: in use", "send add a@2"]);
  assert.deepEqual(machine.answer(), ["acknowledged a@2", "send snapshot-sent"]);
});

test("a workload withdrawn within the snapshot is forgotten after it, one that it had not come to is never told", () => {
  const machine = createMachine({ a: want(1), b: want(2), c: want(3) });
  machine.hello();
  machine.unwant("a");
  machine.unwant("c");
  assert.ok(isForgetting(machine.state, "a"));
  assert.ok(!isForgetting(machine.state, "c"));
  assert.deepEqual(machine.answer(), ["acknowledged a@1", "send add b@2"]);
  assert.deepEqual(machine.answer(), ["acknowledged b@2", "send snapshot-sent"]);
  assert.deepEqual(machine.answer(), ["synced", "send del a"]);
  assert.ok(isForgetting(machine.state, "a"));
  assert.deepEqual(machine.answer(), []);
  assert.ok(!isForgetting(machine.state, "a"));
});

test("a workload that comes while the end of the snapshot is in flight is told afterwards", () => {
  const machine = createMachine();
  machine.primary();
  assert.deepEqual(machine.hello(), ["greeted 1", "send snapshot-sent"]);
  assert.deepEqual(machine.want("a", want(1)), []);
  assert.deepEqual(machine.answer(), ["synced", "send add a@1"]);
});

test("changes go one by one, each after the answer to the one before", () => {
  const machine = createLive();
  assert.deepEqual(machine.want("a", want(1)), ["send add a@1"]);
  assert.deepEqual(machine.want("b", want(2)), []);
  assert.deepEqual(machine.want("c", want(3, { isUrgent: true })), []);
  assert.deepEqual(machine.unwant("gone"), []);
  assert.deepEqual(machine.answer(), ["acknowledged a@1", "send add c@3"]);
  assert.deepEqual(machine.answer(), ["acknowledged c@3", "send del gone"]);
  assert.deepEqual(machine.answer(), ["send add b@2"]);
  assert.deepEqual(machine.answer(), ["acknowledged b@2"]);
});

test("changed and withdrawn within the snapshot, a workload that ztunnel has is forgotten after it", () => {
  const machine = createMachine({ a: want(1), b: want(2) });
  machine.hello();
  machine.answer();
  machine.want("a", want(3));
  machine.unwant("a");
  assert.deepEqual(machine.answer(), ["acknowledged b@2", "send snapshot-sent"]);
  assert.deepEqual(machine.answer(), ["synced", "send del a"]);
});

test("a proxy that does not start is told of once in a snapshot, however long that takes", () => {
  const machine = createMachine({ a: want(1), b: want(2) });
  machine.hello();
  machine.answer("in use");
  machine.now = 2 * RETRY_MIN_MS;
  assert.deepEqual(machine.answer(), ["acknowledged b@2", "send snapshot-sent"]);
});

test("withdrawn and wanted again, a workload is told again after the delete", () => {
  const machine = createLive({ a: want(1) });
  assert.deepEqual(machine.unwant("a"), ["send del a"]);
  assert.deepEqual(machine.want("a", want(2)), []);
  assert.ok(!isForgetting(machine.state, "a"));
  assert.deepEqual(machine.answer(), ["send add a@2"]);
});

test("withdrawn while its add is in flight, a workload is forgotten after the answer, whatever it is", () => {
  for (const error of ["", "in use"]) {
    const machine = createLive();
    machine.want("a", want(1));
    assert.deepEqual(machine.unwant("a"), []);
    assert.equal(machine.answer(error).at(-1), "send del a");
    assert.deepEqual(machine.answer(), []);
    assert.equal(machine.state.items.size, 0);
  }
});

test("what was kept is added once its namespace is found", () => {
  const machine = createLive({ a: want(1, { hasNetns: false }) });
  assert.deepEqual(machine.want("a", want(2)), ["send add a@2"]);
});

test("no keep is sent after the snapshot", () => {
  const machine = createLive();
  assert.deepEqual(machine.want("a", want(1, { hasNetns: false })), []);
  assert.equal(sessionDueMs(machine.state), Number.POSITIVE_INFINITY);
});

test("a connection that is not the primary one gets deletes only, and catches up when it becomes that", () => {
  const machine = createLive({ a: want(1) });
  machine.primary(false);
  assert.deepEqual(machine.want("b", want(2, { isUrgent: true })), []);
  assert.deepEqual(machine.want("a", want(3)), []);
  assert.deepEqual(machine.unwant("c"), ["send del c"]);
  assert.deepEqual(machine.answer(), []);
  assert.deepEqual(machine.primary(), ["send add b@2"]);
  assert.deepEqual(machine.answer(), ["acknowledged b@2", "send add a@3"]);
});

test("a proxy that does not start does not hold the snapshot up, and is tried again later and later", () => {
  const machine = createMachine({ a: want(1), b: want(2) });
  machine.primary();
  machine.hello();
  assert.deepEqual(machine.answer("failure to start proxy : in use"), [
    "refused a@1: failure to start proxy : in use",
    "send add b@2",
  ]);
  machine.answer();
  assert.deepEqual(machine.answer(), ["synced"]);
  assert.equal(sessionDueMs(machine.state), RETRY_MIN_MS);
  assert.deepEqual(machine.at(RETRY_MIN_MS), ["send add a@1"]);
  machine.answer("in use");
  assert.equal(sessionDueMs(machine.state), 3 * RETRY_MIN_MS);
  assert.deepEqual(machine.at(3 * RETRY_MIN_MS), ["send add a@1"]);
  assert.deepEqual(machine.answer(), ["acknowledged a@1"]);
  assert.equal(sessionDueMs(machine.state), Number.POSITIVE_INFINITY);
  assert.equal(retryDelayMs(50), RETRY_MAX_MS);
});

test("a workload that went wrong on the connection before is kept in the snapshot and tried again when it is time", () => {
  const machine = createMachine({ a: want(1, { failures: 1, notBeforeMs: 7000 }) });
  machine.primary();
  assert.deepEqual(machine.hello(), ["greeted 1", "send keep a"]);
  machine.answer();
  assert.deepEqual(machine.answer(), ["synced"]);
  assert.equal(sessionDueMs(machine.state), 7000);
  assert.deepEqual(machine.at(7000), ["send add a@1"]);
});

test("a proxy that could not be started and is not wanted any more is taken out of ztunnel's pending ones", () => {
  const machine = createLive();
  machine.want("a", want(1));
  machine.answer("in use");
  assert.deepEqual(machine.unwant("a"), ["send del a"]);
});

test("after a time-out the connection is not trusted: a late answer is nobody's", () => {
  const machine = createLive();
  machine.want("a", want(1));
  machine.want("b", want(2));
  assert.equal(sessionDueMs(machine.state), 10_000);
  assert.deepEqual(machine.at(10_000), ['close ack-timeout: it did not answer to "add" of a']);
  assert.deepEqual(machine.answer(), []);
  assert.ok(!hasAcknowledged(machine.state, "b", 2));
});

test("whatever ztunnel says out of turn ends the connection", () => {
  assert.deepEqual(createLive().answer(), ["close unexpected-message: it answered to nothing"]);
  assert.deepEqual(createLive().hello(), [
    "close unreadable: Cannot read a ZDS message: it has no payload that is known",
  ]);
  assert.match(createMachine().garbage(0xff).join(), /^close unreadable/);
  const withDescriptor = createLive();
  withDescriptor.want("a", want(1));
  assert.deepEqual(withDescriptor.step({ type: "received", bytes: encodeResponse({ error: "" }), descriptors: 1 }), [
    "close unexpected-descriptor: it sent a descriptor",
  ]);
});

test("a refusal of what cannot be refused ends the connection", () => {
  const keep = createMachine({ a: want(1, { hasNetns: false }) });
  keep.hello();
  assert.deepEqual(keep.answer("no payload"), ['close out-of-step: it answered to "keep" of a: no payload']);
  const end = createMachine();
  end.hello();
  assert.deepEqual(end.answer("no"), ['close out-of-step: it answered to "snapshot-sent": no']);
  const del = createLive({ a: want(1) });
  del.unwant("a");
  assert.deepEqual(del.answer("no"), ['close out-of-step: it answered to "del" of a: no']);
});

test("an error text is fit for a log line", () => {
  const machine = createLive();
  machine.want("a", want(1));
  const [refused = ""] = machine.answer(`in\nuse\u001b[31m\u2028${"x".repeat(2000)}`);
  assert.match(refused, /^refused a@1: in use \[31m x+…$/);
  assert.equal(refused.length, "refused a@1: ".length + 513);
});

test("the machine takes no list of its caller's: what is wanted is read once", () => {
  const wants = new Map([["a", want(1)]]);
  const state = startSession(wants, { ...LIMITS, isAdmitted: true }, 0);
  wants.clear();
  assert.equal(state.items.size, 1);
});
