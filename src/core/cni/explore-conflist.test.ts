// Every order of what an agent, an uninstall and another writer do, up to a number of disturbances (DEPTH, 3 unless told).
// Between any two of them everybody may get any number of effects done, also in the middle of a pass.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DesiredInstall } from "./decide-install.ts";
import {
  assertAtRest,
  assertRemoved,
  assertSound,
  disturbances,
  emptyScene,
  newProcess,
  OTHERS,
  ownMoves,
  type Scene,
} from "./explore-conflist.ts";

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
  const seen = new Set<string>();
  let ring: { readonly scene: Scene; readonly story: readonly string[] }[] = [{ scene: first, story: [] }];
  for (let depth = 0; depth <= DEPTH; depth++) {
    const next: typeof ring = [];
    for (let item = ring.pop(); item !== undefined; item = ring.pop()) {
      const { scene, story } = item;
      const key = keyOf(scene);
      if (seen.has(key)) continue;
      seen.add(key);
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
  return seen.size;
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
