import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { formatIp, type IpAddress, parseIpAddress } from "../../core/address.ts";
import { CNI_ERROR_CODES, CniError } from "../../core/cni/cni-error.ts";
import type { Sandbox } from "../../core/cni/sandbox.ts";
import { parsePod } from "../../core/kube/pod.ts";
import type { Logger } from "../../core/log.ts";
import {
  type AmbientSettings,
  decideAmbient,
  decideAmbientEarly,
  decideWhileOff,
} from "../../core/policy/ambient-decision.ts";
import { decideAmbientFamilies } from "../../core/policy/ambient-families.ts";
import { DEFAULT_ENABLEMENT_SELECTORS } from "../../core/policy/enablement-selectors.ts";
import { createAmbientSandboxes, type EnrollOutcome } from "./ambient-sandboxes.ts";

const SETTINGS: AmbientSettings = {
  selectors: DEFAULT_ENABLEMENT_SELECTORS,
  excludedNamespaces: ["kube-system"],
  agentNamespace: "istio-system",
  systemNamespace: "istio-system",
  dnsCapture: true,
  probeSource: { v4: ip("169.254.7.127"), v6: ip("fd16:9254:7127:1337:ffff:ffff:ffff:ffff") },
};
const SANDBOX: Sandbox = {
  containerId: "c1",
  podName: "web",
  podNamespace: "shop",
  podUid: "u1",
  netnsFd: 9,
  annotations: {},
  ips: [],
};

/** Everything an ADD needs, and what was asked of it in order. */
class FakeAdd {
  readonly asked: string[] = [];
  readonly underWay = new Set<string>();
  /** What is done once the answer is on its way. */
  readonly postponed: (() => void)[] = [];
  onEnroll: () => void | Promise<void> = () => undefined;
  labels: Record<string, string> = {};
  annotations: Record<string, string> = {};
  namespaceLabels: Record<string, string> | undefined = { "istio.io/dataplane-mode": "ambient" };
  /** What the API says when it is asked for the namespace. */
  lookup: { readonly labels: Record<string, string> } | { readonly message: string } = { message: "nobody knows it" };
  podFound = true;
  addresses: readonly string[] = ["127.0.0.1", "10.0.0.5", "fd00::5"];
  outcome: EnrollOutcome = { result: "acknowledged" };
  programFailure: string | undefined;
  probeFailure: string | undefined;
  /** Until the probe set is written. */
  writing: Promise<void> | undefined;
  clearFailure: string | undefined;
  drift: readonly string[] = [];
  isForbidden = false;
  isOff = false;

  readonly sandboxes = createAmbientSandboxes({
    decideEarly: (sandbox) => decideAmbientEarly(sandbox, SETTINGS),
    findPod: async ({ name }) => {
      this.asked.push(`pod ${name}`);
      return this.podFound
        ? { found: true, pod: this.#pod() }
        : { found: false, reason: "pod shop/web is not known yet" };
    },
    decide: (pod, namespace, annotations) => {
      const decision = decideAmbient(pod, namespace, SETTINGS, annotations);
      return this.isOff ? decideWhileOff(decision) : decision;
    },
    knownNamespace: () => (this.namespaceLabels === undefined ? undefined : namespaceOf(this.namespaceLabels)),
    findNamespace: async (name) => {
      this.asked.push(`namespace ${name}`);
      if ("message" in this.lookup) return { found: false, message: this.lookup.message };
      return { found: true, namespace: namespaceOf(this.lookup.labels) };
    },
    decideFamilies: (addresses) => decideAmbientFamilies(addresses, { ipv6: true, strict: false }),
    netfilter: {
      addresses: () => this.addresses.map(ip),
      apply: async (_fd, { families }) => {
        this.asked.push(`program${families.v4 ? " v4" : ""}${families.v6 ? " v6" : ""}`);
        if (this.programFailure !== undefined) throw new Error(this.programFailure);
        return { dialect: "iptables-nft", changed: true };
      },
      drift: async () => this.drift,
      clear: async () => {
        this.asked.push("clear");
        if (this.clearFailure !== undefined) throw new Error(this.clearFailure);
        return true;
      },
      isForbidden: () => this.isForbidden,
    },
    probes: {
      remove: async () => void this.asked.push("no probes"),
      put: async (_uid, ips) => {
        assert.deepEqual(
          ips.map(formatIp),
          this.addresses.filter((text) => !/^(127|fe80)/.test(text)),
        );
        this.asked.push("probes");
        if (this.probeFailure !== undefined) throw new Error(this.probeFailure);
        if (this.writing === undefined) return;
        await this.writing;
        this.asked.push("probes written");
      },
    },
    ztunnel: {
      enroll: async ({ serviceAccount }) => {
        this.asked.push(`ztunnel ${serviceAccount}`);
        const { outcome } = this;
        await this.onEnroll();
        return outcome;
      },
      withdraw: (uid, netnsFd) => void this.asked.push(`withdraw ${uid} ${netnsFd}`),
    },
    namespaces: { adopt: (uid) => void this.asked.push(`adopt ${uid}`) },
    starting: (uid) => {
      this.underWay.add(uid);
      return { [Symbol.dispose]: () => void this.underWay.delete(uid) };
    },
    added: ({ uid }, { reason }) => void this.asked.push(`added ${uid} ${reason}`),
    countDecision: (decision, reason) => void this.asked.push(`count ${decision} ${reason}`),
    observe: () => undefined,
    log: silent(),
    nowMs: () => 0,
    later: (action) => void this.postponed.push(action),
  });

  add(change: Partial<Sandbox> = {}, signal = new AbortController().signal) {
    return this.sandboxes.add({ ...SANDBOX, ...change }, signal);
  }

  #pod() {
    return parsePod({
      metadata: {
        uid: "u1",
        namespace: "shop",
        name: "web",
        resourceVersion: "1",
        labels: this.labels,
        annotations: this.annotations,
      },
      spec: { nodeName: "node", serviceAccountName: "shop-sa", containers: [] },
      status: { phase: "Pending" },
    });
  }
}

describe("createAmbientSandboxes()", () => {
  it("programs the pod, exempts its probes, has ztunnel take it, and then lets it start", async () => {
    const add = new FakeAdd();
    assert.equal(await add.add(), "in");
    assert.deepEqual(add.asked, [
      "pod web",
      "count in namespace-label",
      "program v4 v6",
      "ztunnel shop-sa",
      "probes",
      "adopt u1",
      "added u1 namespace-label",
    ]);
  });

  it("lets a pod that is out start without what an unfinished ADD left in its namespace", async () => {
    const add = new FakeAdd();
    add.labels = { "istio.io/dataplane-mode": "none" };
    assert.equal(await add.add(), "out");
    assert.deepEqual(add.asked.slice(-2), ["count out not-selected", "clear"]);
    add.clearFailure = "the kernel says no";
    assert.equal(await add.add(), "out", "it is in nobody's way");
    add.isForbidden = true;
    add.asked.length = 0;
    assert.equal(await add.add(), "out");
    assert.ok(!add.asked.includes("clear"), "the node's own namespace is left alone");
  });

  it("asks nobody about a pod that the sandbox itself proves out", async () => {
    for (const [change, verdict] of [
      [{ podNamespace: "kube-system" }, "out"],
      [{ podNamespace: "istio-system", podName: "istio-cni-node-x" }, "out"],
      [{ annotations: { "sidecar.istio.io/status": "{}" } }, "sidecar"],
    ] as const) {
      const add = new FakeAdd();
      assert.equal(await add.add(change), verdict);
      assert.equal(add.asked.length, 1, add.asked.join());
    }
  });

  it("sends a pod to sidecar mode whose annotations the runtime did not tell", async () => {
    const add = new FakeAdd();
    add.annotations = { "sidecar.istio.io/status": "{}" };
    assert.equal(await add.add({ annotations: undefined }), "sidecar");
    add.isOff = true;
    assert.equal(await add.add({ annotations: undefined }), "sidecar", "also while ambient mode is switched off");
    add.annotations = {};
    assert.equal(await add.add({ annotations: undefined }), "out");
  });

  it("refuses what cannot be decided, and never takes it for out", async () => {
    const unknownPod = new FakeAdd();
    unknownPod.podFound = false;
    await refuses(unknownPod, /Cannot decide on pod shop\/web: pod shop\/web is not known yet/);
    const unknownNamespace = new FakeAdd();
    unknownNamespace.namespaceLabels = undefined;
    await refuses(unknownNamespace, /Cannot decide on pod shop\/web: nobody knows it/);
    assert.equal(unknownNamespace.asked.includes("program v4 v6"), false);
  });

  it("asks for a namespace that the watch has not shown, where its labels matter", async () => {
    const add = new FakeAdd();
    add.namespaceLabels = undefined;
    add.lookup = { labels: { "istio.io/dataplane-mode": "ambient" } };
    assert.equal(await add.add(), "in");
    const labelled = new FakeAdd();
    labelled.namespaceLabels = undefined;
    labelled.labels = { "istio.io/dataplane-mode": "none" };
    assert.equal(await labelled.add(), "out");
    assert.equal(labelled.asked.includes("namespace shop"), false);
  });

  it("refuses a pod that ztunnel has not taken, with what there is to know, and keeps nothing of it", async () => {
    const outcomes: readonly (readonly [EnrollOutcome, RegExp])[] = [
      [{ result: "refused", error: "boom" }, /ztunnel does not take it: boom/],
      [{ result: "no-connection" }, /no ztunnel is connected on this node/],
      [{ result: "timed-out" }, /ztunnel did not answer in time/],
      [{ result: "superseded" }, /another sandbox of it was made meanwhile/],
      [{ result: "agent-ends" }, /the request ended/],
      [{ result: "invalid", problem: "its name is too long" }, /ztunnel cannot be told of it: its name is too long/],
    ];
    for (const [outcome, message] of outcomes) {
      const add = new FakeAdd();
      add.outcome = outcome;
      await refuses(add, message, outcome.result === "invalid" ? "invalidNetworkConfig" : "tryAgainLater");
      assert.equal(add.asked.at(-1), "no probes", outcome.result);
      assert.equal(
        add.asked.some((what) => /^(adopt|added)/.test(what)),
        false,
        outcome.result,
      );
    }
  });

  it("exempts no probes of a pod that ztunnel could not be asked for, however long that takes to be written", async () => {
    const add = new FakeAdd();
    add.onEnroll = () => Promise.reject(new Error("EMFILE"));
    add.writing = setImmediate();
    await assert.rejects(() => add.add(), /EMFILE/);
    assert.deepEqual(add.asked.slice(-3), ["probes", "probes written", "no probes"]);
  });

  it("leaves the probes alone that a newer ADD of the pod has exempted", async () => {
    const add = new FakeAdd();
    const superseded = Promise.withResolvers<void>();
    add.outcome = { result: "superseded" };
    add.onEnroll = () => superseded.promise;
    const older = add.add();
    await setImmediate();
    assert.equal(add.asked.at(-1), "probes");
    add.outcome = { result: "acknowledged" };
    add.onEnroll = () => superseded.resolve();
    assert.equal(await add.add({ containerId: "c2", netnsFd: 10 }), "in");
    await assert.rejects(older, /another sandbox of it was made meanwhile/);
    assert.equal(add.asked.includes("no probes"), false);
  });

  it("keeps nothing of a sandbox that the runtime has given up while the probes were exempted", async () => {
    for (const reason of ["plugin-gone", "deadline"]) {
      const add = new FakeAdd();
      const request = new AbortController();
      add.writing = setImmediate().then(() => request.abort(reason));
      await assert.rejects(() => add.add({}, request.signal), /the runtime has given its sandbox up/);
      assert.deepEqual(add.asked.slice(-3), ["probes written", "no probes", "withdraw u1 9"], reason);
    }
  });

  it("takes a pod in whose ADD ends with the agent, which answers it", async () => {
    const add = new FakeAdd();
    const request = new AbortController();
    add.writing = setImmediate().then(() => request.abort("agent-ends"));
    assert.equal(await add.add({}, request.signal), "in");
    assert.deepEqual(add.asked.slice(-2), ["adopt u1", "added u1 namespace-label"]);
  });

  it("takes nothing from a newer ADD of the pod when an older one was given up", async () => {
    const add = new FakeAdd();
    const request = new AbortController();
    const writing = Promise.withResolvers<void>();
    add.writing = writing.promise;
    const older = add.add({}, request.signal);
    await setImmediate();
    request.abort("plugin-gone");
    add.writing = undefined;
    assert.equal(await add.add({ containerId: "c2", netnsFd: 10 }), "in");
    writing.resolve();
    await assert.rejects(older, /given its sandbox up/);
    assert.deepEqual(add.asked.slice(-2), ["added u1 namespace-label", "probes written"]);
  });

  it("refuses a pod that cannot be programmed before anybody tells ztunnel", async () => {
    const add = new FakeAdd();
    add.programFailure = "EOPNOTSUPP";
    await refuses(add, /Cannot capture pod shop\/web: EOPNOTSUPP/);
    assert.equal(
      add.asked.some((what) => what.startsWith("ztunnel")),
      false,
    );
    const forbidden = new FakeAdd();
    forbidden.isForbidden = true;
    await refuses(forbidden, /the node's or the agent's own/, "invalidNetns");
    const bare = new FakeAdd();
    bare.addresses = ["127.0.0.1", "fe80::1"];
    await refuses(bare, /has no address beyond loopback/);
  });

  it("says that an ADD is under way from the first thing it does until its answer is on its way", async () => {
    for (const outcome of [{ result: "acknowledged" }, { result: "timed-out" }] as const) {
      const add = new FakeAdd();
      add.outcome = outcome;
      add.onEnroll = () => assert.deepEqual([...add.underWay], ["u1"]);
      await add.add().catch(() => undefined);
      assert.ok(add.asked.includes("ztunnel shop-sa"));
      assert.deepEqual([...add.underWay], ["u1"]);
      for (const action of add.postponed) action();
      assert.equal(add.underWay.size, 0);
    }
  });

  it("starts a pod whose probes cannot be exempted yet", async () => {
    const add = new FakeAdd();
    add.probeFailure = "no ipset in this kernel";
    assert.equal(await add.add(), "in");
  });

  it("checks what stands", async () => {
    const add = new FakeAdd();
    const check = () => add.sandboxes.check(SANDBOX, new AbortController().signal);
    assert.equal(await check(), "in");
    add.drift = ["chain nat/ISTIO_OUTPUT of IPv4 is missing"];
    await assert.rejects(check, /not captured as it should be: chain nat\/ISTIO_OUTPUT of IPv4 is missing/);
  });
});

async function refuses(
  add: FakeAdd,
  message: RegExp,
  code: keyof typeof CNI_ERROR_CODES = "tryAgainLater",
): Promise<void> {
  await assert.rejects(
    () => add.add(),
    (error: unknown) => {
      assert.ok(error instanceof CniError);
      assert.match(error.message, message);
      assert.equal(error.code, CNI_ERROR_CODES[code]);
      return true;
    },
  );
}

function namespaceOf(labels: Record<string, string>) {
  return { name: "shop", uid: "n1", resourceVersion: "1", labels };
}

function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  if (address === undefined) throw new Error(`no address: ${text}`);
  return address;
}

function silent(): Logger {
  const log: Logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
    scope: () => log,
  };
  return log;
}
