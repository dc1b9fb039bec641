import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createZtunnelState } from "../../../testbed/ztunnel/ztunnel-state.ts";
import { encodeHello, encodeRequest, encodeResponse, type WorkloadRequest } from "./messages.ts";
import {
  type Session,
  type SessionEffect,
  type SessionEvent,
  sessionDueMs,
  startSession,
  stepSession,
} from "./session.ts";
import { isSettled, type SessionMessage, type Want } from "./session-items.ts";

const LIMITS = { helloTimeoutMs: 5000, ackTimeoutMs: 5000 };
const info = { name: "n", namespace: "ns", serviceAccount: "sa" };
const UIDS = ["a", "b", "c", "d"];

/** One ztunnel, one agent, and the wire between them, under the test's hand. Every message is checked against the model of
 * ztunnel, which answers as the real one does. */
class World {
  now = 0;
  generation = 0;
  readonly wants = new Map<string, Want>();
  readonly refusals = new Set<string>();
  /** Generations that the agent's owner took back. */
  readonly withdrawn = new Set<number>();
  isAdmitted = false;
  session: Session | undefined;
  /** What ztunnel has yet to read, and the answers that have yet to come. */
  toZtunnel: SessionMessage[] = [];
  toAgent: Uint8Array[] = [];
  hasSaidHello = false;
  readonly ztunnel = createZtunnelState<number>({
    start: (uid) => (this.refusals.has(uid) ? "in use" : undefined),
    stop() {},
    isSame: (a, b) => a === b,
    release() {},
  });

  step(event: SessionEvent): void {
    if (this.session === undefined) return;
    const { state, effects } = stepSession(this.session, event, this.now);
    this.session = state;
    const unsettled = [...state.items].filter(([, item]) => !isSettled(item));
    assert.deepEqual(new Map(state.open), new Map(unsettled), "what is settled, and nothing else, is out of sight");
    for (const effect of effects) this.carryOut(effect);
  }

  carryOut(effect: SessionEffect): void {
    if (effect.type === "close") {
      // A connection is given up only for what ztunnel did not do.
      assert.ok(effect.reason === "ack-timeout" || effect.reason === "hello-timeout", effect.detail);
      this.disconnect();
    }
    if (effect.type !== "send") return;
    const { message } = effect;
    assert.ok(this.hasSaidHello, "nothing is sent before the hello");
    assert.ok(this.isAdmitted, "nothing is sent before everything is known");
    assert.equal(this.toZtunnel.length + this.toAgent.length, 0, "one message is in flight");
    if (message.kind === "add" || message.kind === "keep") {
      assert.ok(this.wants.has(message.uid), "only what is wanted is added or kept");
      if (message.kind === "add") {
        assert.ok(!this.withdrawn.has(message.generation), "what was taken back is never sent again");
        assert.ok(this.wants.get(message.uid)?.hasNetns, "an add has a namespace");
        assert.ok(this.session?.phase === "snapshot" || this.session?.isPrimary, "only the primary one gets adds");
      }
    }
    this.toZtunnel.push(message);
  }

  connect(): void {
    if (this.session !== undefined) return;
    this.session = startSession(this.wants, { ...LIMITS, isAdmitted: this.isAdmitted }, this.now);
    this.step({ type: "primary", isPrimary: true });
    this.ztunnel.connected();
  }

  hello(): void {
    if (this.session === undefined || this.hasSaidHello) return;
    this.hasSaidHello = true;
    this.step({ type: "received", bytes: encodeHello(1), descriptors: 0 });
  }

  disconnect(): void {
    this.session = undefined;
    this.hasSaidHello = false;
    this.toZtunnel = [];
    this.toAgent = [];
    this.ztunnel.disconnected();
  }

  want(uid: string, hasNetns: boolean): void {
    const old = this.wants.get(uid);
    if (old !== undefined) this.withdrawn.add(old.generation);
    const want = { generation: ++this.generation, hasNetns, isUrgent: false, failures: 0, notBeforeMs: 0 };
    this.wants.set(uid, want);
    this.step({ type: "want", uid, want });
  }

  unwant(uid: string): void {
    const old = this.wants.get(uid);
    if (old !== undefined) this.withdrawn.add(old.generation);
    this.wants.delete(uid);
    this.step({ type: "unwant", uid });
  }

  ztunnelReads(): void {
    const message = this.toZtunnel.shift();
    if (message === undefined) return;
    const request: WorkloadRequest = message.kind === "add" ? { kind: "add", uid: message.uid, info } : message;
    const namespaces = message.kind === "add" ? [message.generation] : [];
    const reaction = this.ztunnel.receive({ bytes: encodeRequest(request), namespaces });
    assert.equal(reaction.next, "read-on", `ztunnel gives up: ${reaction.error}`);
    this.toAgent.push(encodeResponse(reaction));
  }

  agentReads(): void {
    const bytes = this.toAgent.shift();
    if (bytes !== undefined) this.step({ type: "received", bytes, descriptors: 0 });
  }

  /** Time goes on; whatever becomes due happens. */
  wait(ms: number): void {
    this.now += ms;
    if (this.session !== undefined && sessionDueMs(this.session) <= this.now) this.step({ type: "tick" });
  }

  /** Everybody answers and no proxy fails any more, until nothing is left to do; ztunnel too tries again what it could not. */
  settle(): void {
    this.refusals.clear();
    this.ztunnel.retryPending();
    this.isAdmitted = true;
    for (let round = 0; round < 500; round++) {
      this.connect();
      this.step({ type: "admit" });
      this.hello();
      this.ztunnelReads();
      this.agentReads();
      const dueMs = this.session === undefined ? this.now : sessionDueMs(this.session);
      if (this.toZtunnel.length + this.toAgent.length > 0) continue;
      if (dueMs === Number.POSITIVE_INFINITY) return;
      this.wait(Math.max(0, dueMs - this.now));
    }
    assert.fail("it does not come to rest");
  }
}

const uid = fc.constantFrom(...UIDS);
type Act = (world: World) => void;
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(uid, fc.boolean()).map(
      ([id, has]): Act =>
        (world) =>
          world.want(id, has),
    ),
  },
  {
    weight: 4,
    arbitrary: uid.map(
      (id): Act =>
        (world) =>
          world.unwant(id),
    ),
  },
  { weight: 10, arbitrary: fc.constant<Act>((world) => world.ztunnelReads()) },
  { weight: 10, arbitrary: fc.constant<Act>((world) => world.agentReads()) },
  {
    weight: 10,
    arbitrary: fc.integer({ min: 1, max: 8 }).map(
      (exchanges): Act =>
        (world) => {
          for (let exchange = 0; exchange < exchanges; exchange++) {
            world.ztunnelReads();
            world.agentReads();
          }
        },
    ),
  },
  { weight: 3, arbitrary: fc.constant<Act>((world) => world.connect()) },
  { weight: 3, arbitrary: fc.constant<Act>((world) => world.hello()) },
  { weight: 1, arbitrary: fc.constant<Act>((world) => world.disconnect()) },
  {
    weight: 2,
    arbitrary: fc.integer({ min: 0, max: 7000 }).map(
      (ms): Act =>
        (world) =>
          world.wait(ms),
    ),
  },
  {
    weight: 2,
    arbitrary: uid.map(
      (id): Act =>
        (world) =>
          void world.refusals.add(id),
    ),
  },
  {
    weight: 2,
    arbitrary: uid.map(
      (id): Act =>
        (world) =>
          void world.refusals.delete(id),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constant<Act>((world) => {
      world.isAdmitted = true;
      world.step({ type: "admit" });
    }),
  },
  {
    weight: 1,
    arbitrary: fc.boolean().map(
      (isPrimary): Act =>
        (world) =>
          world.step({ type: "primary", isPrimary }),
    ),
  },
);

test("whatever happens, ztunnel is told nothing it refuses, and in the end serves exactly what is wanted", () => {
  fc.assert(
    fc.property(fc.subarray(UIDS), fc.boolean(), fc.array(act, { maxLength: 100 }), (before, isTalking, acts) => {
      const world = new World();
      for (const id of before) world.want(id, true);
      // Half of the runs begin within a snapshot, where most of what can go wrong does.
      if (isTalking) {
        world.isAdmitted = true;
        world.connect();
        world.hello();
      }
      for (const next of acts) next(world);
      world.step({ type: "primary", isPrimary: true });
      world.settle();
      for (const [id, want] of world.wants) {
        const proxy = world.ztunnel.proxies.get(id);
        if (want.hasNetns) assert.equal(proxy?.netns, want.generation, `${id} is served where it is now`);
      }
      for (const id of world.ztunnel.proxies.keys()) assert.ok(world.wants.has(id), `${id} is served and not wanted`);
      assert.equal(world.ztunnel.pending.size, 0);
      assert.ok(world.ztunnel.isReady());
    }),
    { numRuns: 3000 },
  );
});
