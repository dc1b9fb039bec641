/**
 * The words that Go's strconv.ParseBool takes: what upstream's options and annotations take for a boolean.
 */

const TRUE_WORDS: readonly string[] = ["1", "t", "T", "TRUE", "true", "True"];
const FALSE_WORDS: readonly string[] = ["0", "f", "F", "FALSE", "false", "False"];

/** For messages. */
export const GO_BOOLEAN_ACCEPTED = "true or false (also 1, t, T, TRUE, True, 0, f, F, FALSE, False)";

/** Undefined for any other text. */
export function parseGoBoolean(text: string): boolean | undefined {
  if (TRUE_WORDS.includes(text)) return true;
  return FALSE_WORDS.includes(text) ? false : undefined;
}
