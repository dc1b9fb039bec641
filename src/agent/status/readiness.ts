/**
 * Is the agent ready, and if not, why: named conditions that services keep, and what /readyz says of them.
 * Nothing here decides a condition.
 */

/** What one service keeps up to date. */
export interface Condition {
  ready(): void;
  /** @param reason one sentence for people: what is missing, what is being done about it */
  notReady(reason: string): void;
}

export interface ConditionState {
  readonly name: string;
  readonly ready: boolean;
  /** "" when ready. */
  readonly reason: string;
}

export interface Readiness {
  /** A new condition, not ready for `reason`; a name may be used once. */
  addCondition(name: string, reason: string): Condition;
  conditions(): readonly ConditionState[];
  /** Every condition holds, and there is at least one. */
  isReady(): boolean;
  /** Body of /readyz while not ready: upstream's line, then one line per unmet condition. */
  renderUnready(): string;
}

export interface ReadinessOptions {
  /** Called when a condition begins to hold or ceases to, or is unmet for another reason. */
  onChange?(state: ConditionState): void;
}

const REASON_MAX = 1000;

export function createReadiness({ onChange }: ReadinessOptions = {}): Readiness {
  const states = new Map<string, ConditionState>();
  const change = (name: string, ready: boolean, reason: string): void => {
    const before = states.get(name);
    if (before?.ready === ready && before.reason === reason) return;
    const state = { name, ready, reason };
    states.set(name, state);
    onChange?.(state);
  };
  return {
    addCondition: (name, reason) => {
      if (states.has(name)) throw new TypeError(`Cannot add condition ${name}: there is one of that name`);
      change(name, false, oneLine(reason));
      return {
        ready: () => change(name, true, ""),
        notReady: (why) => change(name, false, oneLine(why)),
      };
    },
    conditions: () => [...states.values()],
    isReady: () => states.size > 0 && [...states.values()].every(({ ready }) => ready),
    renderUnready: () => {
      const unmet = [...states.values()].filter(({ ready }) => !ready);
      return ["Service Unavailable", ...unmet.map(({ name, reason }) => `${name}: ${reason}`), ""].join("\n");
    },
  };
}

/** Reasons carry file and pod names; they must not make lines of their own. */
function oneLine(reason: string): string {
  return reason.slice(0, REASON_MAX).replace(/[\p{Cc}\u2028\u2029]+/gu, " ");
}
