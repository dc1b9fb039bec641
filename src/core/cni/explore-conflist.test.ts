// Every order of what an agent, an uninstall and another writer do, up to a number of disturbances (DEPTH, 3 unless told).
// Between any two of them everybody may get any number of effects done, also in the middle of a pass.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chooseConflist } from "./choose-conflist.ts";
import { isConfFileName, parseConf } from "./conflist.ts";
import type { DesiredInstall } from "./decide-install.ts";
import { findUnclearNames } from "./decide-removal.ts";
import { hasOurEntry } from "./edit-conflist.ts";
import {
  bytesOf,
  convertedOf,
  disturbances,
  emptyScene,
  newProcess,
  OTHERS,
  OWNED,
  ownMoves,
  type Scene,
  seen,
  strippedOf,
  textOf,
  viewOf,
  withoutTemporary,
} from "./explore-conflist.ts";
import { BACKUP_SUFFIX } from "./host-view.ts";

const DEPTH = Number(process.env["DEPTH"] ?? 3);
const LIST = '{"name":"n","plugins":[{"type":"main"}]}';
const SINGLE = '{"cniVersion":"0.3.1","name":"n","type":"single"}';
/** No order of events takes longer to come to rest. */
const MAX_MOVES = 60;

type Mode = DesiredInstall["mode"];

function keyOf(scene: Scene): string {
  const sorted = (record: Readonly<Record<string, string>>) =>
    Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(
    { ...scene, files: sorted(scene.files), foreign: sorted(scene.foreign) },
    (_, value: unknown) => (value instanceof Uint8Array ? new TextDecoder().decode(value) : value),
  );
}

/** Everything that can come of `first`. The story of a state is how it was reached, for the message. */
function explore(first: Scene, mode: Mode, onState: (scene: Scene) => void): number {
  const visited = new Set<string>();
  let ring: { readonly scene: Scene; readonly story: readonly string[] }[] = [{ scene: first, story: [] }];
  for (let depth = 0; depth <= DEPTH; depth++) {
    const next: typeof ring = [];
    for (let item = ring.pop(); item !== undefined; item = ring.pop()) {
      const { scene, story } = item;
      const key = keyOf(scene);
      if (visited.has(key)) continue;
      visited.add(key);
      try {
        assertSound(scene);
        onState(scene);
      } catch (error) {
        throw new Error(`after: ${story.join("; ") || "nothing"}\n${JSON.stringify(scene.files)}`, { cause: error });
      }
      for (const after of ownMoves(scene, mode)) ring.push({ scene: after, story: [...story, "a move"] });
      for (const [name, after] of disturbances(scene)) next.push({ scene: after, story: [...story, name] });
    }
    ring = next;
  }
  return visited.size;
}

/** Undisturbed, in some order, until nobody has anything left to do. */
function rest(scene: Scene, mode: Mode): Scene {
  let current = scene;
  for (let moves = 0; moves < MAX_MOVES; moves++) {
    const next = ownMoves(current, mode).at(-1);
    if (next === undefined) return current;
    current = next;
  }
  throw new Error(`no rest after ${MAX_MOVES} moves: ${JSON.stringify(current)}`);
}

describe(`the conflist through every order of ${DEPTH} disturbances`, () => {
  for (const mode of ["chained", "owned", "standalone"] as const) {
    for (const [what, files] of [
      ["a list", { [OTHERS.main]: LIST }],
      ["a single configuration", { [OTHERS.single]: SINGLE }],
      ["nothing", {}],
    ] as const) {
      it(`${mode}, from ${what}: parsable, foreign bytes kept, never named without plugin, ready only with us, removed wholly`, () => {
        const states = new Map<string, number>();
        const restful = new Set<string>();
        const count = explore(emptyScene(files), mode, (scene) => {
          const alone: Scene = { ...scene, unsettled: [], isMarked: false, uninstall: undefined };
          const withAgent = rest({ ...alone, agent: scene.agent ?? newProcess(1) }, mode);
          const key = keyOf(withAgent);
          if (!restful.has(key)) {
            restful.add(key);
            assertSound(withAgent);
            const state = assertAtRest(withAgent, mode);
            states.set(state, (states.get(state) ?? 0) + 1);
          }
          assertRemoved(rest({ ...alone, agent: undefined, uninstall: newProcess(0) }, mode));
        });
        assert.ok(count > 100, `only ${count} states`);
        assert.ok(
          states.has("installed") && (mode === "standalone" || states.has("waiting")),
          [...states.keys()].join(),
        );
      });
    }
  }
});

/** What must hold at every instant. */
function assertSound(scene: Scene): void {
  for (const [name, text] of Object.entries(scene.files)) {
    if (!isConfFileName(name)) continue;
    const conf = parseConf(name, bytesOf(text));
    const isTheirs = scene.foreign[name] === text;
    assert.ok(conf.kind !== "invalid" || isTheirs, `${name} was made unusable: ${text}`);
    if (conf.kind !== "invalid" && hasOurEntry(conf)) assert.ok(scene.plugin > 0, `${name} names a missing plugin`);
    if (name !== OWNED && !name.startsWith("YYY")) assertForeign(scene, name, text);
  }
}

function assertForeign(scene: Scene, name: string, text: string): void {
  const stripped = strippedOf(name, text);
  const single =
    name === OTHERS.main
      ? (scene.foreign[OTHERS.single] ?? scene.files[`${OTHERS.single}${BACKUP_SUFFIX}`])
      : undefined;
  const wanted = [scene.foreign[name], single && convertedOf(single)];
  // A list made of a single configuration that was written anew since is made anew at the next look.
  const backup = scene.files[`${OTHERS.single}${BACKUP_SUFFIX}`];
  assert.ok([...wanted, backup && convertedOf(backup)].includes(stripped), `${name} lost or gained something: ${text}`);
}

/** What must hold when nobody has anything left to do. @returns what the agent says of it */
function assertAtRest(scene: Scene, mode: DesiredInstall["mode"]): string {
  const { agent } = scene;
  assert.ok(agent !== undefined);
  const { state } = seen(scene, agent, mode).look.decision;
  const { netDir } = viewOf(scene, agent.version);
  assert.ok("files" in netDir);
  const { chosen } = chooseConflist(netDir.files, {});
  if (state === "installed" && mode !== "standalone") {
    assert.ok(chosen !== undefined && hasOurEntry(chosen.conf), "ready, and the runtime's file is without us");
    const entry = textOf(chosen.conf.bytes);
    assert.match(
      entry,
      new RegExp(`"version": ?${agent.version}\\b`),
      `ready with the entry of another version: ${entry}`,
    );
    assert.equal(scene.plugin, agent.version);
  }
  if (state === "blocked") {
    const { [OTHERS.main]: list, [OTHERS.single]: single } = scene.foreign;
    assert.ok(list !== undefined && single !== undefined, "blocked by a file of ours");
  }
  return state;
}

/** What must be left after an uninstall that came to its end. */
function assertRemoved(scene: Scene): void {
  const unclear = findUnclearNames(viewOf(scene, 0));
  assert.deepEqual(withoutTemporary(scene.files), scene.foreign);
  assert.ok(scene.plugin === 0 || unclear.length > 0, "the plugin was left");
}
