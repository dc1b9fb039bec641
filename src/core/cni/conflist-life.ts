/**
 * The life of our entry on a host as one machine: look, act, look again. It is told what is seen and how a change went,
 * and tells what to do next and when. It knows when somebody else keeps taking our entry out (a fight), slows down, names
 * who it is, and goes on, gives in, or moves to a file of our own, as configured. What a single view asks for is
 * decide-install.ts; looking, acting and telling people is agent/install.
 */

import { doublingDelayMs } from "../doubling-delay.ts";
import { parseConf } from "./conflist.ts";
import { type DesiredInstall, decideInstall, type InstallDecision, ownedFile } from "./decide-install.ts";
import type { HostView, InstallStep } from "./host-view.ts";
import { PLUGIN_TYPE } from "./plugin-entry.ts";
import { afterRewrite, isFight, QUIET, type RewriteThrottle, waitBeforeRewriteMs } from "./rewrite-throttle.ts";

/**
 * What to do against a writer that keeps taking our entry out. keep: put it back, ever slower. own: leave the writer's
 * file to it and write one of our own that comes first. concede: leave the file as it is for a while, and be not ready.
 */
export type FightPolicy = "keep" | "own" | "concede";

/** So long a conceded file is left alone before we try again. */
export const CONCEDED_FOR_MS = 600_000;
const RETRY_FIRST_MS = 250;
const RETRY_LONGEST_MS = 10_000;
/** Passes that change something may follow each other at once so often; then they are spaced as failures are. */
const CHANGES_AT_ONCE = 5;

export type ConflistLife = {
  /** The file our entry was last seen right in, or written to; in it a missing entry is somebody else's doing. */
  readonly seenIn: string | undefined;
  readonly throttle: RewriteThrottle;
  /** How often our entry was put back after another writer had taken it out. */
  readonly rewrites: number;
  readonly concededUntilMs: number;
  /** The policy "own" was needed: we stay in our own file. */
  readonly isOwn: boolean;
  readonly failures: number;
  readonly changes: number;
};

export const NEW_LIFE: ConflistLife = {
  seenIn: undefined,
  throttle: QUIET,
  rewrites: 0,
  concededUntilMs: Number.NEGATIVE_INFINITY,
  isOwn: false,
  failures: 0,
  changes: 0,
};

/** What comes next. act: carry out the steps, then tell `acted`. watch: look again on a change, at the latest then. pause:
 * look again then, whatever changes; `isSpread` asks for a random part, so that nodes do not act in step. */
export type NextMove =
  | { readonly kind: "act" }
  | { readonly kind: "watch"; readonly ms: number | undefined }
  | { readonly kind: "pause"; readonly ms: number; readonly isSpread: boolean };

export type Look = {
  readonly life: ConflistLife;
  readonly decision: InstallDecision;
  readonly next: NextMove;
  /** The file another writer has taken our entry out of, and who that may be. */
  readonly lost: LostEntry | undefined;
};

export type LostEntry = {
  readonly name: string;
  /** Completes "by …": what is known of the other writer. */
  readonly writer: string;
  /** What a person can do about it. */
  readonly advice: string;
};

/** A fight that a person is to be told of, once in a burst. */
export type FightNotice = LostEntry & { readonly times: number; readonly policy: FightPolicy };

/** Takes in what was seen. Never throws for any view. */
export function look(
  life: ConflistLife,
  view: HostView,
  desired: DesiredInstall,
  policy: FightPolicy,
  nowMs: number,
): Look {
  const isOwn = life.isOwn || (policy === "own" && hasOwnFile(view, desired));
  const effective: DesiredInstall = isOwn && desired.mode === "chained" ? { ...desired, mode: "owned" } : desired;
  const decision = decideInstall(view, effective);
  // Taking ourselves out of the file we leave is nobody else's doing.
  const now = { ...life, isOwn, seenIn: isOwn === life.isOwn ? life.seenIn : undefined };
  if (decision.steps.length === 0) {
    const seenIn = decision.state === "installed" ? decision.confName : now.seenIn;
    return {
      life: { ...now, seenIn, failures: 0, changes: 0 },
      decision,
      next: { kind: "watch", ms: decision.recheckMs },
      lost: undefined,
    };
  }
  const lost = findLost(now, view, decision);
  if (lost !== undefined && nowMs < life.concededUntilMs) return concede(now, decision, lost, nowMs);
  const waitMs = lost === undefined ? 0 : waitBeforeRewriteMs(life.throttle, nowMs);
  const next: NextMove = waitMs > 0 ? { kind: "pause", ms: waitMs, isSpread: false } : { kind: "act" };
  return { life: now, decision, next, lost };
}

/** Takes in how the steps of a look went: all done, another writer was faster (raced), or one failed. */
export function acted(
  { life, lost, decision }: Look,
  result: "done" | "raced" | "failed",
  policy: FightPolicy,
  nowMs: number,
): { readonly life: ConflistLife; readonly next: NextMove; readonly notice: FightNotice | undefined } {
  if (result === "failed") {
    const next = spread(life.failures);
    return { life: { ...life, failures: life.failures + 1 }, next, notice: undefined };
  }
  const atOnce: NextMove = { kind: "pause", ms: 0, isSpread: false };
  if (result === "raced" || lost === undefined) {
    const changes = life.changes + 1;
    const next = changes <= CHANGES_AT_ONCE ? atOnce : spread(changes - CHANGES_AT_ONCE);
    // Another writer may be faster than our next look: what we have written, we have seen.
    const seenIn = result === "done" ? (decision.confName ?? life.seenIn) : life.seenIn;
    return { life: { ...life, failures: 0, changes, seenIn }, next, notice: undefined };
  }
  const { state: throttle, isWarningDue } = afterRewrite(life.throttle, nowMs);
  // From here on the throttle sets the pace.
  const rewritten = { ...life, failures: 0, changes: 0, throttle, rewrites: life.rewrites + 1 };
  if (!isWarningDue) return { life: rewritten, next: atOnce, notice: undefined };
  const concededUntilMs = policy === "concede" ? nowMs + CONCEDED_FOR_MS : life.concededUntilMs;
  const isOwn = life.isOwn || policy === "own";
  const seenIn = isOwn === life.isOwn ? life.seenIn : undefined;
  return {
    life: { ...rewritten, concededUntilMs, isOwn, seenIn },
    next: atOnce,
    notice: { ...lost, times: throttle.count, policy },
  };
}

/** True while another writer is known to keep at it, or the file was left to it. */
export function isFighting(life: ConflistLife, nowMs: number): boolean {
  return isFight(life.throttle, nowMs) || nowMs < life.concededUntilMs;
}

/** The lost file stays as it is; all else, as a plugin that is missing, is still put right. */
function concede(life: ConflistLife, decision: InstallDecision, lost: LostEntry, nowMs: number): Look {
  const steps = decision.steps.filter((step) => "dir" in step);
  const conceded: InstallDecision = {
    ...decision,
    state: "blocked",
    reason: `${lost.name} is left to ${lost.writer}, which keeps taking our entry out; ${lost.advice}`,
    steps,
  };
  const next: NextMove = steps.length > 0 ? { kind: "act" } : { kind: "watch", ms: life.concededUntilMs - nowMs };
  return { life, decision: conceded, next, lost: undefined };
}

/** The file in which we had seen our entry last, if it is to be written again: another writer took the entry out. */
function findLost(life: ConflistLife, view: HostView, decision: InstallDecision): LostEntry | undefined {
  const name = life.seenIn;
  const step = decision.steps.find((candidate) => candidate.kind === "write-conf" && candidate.name === name);
  if (name === undefined || step === undefined || !("bytes" in step)) return undefined;
  return { name, ...describeWriter(view, name, step) };
}

function describeWriter(view: HostView, name: string, step: InstallStep & { bytes: Uint8Array }) {
  const conf = parseConf(name, step.bytes);
  const plugins = conf.kind === "list" ? conf.plugins : [];
  const first = plugins.find(({ type }) => type !== PLUGIN_TYPE)?.type;
  const isCilium = [first, name].some((text) => text?.includes("cilium") === true);
  const isGone = "files" in view.netDir && !view.netDir.files.some((file) => file.name === name);
  return {
    writer: first === undefined ? `the writer of ${name}` : `the writer of ${name} (${first})`,
    advice: isCilium
      ? "with Cilium, set cni.exclusive=false"
      : isGone
        ? "something removes files of others from that folder"
        : "CNI_CONFLIST_FIGHT says what to do against it",
  };
}

function hasOwnFile(view: HostView, desired: DesiredInstall): boolean {
  return "files" in view.netDir && ownedFile(view.netDir, desired) !== undefined;
}

function spread(times: number): NextMove {
  return { kind: "pause", ms: doublingDelayMs(RETRY_FIRST_MS, RETRY_LONGEST_MS, times + 1), isSpread: true };
}
