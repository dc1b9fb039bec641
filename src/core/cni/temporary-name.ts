/**
 * What a file of ours is called while it is written, beside the file it is to replace: by that, leftovers of a write that was
 * cut short are found. No runtime loads a file with such an ending.
 */

export const TEMPORARY_MARK = ".istio-cni-tmp.";
const RANDOM = /^[0-9a-f]{12}$/;

/** @param random twelve hexadecimal digits */
export function temporaryName(name: string, random: string): string {
  return `${name}${TEMPORARY_MARK}${random}`;
}

/** The file that was to be replaced; undefined: it is no temporary name of ours. */
export function nameBehind(temporary: string): string | undefined {
  const at = temporary.lastIndexOf(TEMPORARY_MARK);
  return at >= 0 && RANDOM.test(temporary.slice(at + TEMPORARY_MARK.length)) ? temporary.slice(0, at) : undefined;
}
