// One thing at a time per network namespace: an ADD, a repair and a CHECK of the same pod never interleave, those of
// different pods do not wait for each other.
import type { NetnsId } from "../../core/netns/netns-id.ts";

/** Runs `action` when everything asked before for the same namespace is done, whatever became of it. */
export type InTurn = <T>(netnsFd: number, action: () => Promise<T>) => Promise<T>;

export function createNetnsQueue(netnsId: (netnsFd: number) => NetnsId): InTurn {
  const last = new Map<string, Promise<unknown>>();
  return (netnsFd, action) => {
    const { dev, ino } = netnsId(netnsFd);
    const key = `${dev}:${ino}`;
    const before = last.get(key);
    const mine = before === undefined ? action() : before.then(action, action);
    last.set(key, mine);
    const forget = (): void => {
      if (last.get(key) === mine) last.delete(key);
    };
    mine.then(forget, forget);
    return mine;
  };
}
