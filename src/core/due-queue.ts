// Pods to be looked at, each once, with the time from which on; what a kernel or a person has asked for goes first, but not for
// ever: a pod that changes its own rules without end must not keep the others from being looked at.

interface Due {
  readonly dueMs: number;
  readonly isUrgent: boolean;
}

export interface DueQueue {
  /** Asked for again: the earlier time and the greater urgency hold. */
  put(uid: string, due: Due): void;
  /** The next one that is due, to be removed then; undefined: none. Urgent ones first, and every second time one that is not. */
  next(nowMs: number): string | undefined;
  /** All that are due. */
  allDue(nowMs: number): string[];
  has(uid: string): boolean;
  remove(uid: string): void;
  /** When something becomes due; Infinity when nothing will. */
  nextDueMs(): number;
}

export function createDueQueue(): DueQueue {
  const entries = new Map<string, Due>();
  let wasUrgent = false;
  return {
    put(uid, { dueMs, isUrgent }) {
      const old = entries.get(uid);
      entries.set(uid, {
        dueMs: Math.min(dueMs, old?.dueMs ?? dueMs),
        isUrgent: isUrgent || (old?.isUrgent ?? false),
      });
    },
    next(nowMs) {
      let urgent: string | undefined;
      let other: string | undefined;
      for (const [uid, { dueMs, isUrgent }] of entries) {
        if (dueMs > nowMs) continue;
        if (isUrgent) urgent ??= uid;
        else other ??= uid;
      }
      wasUrgent = urgent !== undefined && !(wasUrgent && other !== undefined);
      return wasUrgent ? urgent : other;
    },
    allDue: (nowMs) => [...entries].flatMap(([uid, { dueMs }]) => (dueMs <= nowMs ? [uid] : [])),
    has: (uid) => entries.has(uid),
    remove: (uid) => void entries.delete(uid),
    nextDueMs: () => Math.min(...[...entries.values()].map(({ dueMs }) => dueMs)),
  };
}
