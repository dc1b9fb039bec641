import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decideInstall } from "./decide-install.ts";
import { decideRemoval } from "./decide-removal.ts";
import { BACKUP_SUFFIX, type InstallStep } from "./host-view.ts";
import { SAMPLE_DESIRED, SAMPLE_LIST, SAMPLE_SINGLE, TextHost } from "./testing.ts";

describe("decideRemoval()", () => {
  const cases: Record<string, Record<string, string>> = {
    "one list": { "10-x.conflist": SAMPLE_LIST },
    "two lists": { "05-y.conflist": SAMPLE_LIST, "10-x.conflist": SAMPLE_LIST },
    "a single configuration": { "10-x.conf": SAMPLE_SINGLE, "99-z.conflist": SAMPLE_LIST },
    "a json file": { "10-x.json": SAMPLE_SINGLE },
    "invalid files": { "10-x.conflist": SAMPLE_LIST, "20-y.conflist": "{" },
  };
  for (const [what, files] of Object.entries(cases)) {
    for (const mode of ["chained", "owned", "standalone"] as const) {
      it(`gives ${what} back to the byte after the ${mode} mode`, () => {
        const host = new TextHost(files);
        host.settle({ ...SAMPLE_DESIRED, mode });
        host.remove();
        assert.deepEqual(host.contents(), files);
        assert.equal(host.hasPlugin, false);
      });
    }
  }

  it("keeps what somebody changed in a converted list since", () => {
    const host = new TextHost({ "10-x.conf": SAMPLE_SINGLE });
    host.settle();
    host.files.set("10-x.conflist", (host.files.get("10-x.conflist") ?? "").replace('"0.3.1"', '"1.0.0"'));
    host.remove();
    assert.deepEqual([...host.files.keys()], ["10-x.conflist"]);
    assert.doesNotMatch(host.files.get("10-x.conflist") ?? "", /istio-cni/);
  });

  it("never deletes the primary CNI's own list, whatever the owned mode was said to be (D3)", () => {
    const host = new TextHost({ "10-x.conflist": SAMPLE_LIST });
    host.settle({ ...SAMPLE_DESIRED, ownedName: "10-x.conflist.other" });
    host.remove();
    assert.deepEqual(host.contents(), { "10-x.conflist": SAMPLE_LIST });
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
        const host = new TextHost();
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
              ? SAMPLE_LIST.replace('"p"', `"p${happened.version}"`)
              : SAMPLE_SINGLE.replace('"p"', `"p${happened.version}"`);
            host.files.set(happened.name, happened.isBroken ? text.slice(0, 9) : text);
          } else if (happened.kind === "delete") host.files.delete(happened.name);
          else if (happened.kind === "pass")
            run(decideInstall(host.view(), SAMPLE_DESIRED).steps.slice(0, happened.steps));
          else run(decideRemoval(host.view(), SAMPLE_DESIRED).slice(0, happened.steps));
        }
        const { state } = host.settle();
        const used = host.inUse();
        if (state === "installed") assert.equal(used?.hasUs, true);
        if (state === "waiting") assert.equal(used, undefined);
        run(decideRemoval(host.view(), SAMPLE_DESIRED));
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
