// The fenced blocks of a document, for the tests that run them or look at what they say.

export interface CodeBlock {
  /** "sh": run as it stands; "console": lines after `$` are commands that no test runs; "" and others: output, files. */
  readonly language: string;
  /** Of its first line, from 1. */
  readonly line: number;
  readonly text: string;
}

/** All fenced blocks, in order. @throws {Error} when the last one has no end. */
export function readCodeBlocks(markdown: string): readonly CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: { readonly language: string; readonly line: number; readonly lines: string[] } | undefined;
  markdown.split("\n").forEach((text, index) => {
    const [, language] = /^```(\w*)$/.exec(text) ?? [];
    if (open === undefined) {
      if (language !== undefined) open = { language, line: index + 2, lines: [] };
    } else if (language === "") {
      blocks.push({ language: open.language, line: open.line, text: open.lines.map((line) => `${line}\n`).join("") });
      open = undefined;
    } else open.lines.push(text);
  });
  if (open !== undefined) throw new Error(`Cannot read the document: the block of line ${open.line} has no end`);
  return blocks;
}

/** The document's shell blocks as one script, in which variables that stand at a line's beginning get other values. */
export function readScript(markdown: string, values: Readonly<Record<string, string>>): string {
  const script = readCodeBlocks(markdown)
    .filter(({ language }) => language === "sh")
    .map(({ text }) => text)
    .join("");
  return Object.entries(values).reduce((text, [name, value]) => {
    const pattern = new RegExp(`^${name}=\\S+`, "m");
    return pattern.test(text) ? text.replace(pattern, `${name}=${value}`) : text;
  }, script);
}
