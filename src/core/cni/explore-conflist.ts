/**
 * For tests: a host in memory on which an agent, an uninstall and another writer work in every order, each of their effects a
 * step of its own, so that anybody may be killed between any two. States are values; two ways to the same one are one.
 * The check of what is there and the rename that follows it count as one effect: platform/fs/atomic-write.ts takes a rename
 * back that was not onto what was expected.
 */
import type { ConfFile } from "./choose-conflist.ts";
import { isConfFileName, parseConf } from "./conflist.ts";
import { type Look, look, NEW_LIFE } from "./conflist-life.ts";
import type { DesiredInstall } from "./decide-install.ts";
import { decideRemoval, findUnclearNames } from "./decide-removal.ts";
import { toConflist, withoutOurEntry } from "./edit-conflist.ts";
import { BACKUP_SUFFIX, type HostView, type InstallStep } from "./host-view.ts";
import { TEMPORARY_MARK } from "./temporary-name.ts";

type Files = Readonly<Record<string, string>>;
type Effect = { readonly kind: "temporary"; readonly name: string } | InstallStep;

export type Scene = {
  readonly files: Files;
  /** What others last wrote, without our object: what has to be found after an uninstall. */
  readonly foreign: Files;
  /** Files that others have written just now and may not have finished. */
  readonly unsettled: readonly string[];
  /** Version of the plugin on the host; 0: none. */
  readonly plugin: number;
  readonly isMarked: boolean;
  readonly agent: Process | undefined;
  readonly uninstall: Process | undefined;
};

type Process = {
  readonly version: number;
  readonly seenIn: string | undefined;
  /** What is left to be done of what was decided last. */
  readonly queue: readonly Effect[];
  /** The queue takes us out: an agent that was told to stay away. */
  readonly isLeaving: boolean;
};

export const OTHERS = {
  high: "05-a.conflist",
  main: "10-b.conflist",
  single: "10-b.conf",
  moved: "20-c.conflist",
} as const;
export const OWNED = "02-istio-cni.conflist";

export function emptyScene(files: Files): Scene {
  const unsettled: string[] = [];
  return { files, foreign: files, unsettled, plugin: 0, isMarked: false, agent: undefined, uninstall: undefined };
}

export function desiredOf(mode: DesiredInstall["mode"], version: number): DesiredInstall {
  return { entry: { type: "istio-cni", version }, mode, confName: undefined, ownedName: OWNED, settleMs: 1 };
}

/** One that has just begun. `version`: 0 for an uninstall. */
export function newProcess(version: number): Process {
  return { version, seenIn: undefined, queue: [], isLeaving: false };
}

/** What happens by itself: somebody's next look or effect, or time that passes. */
export function ownMoves(scene: Scene, mode: DesiredInstall["mode"]): readonly Scene[] {
  const moves: Scene[] = [];
  const { agent, uninstall } = scene;
  if (scene.unsettled.length > 0) moves.push({ ...scene, unsettled: [] });
  if (agent !== undefined) moves.push(...moveAgent(scene, agent, mode));
  if (uninstall !== undefined) moves.push(moveUninstall(scene, uninstall));
  return moves;
}

function moveAgent(scene: Scene, agent: Process, mode: DesiredInstall["mode"]): readonly Scene[] {
  const [effect, ...queue] = agent.queue;
  if (effect !== undefined) {
    // Told to stay away, the agent drops what it had decided before.
    const isCalledOff = scene.isMarked && !agent.isLeaving;
    const done = isCalledOff ? undefined : carryOut(scene, effect, agent.version);
    return [
      done === undefined ? { ...scene, agent: { ...agent, queue: [] } } : { ...done, agent: { ...agent, queue } },
    ];
  }
  const decided = scene.isMarked
    ? { steps: decideRemoval(viewOf(scene, agent.version), { ownedName: OWNED }).filter((step) => !("dir" in step)) }
    : seen(scene, agent, mode);
  const next = {
    ...agent,
    isLeaving: scene.isMarked,
    seenIn: "look" in decided ? decided.look.life.seenIn : agent.seenIn,
  };
  const isSame = decided.steps.length === 0 && next.seenIn === agent.seenIn;
  return isSame ? [] : [{ ...scene, agent: { ...next, queue: decided.steps.flatMap(effectsOf) } }];
}

/** What the agent makes of what it sees now. */
export function seen(
  scene: Scene,
  agent: Process,
  mode: DesiredInstall["mode"],
): { look: Look; steps: readonly InstallStep[] } {
  const life = { ...NEW_LIFE, seenIn: agent.seenIn };
  const result = look(life, viewOf(scene, agent.version), desiredOf(mode, agent.version), "keep", 0);
  return { look: result, steps: result.decision.steps };
}

function moveUninstall(scene: Scene, uninstall: Process): Scene {
  const [effect, ...queue] = uninstall.queue;
  if (effect !== undefined) {
    const done = carryOut(scene, effect, 0);
    return { ...(done ?? scene), uninstall: { ...uninstall, queue: done === undefined ? [] : queue } };
  }
  const view = viewOf(scene, 0);
  const steps = decideRemoval(view, { ownedName: OWNED });
  const confs = steps.filter((step) => !("dir" in step));
  const next = confs.length > 0 ? confs : findUnclearNames(view).length > 0 ? [] : steps;
  return { ...scene, uninstall: next.length === 0 ? undefined : { ...uninstall, queue: next.flatMap(effectsOf) } };
}

function effectsOf(step: InstallStep): readonly Effect[] {
  if (step.kind === "write-conf") return [{ kind: "temporary", name: step.name }, step];
  return step.kind === "copy-plugin" ? [{ kind: "temporary", name: "istio-cni" }, step] : [step];
}

/** Undefined: another writer was faster. */
function carryOut(scene: Scene, effect: Effect, version: number): Scene | undefined {
  const { files } = scene;
  if (effect.kind === "temporary") return { ...scene, files: { ...files, [`${effect.name}${TEMPORARY_MARK}`]: "{" } };
  if ("dir" in effect) {
    const { [`istio-cni${TEMPORARY_MARK}`]: _, ...others } = files;
    return effect.kind === "copy-plugin" ? { ...scene, files: others, plugin: version } : { ...scene, plugin: 0 };
  }
  const { [effect.name]: found, [`${effect.name}${TEMPORARY_MARK}`]: _, ...others } = files;
  const expected = effect.expected === undefined ? undefined : textOf(effect.expected);
  if (found !== expected) return undefined;
  const { given } = effect;
  if (given !== undefined && files[given.name] !== textOf(given.bytes)) return undefined;
  return {
    ...scene,
    files: effect.kind === "write-conf" ? { ...others, [effect.name]: textOf(effect.bytes) } : others,
  };
}

/** What somebody does to the host, by name. */
export function disturbances(scene: Scene): readonly (readonly [string, Scene])[] {
  const { files } = scene;
  const all: (readonly [string, Scene | "" | undefined])[] = [
    ["another writer creates a file that comes first", write(scene, OTHERS.high, list("high"))],
    ["another writer writes its file anew", write(scene, OTHERS.main, list("main"))],
    ["another writer writes its file anew, otherwise", write(scene, OTHERS.main, list("other"))],
    ["another writer writes half of its file", write(scene, OTHERS.main, list("main").slice(0, 20))],
    ["another writer adds a key and keeps ours", amend(scene, OTHERS.main)],
    ["another writer creates a single configuration", write(scene, OTHERS.single, SINGLE)],
    ["another writer creates a single configuration, otherwise", write(scene, OTHERS.single, OTHER_SINGLE)],
    ["another writer renames its file", rename(scene, OTHERS.main, OTHERS.moved)],
    ["another writer renames its file away", rename(scene, OTHERS.main, `${OTHERS.main}.bak`)],
    ["another writer deletes its file", remove(scene, OTHERS.main)],
    ["another writer deletes the file that comes first", remove(scene, OTHERS.high)],
    ["another writer deletes its single configuration", files[OTHERS.single] && removeSingle(scene)],
    ["another writer deletes what is ours", files[OWNED] === undefined ? undefined : remove(scene, OWNED)],
    ["the agent is killed", scene.agent && { ...scene, agent: undefined }],
    ["an agent starts", scene.agent === undefined ? start(scene, 1) : undefined],
    ["the agent is upgraded", scene.agent?.version === 1 ? start(scene, 2) : undefined],
    ["an uninstall starts", scene.uninstall === undefined ? startUninstall(scene) : undefined],
    ["the uninstall is killed", scene.uninstall && { ...scene, uninstall: undefined }],
  ];
  return all.flatMap(([name, after]) => (after === undefined || after === "" ? [] : [[name, after] as const]));
}

/** An uninstall that runs while an agent starts is not taken apart here: see the test of both together. */
function start(scene: Scene, version: number): Scene | undefined {
  if (scene.uninstall !== undefined) return undefined;
  return { ...scene, isMarked: false, files: withoutTemporary(scene.files), agent: newProcess(version) };
}

function startUninstall(scene: Scene): Scene {
  const isMarked = scene.isMarked || scene.agent !== undefined;
  return { ...scene, isMarked, uninstall: newProcess(0) };
}

export function withoutTemporary(files: Files): Files {
  return Object.fromEntries(Object.entries(files).filter(([name]) => !name.endsWith(TEMPORARY_MARK)));
}

/** In every list that is made of a single configuration. */
const MADE_LIST = '"k8s-pod-network"';

const SINGLE = '{"cniVersion":"0.3.1","name":"n","type":"single"}';

const OTHER_SINGLE = SINGLE.replace('"single"', '"single","mtu":1400');

function list(type: string): string {
  return `{"name":"n","plugins":[{"type":"${type}"}]}`;
}

function write(scene: Scene, name: string, text: string): Scene {
  // Who writes the list anew that was made of a single configuration has given that up.
  const { [OTHERS.single]: _, ...withoutSingle } = scene.foreign;
  const isConverted = name === OTHERS.main && scene.files[OTHERS.single] === undefined;
  return {
    ...scene,
    files: { ...scene.files, [name]: text },
    foreign: { ...(isConverted ? withoutSingle : scene.foreign), [name]: text },
    unsettled: [...new Set([...scene.unsettled, name])].toSorted(),
  };
}

/** Reads, changes and writes back what is there, as Calico and others do. */
function amend(scene: Scene, name: string): Scene | undefined {
  const text = scene.files[name];
  if (text === undefined || !text.startsWith('{"name":"n"')) return undefined;
  const amended = write(scene, name, text.replace('{"name":"n"', '{"k":1,"name":"n"'));
  return { ...amended, foreign: { ...amended.foreign, [name]: strippedOf(name, amended.files[name] ?? "") } };
}

function rename(scene: Scene, from: string, to: string): Scene | undefined {
  const text = scene.files[from];
  if (text === undefined) return undefined;
  const gone = remove(scene, from);
  // What is kept under a name that no runtime loads, with our object in it, is that writer's own business.
  const kept = isConfFileName(to) ? strippedOf(to, text) : text;
  return { ...gone, files: { ...gone.files, [to]: text }, foreign: { ...gone.foreign, [to]: kept } };
}

function remove(scene: Scene, name: string): Scene {
  const { [name]: _file, ...files } = scene.files;
  const { [name]: _foreign, ...rest } = scene.foreign;
  // Who deletes the list that was made of a single configuration deletes that.
  const { [OTHERS.single]: single, ...foreign } = rest;
  const isConverted = name === OTHERS.main && scene.files[OTHERS.single] === undefined && single !== undefined;
  return { ...scene, files, foreign: isConverted ? foreign : rest };
}

/** Once a list made of it is there, the disk does not tell this from our own deletion: the list stays, and so does the way back. */
function removeSingle(scene: Scene): Scene {
  const isConverted = scene.files[OTHERS.main]?.includes(MADE_LIST) === true;
  const removed = remove(scene, OTHERS.single);
  const kept = scene.files[`${OTHERS.single}${BACKUP_SUFFIX}`];
  return isConverted && kept !== undefined
    ? { ...removed, foreign: { ...removed.foreign, [OTHERS.single]: kept } }
    : removed;
}

/** What an agent with this version of the plugin sees. */
export function viewOf(scene: Scene, version: number): HostView {
  const files: ConfFile[] = [];
  const backups = new Map<string, Uint8Array>();
  for (const [name, text] of Object.entries(scene.files)) {
    const unchangedMs = scene.unsettled.includes(name) ? 0 : 10;
    if (isConfFileName(name)) files.push({ name, content: { bytes: bytesOf(text) }, unchangedMs });
    if (name.endsWith(BACKUP_SUFFIX)) backups.set(name, bytesOf(text));
  }
  const plugin = scene.plugin === 0 ? "absent" : scene.plugin === version ? "current" : "stale";
  return {
    pluginUnavailable: undefined,
    netDir: { path: "/net.d", files, backups },
    binDirs: [{ path: "/bin", plugin }],
  };
}

/** A list without our object; any other text as it is. */
export function strippedOf(name: string, text: string): string {
  const conf = parseConf(name, bytesOf(text));
  return conf.kind === "list" ? textOf(withoutOurEntry(conf)) : text;
}

/** The list that is made of a single configuration, without our object. */
export function convertedOf(single: string): string {
  const conf = parseConf(OTHERS.single, bytesOf(single));
  return conf.kind === "single" ? strippedOf(OTHERS.main, textOf(toConflist(conf, { type: "istio-cni" }))) : "";
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
