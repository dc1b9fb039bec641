import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConfFile } from "./choose-conflist.ts";
import { decideInstall } from "./decide-install.ts";
import { BACKUP_SUFFIX, type HostView } from "./host-view.ts";
import { SAMPLE_DESIRED, SAMPLE_ENTRY, SAMPLE_LIST, SAMPLE_OBJECT, SAMPLE_SINGLE, TextHost } from "./testing.ts";

const CHAINED = `{"name":"n","plugins":[{"type":"p"},${SAMPLE_OBJECT}]}`;

describe("decideInstall()", () => {
  it("copies the plugin first and changes the conflist last", () => {
    const decision = decideInstall(new TextHost({ "10-x.conflist": SAMPLE_LIST }).view(), SAMPLE_DESIRED);
    assert.equal(decision.state, "changing");
    assert.deepEqual(
      decision.steps.map(({ kind }) => kind),
      ["copy-plugin", "write-conf"],
    );
  });

  it("has nothing to do the second time", () => {
    const host = new TextHost({ "10-x.conflist": SAMPLE_LIST });
    const { state, reason, confName } = host.settle();
    assert.deepEqual([state, reason, confName], ["installed", "10-x.conflist runs our plugin", "10-x.conflist"]);
    assert.deepEqual(host.contents(), { "10-x.conflist": CHAINED });
  });

  it("waits for a primary CNI, with the plugin in place", () => {
    const host = new TextHost({ "10-x.conflist": "" });
    const { state, reason } = host.settle();
    assert.deepEqual(
      [state, reason],
      ["waiting", "no valid CNI configuration is in /net.d yet (10-x.conflist: it is empty)"],
    );
    assert.equal(host.hasPlugin, true);
  });

  it("follows a file of higher priority that appears later, and keeps our object in the one before (D4)", () => {
    const host = new TextHost({ "10-x.conflist": SAMPLE_LIST });
    host.settle();
    host.files.set("05-y.conflist", SAMPLE_LIST);
    assert.equal(host.settle().confName, "05-y.conflist");
    assert.deepEqual(host.contents(), { "10-x.conflist": CHAINED, "05-y.conflist": CHAINED });
  });

  it("brings our object up to date in every file that has it", () => {
    const host = new TextHost({
      "05-y.conflist": SAMPLE_LIST,
      "10-x.conflist": '{"name":"n","plugins":[{"type":"p"},{"type":"istio-cni","old":1}]}',
    });
    host.settle();
    assert.equal(host.files.get("10-x.conflist"), CHAINED);
  });

  it("does not touch a lower file while a higher one may still be in the making, and does when it stays invalid", () => {
    const host = new TextHost({ "05-y.conflist": '{"name":', "10-x.conflist": SAMPLE_LIST });
    host.unchangedMs = 500;
    const { state, recheckMs } = host.settle();
    assert.deepEqual([state, recheckMs, host.files.get("10-x.conflist")], ["waiting", 1500, SAMPLE_LIST]);
    host.unchangedMs = 2000;
    assert.equal(host.settle().confName, "10-x.conflist");
  });

  it("is blocked by a file that only the runtime can read", () => {
    const view = new TextHost({ "10-x.conflist": SAMPLE_LIST }).view();
    assert.ok("files" in view.netDir);
    const unreadable: ConfFile = {
      name: "05-y.conflist",
      content: { unreadable: "it is a symlink" },
      unchangedMs: 10_000,
    };
    const decision = decideInstall(
      { ...view, netDir: { ...view.netDir, files: [...view.netDir.files, unreadable] } },
      SAMPLE_DESIRED,
    );
    assert.deepEqual(
      [decision.state, decision.reason],
      ["blocked", "the runtime may use 05-y.conflist, but it is a symlink"],
    );
    assert.deepEqual(
      decision.steps.map(({ kind }) => kind),
      ["copy-plugin", "write-conf"],
    );
  });

  it("passes by what nobody can use, as a symlink to nothing, once it has settled", () => {
    const view = new TextHost({ "10-x.conflist": SAMPLE_LIST }).view();
    assert.ok("files" in view.netDir);
    for (const [unchangedMs, state] of [
      [10_000, "changing"],
      [100, "waiting"],
    ] as const) {
      const dangling: ConfFile = { name: "05-y.conflist", content: { unusable: "it leads nowhere" }, unchangedMs };
      const netDir: HostView["netDir"] = { ...view.netDir, files: [...view.netDir.files, dangling] };
      assert.equal(decideInstall({ ...view, netDir }, SAMPLE_DESIRED).state, state);
    }
  });

  it("touches no conflist while one of the plugin folders cannot be written", () => {
    const view = {
      ...new TextHost({ "10-x.conflist": SAMPLE_LIST }).view(),
      binDirs: [
        { path: "/a", plugin: "absent" as const },
        { path: "/b", unavailable: "/b is gone" },
      ],
    };
    const decision = decideInstall(view, SAMPLE_DESIRED);
    assert.deepEqual(
      [decision.state, decision.reason, decision.steps],
      ["blocked", "/b is gone", [{ kind: "copy-plugin", dir: "/a" }]],
    );
  });

  it("does nothing without the plugin it should install", () => {
    const view = {
      ...new TextHost({ "10-x.conflist": SAMPLE_LIST }).view(),
      pluginUnavailable: "/opt/cni/bin/istio-cni is missing",
    };
    assert.deepEqual(decideInstall(view, SAMPLE_DESIRED).steps, []);
  });

  it("makes a list of a single configuration and keeps the original", () => {
    const host = new TextHost({ "10-x.conf": SAMPLE_SINGLE });
    assert.equal(host.settle().confName, "10-x.conflist");
    assert.deepEqual([...host.files.keys()], [`10-x.conf${BACKUP_SUFFIX}`, "10-x.conflist"]);
    assert.equal(host.files.get(`10-x.conf${BACKUP_SUFFIX}`), SAMPLE_SINGLE);
  });

  it("converts again when the single configuration's owner writes it again", () => {
    const host = new TextHost({ "10-x.conf": SAMPLE_SINGLE });
    host.settle();
    const rewritten = SAMPLE_SINGLE.replace("0.3.1", "0.4.0").replace('"p"', '"q"');
    host.files.set("10-x.conf", rewritten);
    host.settle();
    assert.deepEqual([host.files.has("10-x.conf"), host.files.get(`10-x.conf${BACKUP_SUFFIX}`)], [false, rewritten]);
    assert.match(host.files.get("10-x.conflist") ?? "", /"q"/);
    host.remove();
    assert.deepEqual(host.contents(), { "10-x.conf": rewritten });
  });

  it("converts again wherever an agent was cut off while it did, and gives that back", () => {
    const rewritten = SAMPLE_SINGLE.replace('"p"', '"q"');
    const begin = (): TextHost => {
      const host = new TextHost({ "10-x.conf": SAMPLE_SINGLE });
      host.settle();
      host.files.set("10-x.conf", rewritten);
      return host;
    };
    const { steps } = decideInstall(begin().view(), SAMPLE_DESIRED);
    for (let done = 0; done <= steps.length; done++) {
      const host = begin();
      for (const step of steps.slice(0, done)) host.apply(step);
      const left = new TextHost(host.contents());
      left.hasPlugin = true;
      left.remove();
      assert.deepEqual(left.contents(), { "10-x.conf": rewritten }, `removed after ${done} steps`);
      assert.equal(host.settle().state, "installed", `after ${done} steps`);
      assert.match(host.files.get("10-x.conflist") ?? "", /"q"/);
    }
  });

  it("does not overwrite somebody's list to make room for a converted configuration", () => {
    const host = new TextHost({ "10-x.conf": SAMPLE_SINGLE, "10-x.conflist": SAMPLE_LIST });
    const { state, reason } = host.settle();
    assert.deepEqual(
      [state, reason],
      ["blocked", "10-x.conf has to become 10-x.conflist, but a file of that name is there already"],
    );
    assert.deepEqual(host.contents(), { "10-x.conf": SAMPLE_SINGLE, "10-x.conflist": SAMPLE_LIST });
  });

  for (const [what, files, entry, reason] of [
    [
      "a key of the operator's spoils",
      { "10-x.conflist": SAMPLE_LIST },
      { cniVersion: 1 },
      '"cniVersion" is no string',
    ],
    [
      "a key of the operator's spoils",
      { "10-x.conf": SAMPLE_SINGLE },
      { prevResult: "x" },
      '"prevResult" is no object',
    ],
    [
      "its size spoils",
      { "10-x.conflist": SAMPLE_LIST + " ".repeat((1 << 20) - SAMPLE_LIST.length - 9) },
      {},
      "accepted are 1048576",
    ],
  ] as const) {
    it(`leaves ${Object.keys(files)[0]} as it is where ${what} it with our object in it, and says so`, () => {
      const host = new TextHost(files);
      const decision = host.settle({ ...SAMPLE_DESIRED, entry: { ...SAMPLE_ENTRY, ...entry } });
      assert.equal(decision.state, "blocked");
      assert.ok(decision.reason.includes(reason), decision.reason);
      assert.deepEqual([host.contents(), host.hasPlugin], [files, true]);
    });
  }

  it("chains into the file that is configured by name and warns when the runtime takes another", () => {
    const host = new TextHost({ "00-multus.conf": SAMPLE_SINGLE, "10-x.conflist": SAMPLE_LIST });
    const decision = host.settle({ ...SAMPLE_DESIRED, confName: "10-x.conflist" });
    assert.deepEqual(
      [decision.state, host.files.get("10-x.conflist"), host.files.get("00-multus.conf")],
      ["installed", CHAINED, SAMPLE_SINGLE],
    );
    assert.match(decision.warnings.join(), /takes 00-multus\.conf before 10-x\.conflist/);
  });

  it("derives our own file from the primary one, content and all, and again when that changes (D6)", () => {
    const owned = { ...SAMPLE_DESIRED, mode: "owned" as const };
    const host = new TextHost({ "10-x.conflist": CHAINED });
    assert.equal(host.settle(owned).confName, "02-istio-cni.conflist");
    assert.deepEqual(host.contents(), { "10-x.conflist": SAMPLE_LIST, "02-istio-cni.conflist": CHAINED });
    host.files.set("10-x.conflist", SAMPLE_LIST.replace('"p"', '"p","mtu":9000'));
    host.settle(owned);
    assert.match(host.files.get("02-istio-cni.conflist") ?? "", /"mtu":9000/);
    host.files.delete("10-x.conflist");
    assert.equal(host.settle(owned).state, "waiting");
    assert.ok(host.files.has("02-istio-cni.conflist"));
  });

  it("is chained into a file that comes before our own, says so, and goes back to our own when that is gone", () => {
    const owned = { ...SAMPLE_DESIRED, mode: "owned" as const };
    const host = new TextHost({ "10-x.conflist": SAMPLE_LIST });
    host.settle(owned);
    host.files.set("00-x.conflist", SAMPLE_LIST);
    const { state, confName, warnings } = host.settle(owned);
    assert.deepEqual([state, confName], ["installed", "00-x.conflist"]);
    assert.match(warnings.join(), /takes 00-x\.conflist before our own 02-istio-cni\.conflist/);
    assert.deepEqual(host.contents(), { "10-x.conflist": SAMPLE_LIST, "00-x.conflist": CHAINED });
    host.files.delete("00-x.conflist");
    assert.equal(host.settle(owned).confName, "02-istio-cni.conflist");
    assert.deepEqual(host.contents(), { "10-x.conflist": SAMPLE_LIST, "02-istio-cni.conflist": CHAINED });
  });

  it("goes from one mode to another and leaves nothing of the first", () => {
    const host = new TextHost({ "10-x.conflist": SAMPLE_LIST });
    host.settle({ ...SAMPLE_DESIRED, mode: "owned" });
    host.settle();
    assert.deepEqual(host.contents(), { "10-x.conflist": CHAINED });
    host.settle({ ...SAMPLE_DESIRED, mode: "standalone" });
    assert.deepEqual([...host.files.keys()], ["10-x.conflist", "YYY-istio-cni.conf"]);
    assert.equal(host.files.get("10-x.conflist"), SAMPLE_LIST);
    host.settle();
    assert.deepEqual(host.contents(), { "10-x.conflist": CHAINED });
  });

  it("never waits as a file of its own", () => {
    const host = new TextHost();
    assert.equal(host.settle({ ...SAMPLE_DESIRED, mode: "standalone", confName: "50-istio.conf" }).state, "installed");
    assert.match(host.files.get("50-istio.conf") ?? "", /"cniVersion": "0\.3\.1"/);
  });

  it("does not overwrite another network's configuration as a file of its own", () => {
    const host = new TextHost({ "10-x.conf": SAMPLE_SINGLE });
    const { state, reason } = host.settle({ ...SAMPLE_DESIRED, mode: "standalone", confName: "10-x.conf" });
    assert.equal(state, "blocked");
    assert.match(reason, /^10-x\.conf is another network's configuration/);
    assert.equal(host.files.get("10-x.conf"), SAMPLE_SINGLE);
  });

  it("tells why it waits beside the only file, which has the name of its own copy", () => {
    const host = new TextHost({ "02-istio-cni.conflist": SAMPLE_LIST });
    const { state, reason } = host.settle({ ...SAMPLE_DESIRED, mode: "owned" });
    assert.equal(state, "waiting");
    assert.match(reason, /02-istio-cni\.conflist: it has the name of our own copy/);
    assert.equal(host.files.get("02-istio-cni.conflist"), SAMPLE_LIST);
  });
});
