// Where a link into one of our documents may point: the headings' anchors, as GitHub and the site make them.

const FENCED = /^(```|~~~).*?^\1/gms;

/** One anchor for each heading of a Markdown text; a second heading of the same words gets -1, and so on. */
export function headingAnchors(markdown: string): readonly string[] {
  const seen = new Map<string, number>();
  return [...markdown.replaceAll(FENCED, "").matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) => {
    const anchor = anchorOf(heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1"));
    const times = seen.get(anchor) ?? 0;
    seen.set(anchor, times + 1);
    return times === 0 ? anchor : `${anchor}-${times}`;
  });
}

/** The anchor of a heading's words, before it is made the only one of its page. */
export function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");
}
