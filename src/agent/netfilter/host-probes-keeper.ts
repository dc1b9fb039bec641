// Keeps the host's probe rules as they should be while the agent runs (D34): looks when the kernel tells of a change of
// nf_tables, and on a timer, because ipsets and iptables legacy make no notifications. What another program did is put right
// and told: `iptables -F`, `nft flush ruleset`, `ipset flush`, a firewall that starts again.
import { messageOf } from "../../core/error-message.ts";
import type { BackendDialect } from "../../core/policy/backend-features.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HostEnsured } from "./host-probes.ts";

export interface HostProbesKeeperDeps {
  readonly probes: {
    readonly dialect: BackendDialect;
    ensure(move: { readonly mayMove: boolean }): Promise<HostEnsured>;
  };
  /** Calls after changes of nf_tables in the node's namespace, until disposed of; undefined: nobody tells.
   * @throws where nobody can be asked to tell; then the timer has to do. */
  openMonitor?(onChange: () => void): Disposable;
  readonly clock: Clock;
  /** What is there was changed: who is in the set has to be read anew, for addresses may have been taken over from another
   * dialect's sets, of pods that are gone among them. */
  readSet(): Promise<void>;
  /** Things were not as they should be, and are now; one sentence each. */
  onRepaired(sentences: readonly string[]): void;
  /** Rules of another dialect are gone, in favour of this one's. */
  onReplaced(dialects: readonly BackendDialect[]): void;
  /** What cannot be changed from here; told when it changes, with nothing when it is over. */
  onNotes(notes: readonly string[]): void;
  /** A look, or putting things right, failed; it is tried again. Told when it changes; undefined: it succeeds again. */
  onFailure(error: unknown | undefined): void;
}

export interface HostProbesKeeperOptions {
  /** Between two looks when nothing is heard. @default 10000, with iptables legacy 30000: a look executes programs */
  readonly intervalMs?: number;
  /** Between two looks at least, whatever is heard: a node's proxy may write without end. @default 1000 */
  readonly restMs?: number;
}

/** Without a reason of ours each wake-up would make an exception with its stack. */
const WOKEN = "woken";
const LEGACY_INTERVAL_MS = 30_000;
const INTERVAL_MS = 10_000;
/** A look takes some 10 ms of the thread where 500 pods are in the sets. */
const REST_MS = 1000;
/** Another program that puts its rules before ours each time it looks would make this a duel: after each move we wait, and
 * each time for longer, before our jump is put first once more. */
const FIRST_HOLD_MS = 30_000;
const MAX_HOLD_MS = 3_600_000;
const NOT_FIRST = "rules of others stand before those for probes, again and again";

/** Keeps until the signal aborts, then resolves. What stands then stays. */
export async function keepHostProbes(
  deps: HostProbesKeeperDeps,
  options: HostProbesKeeperOptions,
  signal: AbortSignal,
): Promise<void> {
  const { probes, clock } = deps;
  const intervalMs = options.intervalMs ?? (probes.dialect === "iptables-legacy" ? LEGACY_INTERVAL_MS : INTERVAL_MS);
  const restMs = options.restMs ?? REST_MS;
  let wake = new AbortController();
  let isDue = true;
  let holdMs = FIRST_HOLD_MS;
  let movedMs: number | undefined;
  const told = { failure: "", notes: "" };
  using _monitor = openMonitor(() => {
    isDue = true;
    wake.abort(WOKEN);
  });

  while (!signal.aborted) {
    wake = new AbortController();
    isDue = false;
    await look();
    await sleep(restMs, signal);
    if (isDue || signal.aborted) continue;
    await sleep(Math.max(0, intervalMs - restMs), AbortSignal.any([signal, wake.signal]));
  }

  async function look(): Promise<void> {
    try {
      const isHeld = movedMs !== undefined && clock.nowMs() - movedMs < holdMs;
      const done = await probes.ensure({ mayMove: !isHeld });
      if (done.changed) await deps.readSet();
      if (done.isBehind) noteBehind(isHeld);
      else if (movedMs !== undefined && clock.nowMs() - movedMs > 2 * holdMs)
        [holdMs, movedMs] = [FIRST_HOLD_MS, undefined];
      if (done.repaired.length > 0) deps.onRepaired(done.repaired);
      if (done.replaced.length > 0) deps.onReplaced(done.replaced);
      tellNotes(done.isBehind && isHeld ? [...done.notes, NOT_FIRST] : done.notes);
      if (told.failure !== "") deps.onFailure(undefined);
      told.failure = "";
    } catch (error) {
      const text = messageOf(error);
      if (text !== told.failure) deps.onFailure(error);
      told.failure = text;
    }
  }

  /** Moved just now, or left where it is. */
  function noteBehind(isHeld: boolean): void {
    if (isHeld) return;
    if (movedMs !== undefined) holdMs = Math.min(2 * holdMs, MAX_HOLD_MS);
    movedMs = clock.nowMs();
  }

  function tellNotes(notes: readonly string[]): void {
    const text = notes.join("\n");
    if (text !== told.notes) deps.onNotes(notes);
    told.notes = text;
  }

  function openMonitor(onChange: () => void): Disposable | undefined {
    try {
      return deps.openMonitor?.(onChange);
    } catch (error) {
      deps.onFailure(error);
      return undefined;
    }
  }

  async function sleep(ms: number, until: AbortSignal): Promise<void> {
    await clock.sleep(ms, until).catch((error: unknown) => {
      if (!until.aborted) throw error;
    });
  }
}
