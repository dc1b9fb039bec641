import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type ConfFile, chooseConflist } from "./choose-conflist.ts";
import { isConfFileName, parseConf } from "./conflist.ts";
import { type DesiredInstall, decideInstall, type InstallDecision } from "./decide-install.ts";
import { decideRemoval } from "./decide-removal.ts";
import { hasOurEntry } from "./edit-conflist.ts";
import { BACKUP_SUFFIX, type HostView, type InstallStep } from "./host-view.ts";
import type { PluginEntry } from "./plugin-entry.ts";

const ENTRY: PluginEntry = { exclude_namespaces: null, type: "istio-cni" };
const OURS = JSON.stringify(ENTRY);
const LIST = '{"name":"n","plugins":[{"type":"p"}]}';
const CHAINED = `{"name":"n","plugins":[{"type":"p"},${OURS}]}`;
const SINGLE = '{"cniVersion":"0.3.1","name":"n","type":"p"}';
const DESIRED: DesiredInstall = {
  entry: ENTRY,
  mode: "chained",
  confName: undefined,
  ownedName: "02-istio-cni.conflist",
  settleMs: 2000,
};
const OPTIONS = { ownedName: DESIRED.ownedName };

/** A host of names and texts; `unchangedMs` is the same for all files. */
class Host {
  readonly files = new Map<string, string>();
  hasPlugin = false;
  unchangedMs = 10_000;

  constructor(files: Record<string, string> = {}) {
    for (const [name, text] of Object.entries(files)) this.files.set(name, text);
  }

  view(): HostView {
    const encoder = new TextEncoder();
    const files: ConfFile[] = [];
    const backups = new Map<string, Uint8Array>();
    for (const [name, text] of this.files) {
      const bytes = encoder.encode(text);
      if (isConfFileName(name)) files.push({ name, content: { bytes }, unchangedMs: this.unchangedMs });
      if (name.endsWith(BACKUP_SUFFIX)) backups.set(name, bytes);
    }
    const plugin = this.hasPlugin ? "current" : "absent";
    return {
      pluginUnavailable: undefined,
      netDir: { path: "/net.d", files, backups },
      binDirs: [{ path: "/bin", plugin }],
    };
  }

  apply(step: InstallStep): void {
    const decoder = new TextDecoder();
    if ("dir" in step) this.hasPlugin = step.kind === "copy-plugin";
    else {
      assert.equal(this.files.get(step.name), step.expected === undefined ? undefined : decoder.decode(step.expected));
      if (step.kind === "write-conf") this.files.set(step.name, decoder.decode(step.bytes));
      else this.files.delete(step.name);
    }
  }

  /** One pass after another until nothing is to be done. */
  settle(desired: DesiredInstall = DESIRED): InstallDecision {
    for (let pass = 0; pass < 5; pass++) {
      const decision = decideInstall(this.view(), desired);
      if (decision.steps.length === 0) return decision;
      for (const step of decision.steps) this.apply(step);
    }
    throw new Error("still changing after 5 passes");
  }

  remove(): void {
    for (const step of decideRemoval(this.view(), OPTIONS)) this.apply(step);
  }

  contents(): Record<string, string> {
    return Object.fromEntries(this.files);
  }

  /** What a runtime that skips invalid files (CRI-O) runs; undefined when there is none. */
  inUse(): { readonly name: string; readonly hasUs: boolean } | undefined {
    const netDir = this.view().netDir;
    assert.ok("files" in netDir);
    const { chosen } = chooseConflist(netDir.files, {});
    return chosen && { name: chosen.name, hasUs: hasOurEntry(chosen.conf) };
  }

  namesPlugin(): boolean {
    return [...this.files].some(([name, text]) => {
      const conf = isConfFileName(name) ? parseConf(name, new TextEncoder().encode(text)) : undefined;
      return conf !== undefined && conf.kind !== "invalid" && hasOurEntry(conf);
    });
  }
}

describe("decideInstall()", () => {
  it("copies the plugin first and changes the conflist last", () => {
    const decision = decideInstall(new Host({ "10-x.conflist": LIST }).view(), DESIRED);
    assert.equal(decision.state, "changing");
    assert.deepEqual(
      decision.steps.map(({ kind }) => kind),
      ["copy-plugin", "write-conf"],
    );
  });

  it("has nothing to do the second time", () => {
    const host = new Host({ "10-x.conflist": LIST });
    const { state, reason, confName } = host.settle();
    assert.deepEqual([state, reason, confName], ["installed", "10-x.conflist runs our plugin", "10-x.conflist"]);
    assert.deepEqual(host.contents(), { "10-x.conflist": CHAINED });
  });

  it("waits for a primary CNI, with the plugin in place", () => {
    const host = new Host({ "10-x.conflist": "" });
    const { state, reason } = host.settle();
    assert.deepEqual(
      [state, reason],
      ["waiting", "no valid CNI configuration is in /net.d yet (10-x.conflist: it is empty)"],
    );
    assert.equal(host.hasPlugin, true);
  });

  it("follows a file of higher priority that appears later, and keeps our object in the one before (D4)", () => {
    const host = new Host({ "10-x.conflist": LIST });
    host.settle();
    host.files.set("05-y.conflist", LIST);
    assert.equal(host.settle().confName, "05-y.conflist");
    assert.deepEqual(host.contents(), { "10-x.conflist": CHAINED, "05-y.conflist": CHAINED });
  });

  it("brings our object up to date in every file that has it", () => {
    const host = new Host({
      "05-y.conflist": LIST,
      "10-x.conflist": '{"name":"n","plugins":[{"type":"p"},{"type":"istio-cni","old":1}]}',
    });
    host.settle();
    assert.equal(host.files.get("10-x.conflist"), CHAINED);
  });

  it("does not touch a lower file while a higher one may still be in the making, and does when it stays invalid", () => {
    const host = new Host({ "05-y.conflist": '{"name":', "10-x.conflist": LIST });
    host.unchangedMs = 500;
    const { state, recheckMs } = host.settle();
    assert.deepEqual([state, recheckMs, host.files.get("10-x.conflist")], ["waiting", 1500, LIST]);
    host.unchangedMs = 2000;
    assert.equal(host.settle().confName, "10-x.conflist");
  });

  it("is blocked by a file that only the runtime can read", () => {
    const view = new Host({ "10-x.conflist": LIST }).view();
    assert.ok("files" in view.netDir);
    const unreadable: ConfFile = {
      name: "05-y.conflist",
      content: { unreadable: "it is a symlink" },
      unchangedMs: 10_000,
    };
    const decision = decideInstall(
      { ...view, netDir: { ...view.netDir, files: [...view.netDir.files, unreadable] } },
      DESIRED,
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
    const view = new Host({ "10-x.conflist": LIST }).view();
    assert.ok("files" in view.netDir);
    for (const [unchangedMs, state] of [
      [10_000, "changing"],
      [100, "waiting"],
    ] as const) {
      const dangling: ConfFile = { name: "05-y.conflist", content: { unusable: "it leads nowhere" }, unchangedMs };
      const netDir: HostView["netDir"] = { ...view.netDir, files: [...view.netDir.files, dangling] };
      assert.equal(decideInstall({ ...view, netDir }, DESIRED).state, state);
    }
  });

  it("touches no conflist while one of the plugin folders cannot be written", () => {
    const view = {
      ...new Host({ "10-x.conflist": LIST }).view(),
      binDirs: [
        { path: "/a", plugin: "absent" as const },
        { path: "/b", unavailable: "/b is gone" },
      ],
    };
    const decision = decideInstall(view, DESIRED);
    assert.deepEqual(
      [decision.state, decision.reason, decision.steps],
      ["blocked", "/b is gone", [{ kind: "copy-plugin", dir: "/a" }]],
    );
  });

  it("does nothing without the plugin it should install", () => {
    const view = {
      ...new Host({ "10-x.conflist": LIST }).view(),
      pluginUnavailable: "/opt/cni/bin/istio-cni is missing",
    };
    assert.deepEqual(decideInstall(view, DESIRED).steps, []);
  });

  it("makes a list of a single configuration and keeps the original", () => {
    const host = new Host({ "10-x.conf": SINGLE });
    assert.equal(host.settle().confName, "10-x.conflist");
    assert.deepEqual([...host.files.keys()], [`10-x.conf${BACKUP_SUFFIX}`, "10-x.conflist"]);
    assert.equal(host.files.get(`10-x.conf${BACKUP_SUFFIX}`), SINGLE);
  });

  it("converts again when the single configuration's owner writes it again", () => {
    const host = new Host({ "10-x.conf": SINGLE });
    host.settle();
    const rewritten = SINGLE.replace("0.3.1", "0.4.0").replace('"p"', '"q"');
    host.files.set("10-x.conf", rewritten);
    host.settle();
    assert.deepEqual([host.files.has("10-x.conf"), host.files.get(`10-x.conf${BACKUP_SUFFIX}`)], [false, rewritten]);
    assert.match(host.files.get("10-x.conflist") ?? "", /"q"/);
    host.remove();
    assert.deepEqual(host.contents(), { "10-x.conf": rewritten });
  });

  it("converts again wherever an agent was cut off while it did, and gives that back", () => {
    const rewritten = SINGLE.replace('"p"', '"q"');
    const begin = (): Host => {
      const host = new Host({ "10-x.conf": SINGLE });
      host.settle();
      host.files.set("10-x.conf", rewritten);
      return host;
    };
    const { steps } = decideInstall(begin().view(), DESIRED);
    for (let done = 0; done <= steps.length; done++) {
      const host = begin();
      for (const step of steps.slice(0, done)) host.apply(step);
      const left = new Host(host.contents());
      left.hasPlugin = true;
      left.remove();
      assert.deepEqual(left.contents(), { "10-x.conf": rewritten }, `removed after ${done} steps`);
      assert.equal(host.settle().state, "installed", `after ${done} steps`);
      assert.match(host.files.get("10-x.conflist") ?? "", /"q"/);
    }
  });

  it("does not overwrite somebody's list to make room for a converted configuration", () => {
    const host = new Host({ "10-x.conf": SINGLE, "10-x.conflist": LIST });
    const { state, reason } = host.settle();
    assert.deepEqual(
      [state, reason],
      ["blocked", "10-x.conf has to become 10-x.conflist, but a file of that name is there already"],
    );
    assert.deepEqual(host.contents(), { "10-x.conf": SINGLE, "10-x.conflist": LIST });
  });

  for (const [what, files, entry, reason] of [
    ["a key of the operator's spoils", { "10-x.conflist": LIST }, { cniVersion: 1 }, '"cniVersion" is no string'],
    ["a key of the operator's spoils", { "10-x.conf": SINGLE }, { prevResult: "x" }, '"prevResult" is no object'],
    [
      "its size spoils",
      { "10-x.conflist": LIST + " ".repeat((1 << 20) - LIST.length - 9) },
      {},
      "accepted are 1048576",
    ],
  ] as const) {
    it(`leaves ${Object.keys(files)[0]} as it is where ${what} it with our object in it, and says so`, () => {
      const host = new Host(files);
      const decision = host.settle({ ...DESIRED, entry: { ...ENTRY, ...entry } });
      assert.equal(decision.state, "blocked");
      assert.ok(decision.reason.includes(reason), decision.reason);
      assert.deepEqual([host.contents(), host.hasPlugin], [files, true]);
    });
  }

  it("chains into the file that is configured by name and warns when the runtime takes another", () => {
    const host = new Host({ "00-multus.conf": SINGLE, "10-x.conflist": LIST });
    const decision = host.settle({ ...DESIRED, confName: "10-x.conflist" });
    assert.deepEqual(
      [decision.state, host.files.get("10-x.conflist"), host.files.get("00-multus.conf")],
      ["installed", CHAINED, SINGLE],
    );
    assert.match(decision.warnings.join(), /takes 00-multus\.conf before 10-x\.conflist/);
  });

  it("derives our own file from the primary one, content and all, and again when that changes (D6)", () => {
    const owned = { ...DESIRED, mode: "owned" as const };
    const host = new Host({ "10-x.conflist": CHAINED });
    assert.equal(host.settle(owned).confName, "02-istio-cni.conflist");
    assert.deepEqual(host.contents(), { "10-x.conflist": LIST, "02-istio-cni.conflist": CHAINED });
    host.files.set("10-x.conflist", LIST.replace('"p"', '"p","mtu":9000'));
    host.settle(owned);
    assert.match(host.files.get("02-istio-cni.conflist") ?? "", /"mtu":9000/);
    host.files.delete("10-x.conflist");
    assert.equal(host.settle(owned).state, "waiting");
    assert.ok(host.files.has("02-istio-cni.conflist"));
  });

  it("is chained into a file that comes before our own, says so, and goes back to our own when that is gone", () => {
    const owned = { ...DESIRED, mode: "owned" as const };
    const host = new Host({ "10-x.conflist": LIST });
    host.settle(owned);
    host.files.set("00-x.conflist", LIST);
    const { state, confName, warnings } = host.settle(owned);
    assert.deepEqual([state, confName], ["installed", "00-x.conflist"]);
    assert.match(warnings.join(), /takes 00-x\.conflist before our own 02-istio-cni\.conflist/);
    assert.deepEqual(host.contents(), { "10-x.conflist": LIST, "00-x.conflist": CHAINED });
    host.files.delete("00-x.conflist");
    assert.equal(host.settle(owned).confName, "02-istio-cni.conflist");
    assert.deepEqual(host.contents(), { "10-x.conflist": LIST, "02-istio-cni.conflist": CHAINED });
  });

  it("goes from one mode to another and leaves nothing of the first", () => {
    const host = new Host({ "10-x.conflist": LIST });
    host.settle({ ...DESIRED, mode: "owned" });
    host.settle();
    assert.deepEqual(host.contents(), { "10-x.conflist": CHAINED });
    host.settle({ ...DESIRED, mode: "standalone" });
    assert.deepEqual([...host.files.keys()], ["10-x.conflist", "YYY-istio-cni.conf"]);
    assert.equal(host.files.get("10-x.conflist"), LIST);
    host.settle();
    assert.deepEqual(host.contents(), { "10-x.conflist": CHAINED });
  });

  it("never waits as a file of its own", () => {
    const host = new Host();
    assert.equal(host.settle({ ...DESIRED, mode: "standalone", confName: "50-istio.conf" }).state, "installed");
    assert.match(host.files.get("50-istio.conf") ?? "", /"cniVersion": "0\.3\.1"/);
  });

  it("does not overwrite another network's configuration as a file of its own", () => {
    const host = new Host({ "10-x.conf": SINGLE });
    const { state, reason } = host.settle({ ...DESIRED, mode: "standalone", confName: "10-x.conf" });
    assert.equal(state, "blocked");
    assert.match(reason, /^10-x\.conf is another network's configuration/);
    assert.equal(host.files.get("10-x.conf"), SINGLE);
  });

  it("tells why it waits beside the only file, which has the name of its own copy", () => {
    const host = new Host({ "02-istio-cni.conflist": LIST });
    const { state, reason } = host.settle({ ...DESIRED, mode: "owned" });
    assert.equal(state, "waiting");
    assert.match(reason, /02-istio-cni\.conflist: it has the name of our own copy/);
    assert.equal(host.files.get("02-istio-cni.conflist"), LIST);
  });
});

describe("decideRemoval()", () => {
  const cases: Record<string, Record<string, string>> = {
    "one list": { "10-x.conflist": LIST },
    "two lists": { "05-y.conflist": LIST, "10-x.conflist": LIST },
    "a single configuration": { "10-x.conf": SINGLE, "99-z.conflist": LIST },
    "a json file": { "10-x.json": SINGLE },
    "invalid files": { "10-x.conflist": LIST, "20-y.conflist": "{" },
  };
  for (const [what, files] of Object.entries(cases)) {
    for (const mode of ["chained", "owned", "standalone"] as const) {
      it(`gives ${what} back to the byte after the ${mode} mode`, () => {
        const host = new Host(files);
        host.settle({ ...DESIRED, mode });
        host.remove();
        assert.deepEqual(host.contents(), files);
        assert.equal(host.hasPlugin, false);
      });
    }
  }

  it("keeps what somebody changed in a converted list since", () => {
    const host = new Host({ "10-x.conf": SINGLE });
    host.settle();
    host.files.set("10-x.conflist", (host.files.get("10-x.conflist") ?? "").replace('"0.3.1"', '"1.0.0"'));
    host.remove();
    assert.deepEqual([...host.files.keys()], ["10-x.conflist"]);
    assert.doesNotMatch(host.files.get("10-x.conflist") ?? "", /istio-cni/);
  });

  it("never deletes the primary CNI's own list, whatever the owned mode was said to be (D3)", () => {
    const host = new Host({ "10-x.conflist": LIST });
    host.settle({ ...DESIRED, ownedName: "10-x.conflist.other" });
    host.remove();
    assert.deepEqual(host.contents(), { "10-x.conflist": LIST });
  });
});

describe("install and removal, in any order of events", () => {
  const names = ["05-a.conflist", "10-b.conf", "10-b.conflist", "20-c.json"];
  const event = fc.oneof(
    fc.record({
      kind: fc.constant("write" as const),
      name: fc.constantFrom(...names),
      version: fc.nat(2),
      isBroken: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("delete" as const), name: fc.constantFrom(...names) }),
    fc.record({ kind: fc.constant("pass" as const), steps: fc.nat(5) }),
    fc.record({ kind: fc.constant("remove" as const), steps: fc.nat(6) }),
  );

  it("never leaves a file naming a missing plugin, ends captured, and is removed to the last trace", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 12 }), (events) => {
        const host = new Host();
        const run = (steps: readonly InstallStep[]): void => {
          for (const step of steps) {
            const before = host.inUse();
            host.apply(step);
            assert.ok(host.hasPlugin || !host.namesPlugin(), "a file names the plugin, which is missing");
            assert.ok(before === undefined || host.inUse() !== undefined, "the runtime has lost its configuration");
          }
        };
        for (const happened of events) {
          if (happened.kind === "write") {
            const isList = happened.name.endsWith(".conflist");
            const text = isList
              ? LIST.replace('"p"', `"p${happened.version}"`)
              : SINGLE.replace('"p"', `"p${happened.version}"`);
            host.files.set(happened.name, happened.isBroken ? text.slice(0, 9) : text);
          } else if (happened.kind === "delete") host.files.delete(happened.name);
          else if (happened.kind === "pass") run(decideInstall(host.view(), DESIRED).steps.slice(0, happened.steps));
          else run(decideRemoval(host.view(), OPTIONS).slice(0, happened.steps));
        }
        const { state } = host.settle();
        const used = host.inUse();
        if (state === "installed") assert.equal(used?.hasUs, true);
        if (state === "waiting") assert.equal(used, undefined);
        run(decideRemoval(host.view(), OPTIONS));
        assert.equal(host.namesPlugin(), false);
        assert.equal(host.hasPlugin, false);
        assert.equal(
          [...host.files.keys()].some((name) => name.endsWith(BACKUP_SUFFIX)),
          false,
        );
        assert.equal(host.inUse() !== undefined, used !== undefined);
      }),
      { numRuns: 2000 },
    );
  });
});
