import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Logger } from "../../core/log.ts";
import { type PluginState, parsePluginState, renderPluginState } from "../../core/plugin-protocol/state-file.ts";
import { plainDeps } from "../../platform/fs/atomic-write.ts";
import { createHostFiles } from "../../platform/fs/host-files.ts";
import { createPluginState, type PluginStateFile, type PluginStateOptions } from "./plugin-state.ts";

interface Rig extends AsyncDisposable {
  readonly path: string;
  readonly file: PluginStateFile;
  readonly warnings: readonly string[];
  /** How often the file was written. */
  writes(): number;
  /** Resolves when the service rests, having looked at everything that happened before the call. */
  rested(): Promise<void>;
  /** Lets the recheck's time pass. */
  wake(): Promise<void>;
  state(): PluginState | undefined;
  end(): Promise<void>;
}

function start(folder: string, options: Partial<PluginStateOptions> = {}): Rig {
  const path = join(folder, "plugin-state");
  const real = createHostFiles(plainDeps);
  const ending = new AbortController();
  const warnings: string[] = [];
  const log: Logger = { debug() {}, info() {}, warn: (line) => void warnings.push(line), error() {}, scope: () => log };
  let writes = 0;
  let resting: { wake(): void } | undefined;
  let onRest = Promise.withResolvers<void>();
  const file = createPluginState(
    {
      files: {
        ...real,
        async write(...args) {
          await real.write(...args);
          writes++;
        },
      },
      log,
      clock: {
        nowMs: () => 0,
        async sleep(_ms, signal) {
          signal.throwIfAborted();
          const { promise, resolve, reject } = Promise.withResolvers<void>();
          signal.addEventListener("abort", () => reject(signal.reason), { once: true });
          resting = { wake: resolve };
          onRest.resolve();
          await promise.finally(() => {
            resting = undefined;
            onRest = Promise.withResolvers();
          });
        },
      },
    },
    {
      runDir: folder,
      mode: "sidecar",
      whenAway: "enroll-later",
      excludedNamespaces: ["kube-system"],
      uid: process.getuid?.() ?? 0,
      recheckMs: 10_000,
      ...options,
    },
  );
  const running = file.run(ending.signal);
  const rested = async (): Promise<void> => {
    // A change wakes the service within this turn of the loop, if it rests at all.
    await new Promise((resolve) => setImmediate(resolve));
    if (resting === undefined) await onRest.promise;
  };
  const end = async (): Promise<void> => {
    ending.abort();
    await running;
  };
  return {
    path,
    file,
    warnings,
    writes: () => writes,
    rested,
    async wake() {
      await rested();
      resting?.wake();
      await rested();
    },
    state: () => parsePluginState(readFileSync(path)),
    end,
    [Symbol.asyncDispose]: end,
  };
}

function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "plugin-state-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

const AMBIENT = { mode: "ambient" } as const;

test("the file is there once the agent runs, for its owner only, and stays when it ends", async () => {
  using folder = temporaryFolder();
  const rig = start(folder.path);
  await rig.rested();
  const expected: PluginState = {
    mode: "sidecar",
    whenAway: "enroll-later",
    excludedNamespaces: ["kube-system"],
    enrollment: undefined,
  };
  assert.deepEqual(rig.state(), expected);
  assert.equal(statSync(rig.path).mode & 0o7777, 0o600);
  await rig.end();
  assert.deepEqual([rig.state(), readdirSync(folder.path)], [expected, ["plugin-state"]]);
});

test("it is written when its content changes and not otherwise, also over restarts", async () => {
  using folder = temporaryFolder();
  {
    await using rig = start(folder.path, AMBIENT);
    await rig.rested();
    for (let round = 0; round < 3; round++) {
      rig.file.setNamespaces(["a", "shop"], ["shop"]);
      rig.file.notePodEnrolled("a");
      await rig.rested();
    }
    await rig.wake();
    assert.equal(rig.writes(), 2);
    assert.deepEqual(rig.state()?.enrollment, { byNamespace: ["shop"], byPod: ["a"] });
  }
  await using next = start(folder.path, AMBIENT);
  await next.rested();
  assert.equal(next.writes(), 0);
});

test("a new agent's excluded namespaces take the place of its predecessor's", async () => {
  using folder = temporaryFolder();
  await using first = start(folder.path, { excludedNamespaces: ["old", "both"] });
  await first.rested();
  await first.end();
  await using second = start(folder.path, { excludedNamespaces: ["both", "new"] });
  await second.rested();
  assert.deepEqual(second.state()?.excludedNamespaces, ["both", "new"]);
});

test("what enrols is unknown until all namespaces were seen once, and remembered over restarts from then on", async () => {
  using folder = temporaryFolder();
  await using first = start(folder.path, AMBIENT);
  first.file.notePodEnrolled("lab");
  await first.rested();
  assert.equal(first.state()?.enrollment, undefined);
  first.file.setNamespaces(["shop", "lab"], ["shop"]);
  await first.rested();
  await first.end();

  await using second = start(folder.path, AMBIENT);
  await second.rested();
  assert.deepEqual(second.state()?.enrollment, { byNamespace: ["shop"], byPod: ["lab"] });
  second.file.setNamespaces(["bank", "lab"], ["bank"]);
  await second.rested();
  assert.deepEqual(second.state()?.enrollment, { byNamespace: ["bank"], byPod: ["lab"] });
  second.file.setNamespaces(["bank"], ["bank"]);
  await second.rested();
  assert.deepEqual(second.state()?.enrollment, { byNamespace: ["bank"], byPod: [] });
  await second.end();

  await using sidecar = start(folder.path);
  await sidecar.rested();
  assert.equal(sidecar.state()?.enrollment, undefined);
});

test("a predecessor's file that cannot be trusted is replaced, and nothing of it is remembered", async (context) => {
  const enrolled = renderPluginState({
    mode: "ambient",
    whenAway: "enroll-later",
    excludedNamespaces: ["everything"],
    enrollment: { byNamespace: [], byPod: [] },
  });
  const forgeries: Record<string, (path: string) => void> = {
    "cut in the middle": (path) => writeFileSync(path, enrolled.subarray(0, -10)),
    "writable for everybody": (path) => {
      writeFileSync(path, enrolled);
      chmodSync(path, 0o666);
    },
    "a symlink": (path) => {
      writeFileSync(`${path}.target`, enrolled);
      symlinkSync(`${path}.target`, path);
    },
    huge: (path) => writeFileSync(path, Buffer.concat([enrolled, Buffer.alloc(1 << 20, " ")])),
  };
  if (process.getuid?.() === 0) {
    forgeries["of another owner"] = (path) => {
      writeFileSync(path, enrolled);
      chownSync(path, 1337, 1337);
    };
  }
  for (const [name, forge] of Object.entries(forgeries)) {
    await context.test(name, async () => {
      using folder = temporaryFolder();
      forge(join(folder.path, "plugin-state"));
      await using rig = start(folder.path, AMBIENT);
      await rig.rested();
      assert.deepEqual(rig.state(), {
        mode: "ambient",
        whenAway: "enroll-later",
        excludedNamespaces: ["kube-system"],
        enrollment: undefined,
      });
      const { mode, uid } = statSync(rig.path);
      assert.deepEqual([mode & 0o7777, uid], [0o600, process.getuid?.() ?? 0]);
    });
  }
});

test("a file that somebody edits or removes is put back at the next look", async () => {
  using folder = temporaryFolder();
  await using rig = start(folder.path);
  await rig.rested();
  const content = readFileSync(rig.path);
  writeFileSync(rig.path, "{}");
  await rig.wake();
  assert.deepEqual(readFileSync(rig.path), content);
  rmSync(rig.path);
  await rig.wake();
  assert.deepEqual(readFileSync(rig.path), content);
});

test("where the file cannot be written, that is said once, and tried until it can", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "plugin-state");
  mkdirSync(path);
  await using rig = start(folder.path);
  await rig.wake();
  await rig.wake();
  assert.equal(rig.warnings.length, 1);
  assert.match(rig.warnings[0] ?? "", /^Cannot keep the plugin's state file, pods wait while the agent is away: /);
  rmdirSync(path);
  await rig.wake();
  assert.deepEqual(rig.state()?.excludedNamespaces, ["kube-system"]);
});

test("what a killed predecessor left of a write is removed, and nothing else", async () => {
  using folder = temporaryFolder();
  for (const name of ["plugin-state.istio-cni-tmp.0123456789ab", "plugin-state.bak", "plugin.sock"])
    writeFileSync(join(folder.path, name), "");
  await using rig = start(folder.path);
  await rig.rested();
  assert.deepEqual(readdirSync(folder.path).toSorted(), ["plugin-state", "plugin-state.bak", "plugin.sock"]);
});
