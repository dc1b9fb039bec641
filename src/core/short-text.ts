// Texts that somebody else wrote, made short enough for a sentence of ours.

/** The text, or its beginning and "…" where it has more than `maxLength` UTF-16 units. */
export function cutText(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength)}…`;
}

/** The same in double quotes and on one line, as JSON writes it. */
export function quoteText(text: string, maxLength = 80): string {
  return JSON.stringify(cutText(text, maxLength));
}
