// An API server that answers wrongly, at the agent's start and while it runs: the agent stays, recovers by itself, and
// pods that start afterwards are captured.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { Fault, FaultAction, FaultMatch } from "../../testbed/api-server/faults.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { assertAlive, assertCaptured, eventually, untilKnown } from "./captured-pods.ts";

enterNodeNamespaces();

const LIST: FaultMatch = { verb: "list", resource: "pods" };
const WATCH: FaultMatch = { verb: "watch", resource: "pods" };

interface WrongAnswer {
  readonly match: FaultMatch;
  readonly action: FaultAction;
  readonly times: number;
}

/** What the server answers first; afterwards it is well. */
const WRONG_ANSWERS: Readonly<Record<string, WrongAnswer>> = {
  "an HTML page": { match: LIST, action: { kind: "html" }, times: 2 },
  "bytes that are no text": { match: LIST, action: { kind: "garbage" }, times: 2 },
  "half a list": { match: LIST, action: { kind: "truncated" }, times: 2 },
  "a connection reset": { match: LIST, action: { kind: "reset" }, times: 2 },
  "status 403": { match: LIST, action: { kind: "status", code: 403 }, times: 2 },
  "status 429 with Retry-After": { match: LIST, action: { kind: "status", code: 429, retryAfterSeconds: 1 }, times: 1 },
  "status 500": { match: LIST, action: { kind: "status", code: 500 }, times: 2 },
  "an object of 5 MB": { match: LIST, action: { kind: "large-object", bytes: 5_000_000 }, times: 1 },
};

const WRONG_WATCHES: Readonly<Record<string, WrongAnswer>> = {
  "an HTML page": { match: WATCH, action: { kind: "html" }, times: 2 },
  "bytes that are no text": { match: WATCH, action: { kind: "garbage" }, times: 2 },
  "half an event": { match: WATCH, action: { kind: "half-event", close: "end" }, times: 1 },
  "half an event and a reset": { match: WATCH, action: { kind: "half-event", close: "reset" }, times: 1 },
  "status 429": { match: WATCH, action: { kind: "status", code: 429, retryAfterSeconds: 1 }, times: 1 },
  "status 500": { match: WATCH, action: { kind: "status", code: 500 }, times: 2 },
};

describe("the agent recovers from", () => {
  let mesh: MeshNode;
  let peer: TestPod;
  let pods = 0;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    const agent = await mesh.startAgent();
    peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
    await agent.stop();
  });
  after(() => mesh.destroy());
  afterEach(() => mesh.api.clearFaults());

  function inForce({ match, action, times }: WrongAnswer): Fault {
    return mesh.api.fault(match, action, times);
  }

  /** `isShown`: its sandbox begins once the watch has shown the pod, so that nobody has a reason to ask for it. */
  async function assertCapturesNext(agent: TestAgent, { isShown }: { isShown: boolean }): Promise<string> {
    pods += 1;
    const name = `next-${pods}`;
    const object = mesh.api.put(sidecarPod({ ...NEW_POD, name }));
    if (isShown) await untilKnown(`shop/${name}`);
    const pod = await mesh.node.runPod(podSpecOf(object)).catch((error: unknown) => {
      throw new Error(`Cannot start ${name}; the agent's log:\n${agent.log.join("\n")}`, { cause: error });
    });
    await assertCaptured(mesh.node, pod, peer, [4]);
    await pod.remove();
    assertAlive(agent);
    return name;
  }

  for (const [what, wrong] of Object.entries(WRONG_ANSWERS)) {
    test(`${what} at its start`, async () => {
      mesh.api.put(plainPod({ ...NEW_POD, name: "listed", podIps: ["10.244.0.99"] }));
      const fault = inForce(wrong);
      const agent = await mesh.startAgent();
      assert.equal(fault.hits(), wrong.times);
      await assertCapturesNext(agent, { isShown: false });
      await agent.stop();
    });
  }

  test("a token that is not valid at its start, once it is renewed", async () => {
    const { token } = mesh.api;
    const agent = await mesh.launchAgent({ serviceAccountToken: "not-valid-yet" });
    await mesh.api.waitFor((server) => server.requests({ status: 401 }).length > 0, "a request with that token");
    // Whether it listens already is another matter.
    let status = 0;
    await eventually(
      async () => {
        status = await agent.get(8000, "/readyz").then(
          (answer) => answer.status,
          () => 0,
        );
        return status !== 0;
      },
      () => agent.log.slice(-10).join("\n"),
    );
    assert.notEqual(status, 200);
    agent.setToken(token);
    await agent.waitReady();
    await mesh.node.waitForChained();
    await assertCapturesNext(agent, { isShown: false });
    await agent.stop();
  });

  describe("while it runs,", () => {
    let agent: TestAgent;
    before(async () => {
      agent = await mesh.startAgent();
    });
    after(() => agent.stop());

    const watches = () => mesh.api.requests({ verb: "watch", resource: "pods" });

    /** The watch is on and shows the next pod: nobody has to ask for it. */
    async function assertWatches(): Promise<void> {
      const name = await assertCapturesNext(agent, { isShown: true });
      assert.deepEqual(
        mesh.api.requests({ resource: "pods", name }).map(({ method, path }) => `${method} ${path}`),
        [],
      );
    }

    /** Does what ends the watch, and waits for one that was begun later and is answered. */
    async function assertRecoversFrom(disturb: () => void | Promise<void>): Promise<void> {
      const before = watches().length;
      await disturb();
      const isOn = () => watches().some((watch, index) => index >= before && watch.status === 200 && !watch.endedMs);
      await mesh.api.waitFor((server) => server.watches("pods") > 0 && isOn(), "the watch to be on again");
      await assertWatches();
    }

    for (const [what, wrong] of Object.entries(WRONG_WATCHES)) {
      test(`${what} instead of a watch`, () =>
        assertRecoversFrom(async () => {
          const fault = inForce(wrong);
          const before = watches().length;
          mesh.api.closeWatches("reset");
          await mesh.api.waitFor(() => watches().length > before, "a watch");
          // Half an event is only sent when there is one.
          mesh.api.put(plainPod({ ...NEW_POD, name: "event", labels: { about: what.replaceAll(" ", "-") } }));
          const ended = () => watches().filter(({ endedMs }, index) => index >= before && endedMs !== undefined).length;
          await mesh.api.waitFor(
            () => fault.hits() === wrong.times && ended() >= wrong.times,
            "the wrong answers to be given",
          );
        }));
    }

    test("an event of 5 MB", async () => {
      const annotations = { "example.com/large": "x".repeat(5_000_000) };
      mesh.api.put(plainPod({ ...NEW_POD, name: "large", annotations }));
      await assertWatches();
      mesh.api.remove("pods", "shop/large");
    });

    for (const how of ["expired", "end"] as const) {
      const where = how === "expired" ? "in the stream" : "as an answer";
      test(`410, that everything it has seen is too old, ${where}`, () =>
        assertRecoversFrom(() => {
          mesh.api.compact();
          mesh.api.closeWatches(how);
        }));
    }

    test("a watch that says nothing any more: it asks for the pod", async () => {
      const fault = mesh.api.fault(WATCH, { kind: "silent-watch" });
      mesh.api.closeWatches("end");
      await mesh.api.waitFor(() => fault.hits() > 0, "the silent watch");
      const name = await assertCapturesNext(agent, { isShown: false });
      assert.equal(mesh.api.requests({ resource: "pods", name }).length, 1);
      fault.clear();
      await assertRecoversFrom(() => mesh.api.closeWatches("end"));
    });

    test("a token that is no longer valid, once it is renewed", () =>
      assertRecoversFrom(async () => {
        const { token } = mesh.api;
        const next = mesh.api.issueToken();
        mesh.api.revokeToken(token);
        const refused = mesh.api.requests({ status: 401 }).length;
        mesh.api.closeWatches("reset");
        await mesh.api.waitFor(
          (server) => server.requests({ status: 401 }).length > refused,
          "the old token's refusal",
        );
        agent.setToken(next);
      }));

    test("a server that is restarted", () =>
      assertRecoversFrom(async () => {
        await mesh.api.stop();
        await mesh.api.start();
      }));
  });
});
