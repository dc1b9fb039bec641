// Addresses for pods that are only namespaces: one of each family for every pod, no two the same. Pure.

const MOST = 0xff00;

/** v4 first, without prefix length. They are of no network that the testbed's node has.
 * @throws {RangeError} for a number that is not from 0 to 65279. */
export function podAddresses(index: number): readonly [v4: string, v6: string] {
  if (!Number.isInteger(index) || index < 0 || index >= MOST)
    throw new RangeError(`Cannot make addresses for pod ${index}: 0 to ${MOST - 1} are accepted`);
  // 10.88.0.x is what pods outside ambient mode share.
  const host = index + 0x100;
  return [`10.88.${host >> 8}.${host & 0xff}`, `fd00:88::${host.toString(16)}`];
}
