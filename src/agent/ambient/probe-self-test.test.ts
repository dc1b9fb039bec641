import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatIp, type IpAddress, parseIpAddress } from "../../core/address.ts";
import type { Logger } from "../../core/log.ts";
import type { ProbeEvidence } from "../../core/policy/probe-self-test.ts";
import { createProbeSelfTest, type SelfTestPod } from "./probe-self-test.ts";

const ip = (text: string): IpAddress => parseIpAddress(text) ?? assert.fail(text);
const SOURCE = { v4: ip("169.254.7.127"), v6: ip("fd16::1") };
const ARRIVED: ProbeEvidence = { kind: "arrived", source: SOURCE.v4 };
const LOST: ProbeEvidence = { kind: "silent", source: SOURCE.v4 };
const BEHIND: ProbeEvidence = { kind: "intercepted", source: ip("10.0.0.1") };

function podOf(name: string, ...ips: string[]): SelfTestPod {
  return { uid: `uid-of-${name}`, namespace: "shop", name, ips: ips.map(ip) };
}

/** A node whose pods answer as the test says; `ticks` looks are taken, each at the next due time. */
function createScene(options: { readonly perRound?: number; readonly families?: readonly (4 | 6)[] } = {}) {
  let nowMs = 0;
  const scene = {
    pods: [] as SelfTestPod[],
    answer: (_address: string): ProbeEvidence | Error => ARRIVED,
    netns: (_uid: string): { pod: number; node: number } | string => ({ pod: 5, node: 6 }),
    tried: [] as string[],
    logged: [] as string[],
    changes: [] as string[],
    counts: new Map<string, number>(),
    onTick: (_tick: number): void => undefined,
    records: () => test.records(),
    async run(ticks: number): Promise<void> {
      const ending = new AbortController();
      left = ticks;
      end = () => ending.abort();
      await test.run(ending.signal);
    },
  };
  let left = 0;
  let end = (): void => undefined;
  const log: Logger = {
    debug: () => undefined,
    info: (message) => void scene.logged.push(`info ${message}`),
    warn: (message) => void scene.logged.push(`warn ${message}`),
    error: () => undefined,
    scope: () => log,
  };
  const test = createProbeSelfTest(
    {
      pods: () => scene.pods,
      netns: (uid) => scene.netns(uid),
      async tryPath({ address, podNetnsFd, nodeNetnsFd }) {
        assert.deepEqual([podNetnsFd, nodeNetnsFd], [5, 6]);
        scene.tried.push(formatIp(address));
        const answer = scene.answer(formatIp(address));
        if (answer instanceof Error) throw answer;
        return answer;
      },
      clock: {
        nowMs: () => nowMs,
        async sleep(ms, signal) {
          nowMs += ms;
          left -= 1;
          scene.tried.push("-");
          scene.onTick(left);
          if (left <= 0) end();
          signal.throwIfAborted();
        },
      },
      wallMs: () => 1000 + nowMs,
      log,
      count: (family, result, pods) => void scene.counts.set(`${family} ${result}`, pods),
      changed: (family, { verdict }, sentence) => void scene.changes.push(`${family} ${verdict} ${sentence}`),
    },
    { families: options.families ?? [4], probeSource: SOURCE, perRound: options.perRound ?? 4 },
  );
  return scene;
}

describe("createProbeSelfTest()", () => {
  it("tries a new pod at the next look, and all in turn once a minute", async () => {
    const scene = createScene({ perRound: 2 });
    scene.pods = [podOf("a", "10.0.0.11"), podOf("b", "10.0.0.12"), podOf("c", "10.0.0.13")];
    await scene.run(38);
    const [first, second, ...later] = scene.tried.join(" ").split(" - ");
    assert.deepEqual([first, second], ["10.0.0.11 10.0.0.12", "10.0.0.13"]);
    assert.deepEqual(
      later.filter((look) => look.includes(".")).map((look) => look.replaceAll("- ", "")),
      ["10.0.0.11 10.0.0.12", "10.0.0.13 10.0.0.11", "10.0.0.12 10.0.0.13"],
    );
    assert.deepEqual(scene.logged, [
      "info IPv4 probes of the node reach enrolled pods from 169.254.7.127, as they should",
    ]);
    assert.equal(scene.counts.get("4 works"), 3);
  });

  it("tells what is wrong when it was found twice, once, and that it is over", async () => {
    const scene = createScene();
    scene.pods = [podOf("a", "10.0.0.11")];
    scene.answer = () => LOST;
    await scene.run(1);
    assert.deepEqual(scene.logged, []);
    assert.equal(scene.records()[0]?.verdict, "untested");
    await scene.run(20);
    assert.equal(scene.logged.length, 1);
    assert.match(
      String(scene.logged[0]),
      /^warn IPv4 probes of the node do not reach enrolled pods \(shop\/a\): probes reach the pod, but its answers .*POD_SECURITY_GROUP/,
    );
    assert.match(String(scene.changes[0]), /^4 fails IPv4 probes/);
    assert.equal(scene.counts.get("4 no-answer"), 1);
    scene.answer = () => ARRIVED;
    await scene.run(20);
    assert.match(String(scene.logged[1]), /^info IPv4 probes of the node reach/);
    assert.deepEqual([scene.logged.length, scene.changes.length], [2, 2]);
    assert.equal(scene.counts.get("4 no-answer"), 0);
  });

  it("holds to what it knows while one try goes wrong", async () => {
    const scene = createScene();
    scene.pods = [podOf("a", "10.0.0.11")];
    await scene.run(1);
    let tries = 0;
    scene.answer = () => (++tries % 2 === 1 ? BEHIND : ARRIVED);
    await scene.run(60);
    assert.ok(tries > 4);
    assert.equal(scene.records()[0]?.verdict, "works");
    assert.equal(scene.logged.length, 1);
  });

  it("says of which pods it is true when others are reached", async () => {
    const scene = createScene();
    scene.pods = [podOf("a", "10.0.0.11"), podOf("b", "10.0.0.12")];
    scene.answer = (address) => (address === "10.0.0.12" ? { kind: "refused", code: "ECONNREFUSED" } : ARRIVED);
    await scene.run(3);
    const [record] = scene.records();
    assert.deepEqual([record?.verdict, record?.examples], ["partly", ["shop/b"]]);
    assert.match(
      String(scene.logged.at(-1)),
      /do not reach 1 of 2 tested pods \(shop\/b\): .*other pods of this node are reached/,
    );
  });

  it("forgets pods that are gone or have another address", async () => {
    const scene = createScene();
    scene.pods = [podOf("a", "10.0.0.11"), podOf("b", "10.0.0.12")];
    scene.answer = (address) => (address === "10.0.0.12" ? LOST : ARRIVED);
    await scene.run(3);
    assert.equal(scene.records()[0]?.verdict, "partly");
    scene.pods = [podOf("a", "10.0.0.21")];
    scene.tried.length = 0;
    await scene.run(1);
    assert.deepEqual(scene.tried, ["10.0.0.21", "-"]);
    const [record] = scene.records();
    assert.deepEqual([record?.verdict, record?.pods.works, record?.pods["no-answer"]], ["works", 1, 0]);
  });

  it("tests each family by itself, and only addresses of it", async () => {
    const scene = createScene({ families: [4, 6] });
    scene.pods = [podOf("a", "10.0.0.11", "fd00::11"), podOf("b", "10.0.0.12")];
    scene.answer = (address) => (address.includes(":") ? { kind: "arrived", source: SOURCE.v6 } : LOST);
    await scene.run(3);
    assert.deepEqual(
      scene.records().map(({ family, verdict }) => [family, verdict]),
      [
        [4, "fails"],
        [6, "works"],
      ],
    );
  });

  it("says why nothing can be tested: no namespace, or a try that fails altogether", async () => {
    for (const change of [
      { netns: () => "the node's namespace is not to be seen" },
      { answer: () => new Error("the node's namespace is not to be seen") },
    ]) {
      const scene = createScene();
      scene.pods = [podOf("a", "10.0.0.11")];
      Object.assign(scene, change);
      await scene.run(3);
      assert.deepEqual(scene.logged, [
        "info IPv4 probes of the node cannot be tested: the node's namespace is not to be seen",
      ]);
      assert.equal(scene.counts.get("4 cannot-test"), 1);
    }
  });

  it("says nothing where there is nobody to test, and ends when it is told to", async () => {
    const scene = createScene({ families: [4, 6] });
    await scene.run(2);
    assert.deepEqual([scene.logged, scene.changes, scene.tried], [[], [], ["-", "-"]]);
    assert.equal(scene.records()[0]?.lastMs, undefined);
  });
});
