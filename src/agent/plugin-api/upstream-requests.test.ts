import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatIp } from "../../core/address.ts";
import { CniError } from "../../core/cni/cni-error.ts";
import type { Sandbox } from "../../core/cni/sandbox.ts";
import type { Logger } from "../../core/log.ts";
import { createUpstreamAdds, createUpstreamLog, UPSTREAM_ADD_TIMEOUT_MS } from "./upstream-requests.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const BODY = JSON.stringify({
  Netns: "/var/run/netns/cni-1",
  PodName: "web",
  PodNamespace: "shop",
  IPs: [{ Interface: null, Address: { IP: "10.0.0.5", Mask: "////AA==" }, Gateway: "10.0.0.1" }],
});

function createScene(add: (sandbox: Sandbox, signal: AbortSignal) => Promise<void> = async () => undefined) {
  const lines: string[] = [];
  const codes: string[] = [];
  const opened: string[] = [];
  const told: string[] = [];
  let open = 0;
  const say = (level: string) => (message: string, labels?: object) =>
    void lines.push(`${level} ${message} ${JSON.stringify(labels ?? {})}`);
  const logOf = (prefix: string): Logger => ({
    debug: say(`${prefix}debug`),
    info: say(`${prefix}info`),
    warn: say(`${prefix}warn`),
    error: say(`${prefix}error`),
    scope: (name) => logOf(`${name}/`),
  });
  const log = logOf("");
  const handle = createUpstreamAdds({
    sandboxes: { add },
    openNetns(path) {
      if (!path.startsWith("/var/run/netns/")) throw new Error(`Cannot open the network namespace ${path}: ENOENT`);
      opened.push(path);
      open += 1;
      return {
        ...{ fd: 7, dev: 4n, ino: 4026531840n },
        [Symbol.dispose]() {
          open -= 1;
        },
      };
    },
    tellRefusal: ({ namespace, name }, message) => void told.push(`${namespace}/${name}: ${message}`),
    log,
    observe: (code) => void codes.push(code),
    nowMs: () => 0,
  });
  const hangUp = new AbortController();
  const post = (body = BODY, target = "/cmdadd") =>
    handle("POST", target, { body: async () => encode(body), signal: hangUp.signal });
  return { lines, codes, opened, told, log, post, hangUp, open: () => open };
}

describe("createUpstreamAdds()", () => {
  test("starts the pod with what upstream's plugin tells of it, and answers 200 without a word", async () => {
    const sandboxes: Sandbox[] = [];
    const scene = createScene(async (sandbox) => {
      assert.equal(scene.open(), 1);
      sandboxes.push(sandbox);
    });
    assert.deepEqual(await scene.post(), { status: 200, body: "" });
    const [sandbox] = sandboxes;
    assert.deepEqual(sandbox?.ips.map(formatIp), ["10.0.0.5"]);
    assert.deepEqual(
      { ...sandbox, ips: undefined },
      {
        containerId: "netns-4026531840",
        podName: "web",
        podNamespace: "shop",
        podUid: undefined,
        netnsFd: 7,
        annotations: undefined,
        ips: undefined,
      },
    );
    assert.deepEqual(scene.opened, ["/var/run/netns/cni-1"]);
    assert.equal(scene.open(), 0, "the namespace is closed");
    assert.deepEqual(scene.codes, ["200"]);
  });

  test("answers 500 with the sentence that the kubelet shows, and closes the namespace", async () => {
    const scene = createScene(async () => {
      throw new CniError("tryAgainLater", "Cannot start pod shop/web: no ztunnel is connected", { details: "Look." });
    });
    assert.deepEqual(await scene.post(), {
      status: 500,
      body: "Cannot start pod shop/web: no ztunnel is connected. Look.\n",
    });
    assert.equal(scene.open(), 0);
    assert.deepEqual(scene.codes, ["500"]);
    assert.deepEqual(scene.told, ["shop/web: Cannot start pod shop/web: no ztunnel is connected"]);
    assert.match(scene.lines.join(), /^error Refused ADD of a pod to upstream's plugin .*"name":"web"/);
  });

  test("answers 500 where the namespace cannot be opened, and starts nothing", async () => {
    const scene = createScene(() => assert.fail("not to be started"));
    const { status, body } = await scene.post(BODY.replace("/var/run", "/elsewhere"));
    assert.equal(status, 500);
    assert.match(body, /Cannot open the network namespace \/elsewhere\/netns\/cni-1: ENOENT/);
  });

  test("answers 400 to what is no request, and 404 elsewhere, as upstream does", async () => {
    const scene = createScene(() => assert.fail("not to be started"));
    assert.deepEqual(await scene.post(""), { status: 400, body: "Cannot read the request: it has no body\n" });
    assert.equal((await scene.post("{}")).status, 400);
    assert.equal((await scene.post(BODY, "/")).status, 404);
    assert.deepEqual(scene.codes, ["400", "400"], "404 is not counted");
    assert.deepEqual(scene.opened, []);
  });

  test("tells a start in words that it is out of time before the plugin hangs up", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const scene = createScene((_sandbox, signal) => {
      const gone = new Promise<void>((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(new Error(`aborted: ${signal.reason}`)), { once: true }),
      );
      setImmediate(() => t.mock.timers.tick(UPSTREAM_ADD_TIMEOUT_MS));
      return gone;
    });
    const { status, body } = await scene.post();
    assert.equal(status, 500);
    assert.match(body, /^Cannot start pod shop\/web: istio-cni did not finish/);
  });

  test("lets a pod go whose plugin has hung up, and calls that no failure", async () => {
    const scene = createScene((_sandbox, signal) => {
      setImmediate(() => scene.hangUp.abort());
      return new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(new Error(String(signal.reason))), { once: true }),
      );
    });
    assert.equal((await scene.post()).status, 500);
    assert.match(scene.lines.join(), /^info Let ADD of a pod go/);
    assert.deepEqual(scene.told, []);
    assert.equal(scene.open(), 0);
  });
});

describe("createUpstreamLog()", () => {
  const time = "2026-11-22T10:00:00.000001Z";

  test("puts the plugin's lines into our log under its scope", async () => {
    const { log, lines } = createScene();
    const body = JSON.stringify([
      JSON.stringify({ level: "info", time, msg: "cmdAdd", pod: "web" }),
      JSON.stringify({ level: "error", time, msg: "failed" }),
    ]);
    const signal = new AbortController().signal;
    const answer = await createUpstreamLog(log)("POST", "/log", { body: async () => encode(body), signal });
    assert.deepEqual(answer, { status: 200, body: "" });
    assert.deepEqual(lines, ['cni-plugin/info cmdAdd {"pod":"web"}', "cni-plugin/error failed {}"]);
  });

  test("says 200 to what it cannot read, and says so in the log", async () => {
    const { log, lines } = createScene();
    const signal = new AbortController().signal;
    const answer = await createUpstreamLog(log)("POST", "/log", { body: async () => encode("{"), signal });
    assert.equal(answer.status, 200);
    assert.match(lines.join(), /^warn Cannot read the log lines/);
  });
});
