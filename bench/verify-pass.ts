// How long a pass of verification took, told by when each pod was looked at last. Pure.

export interface VerifyPass {
  /** When its last pod was looked at, by the agent's clock. */
  readonly endedMs: number;
  /** From its first pod to its last. */
  readonly tookMs: number;
}

/** The pass that all these times (RFC 3339; null: never looked at) belong to. Undefined when they belong to more than one,
 * some before `sinceMs` or further apart than `mostMs`: a pass is under way, or nobody has looked since.
 * @throws {TypeError} when a time is none. */
export function describePass(
  verifiedAt: readonly (string | null)[],
  { sinceMs, mostMs }: { readonly sinceMs: number; readonly mostMs: number },
): VerifyPass | undefined {
  const times = verifiedAt.map((time) => (time === null ? Number.NEGATIVE_INFINITY : Date.parse(time)));
  const bad = times.findIndex(Number.isNaN);
  if (bad >= 0) throw new TypeError(`Cannot read when a pod was verified: ${verifiedAt[bad]} is no time`);
  if (times.length === 0) return undefined;
  const beganMs = times.reduce((least, time) => Math.min(least, time));
  const endedMs = times.reduce((most, time) => Math.max(most, time));
  const tookMs = endedMs - beganMs;
  return beganMs < sinceMs || tookMs > mostMs ? undefined : { endedMs, tookMs };
}
