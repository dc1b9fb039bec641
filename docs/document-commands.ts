// The command lines of install-cni that a document shows, in its blocks and in its text.
import { readCodeBlocks } from "./code-blocks.ts";

export interface ShownCommand {
  readonly line: number;
  /** The words behind the program, without quotes. */
  readonly words: readonly string[];
}

const PROGRAM = /(?:^|[\s;|(])(?:\S*\/bin\/)?install-cni(?=[ \t]+[a-z-])(.*)$/;
const INLINE = /`([^`\n]+)`/g;
/** What ends a command in a shell. */
const END = /\s(?:#|\|\|?|&&|<|>)(?:\s|$)|[;)]/;

/** Every one; the agent's own start is none, nor is the name of the image or container. */
export function shownCommands(markdown: string): readonly ShownCommand[] {
  const found: ShownCommand[] = [];
  const note = (text: string, line: number): void => {
    const [, rest] = PROGRAM.exec(text) ?? [];
    const words = rest === undefined ? [] : splitWords(rest.split(END)[0] ?? "");
    if (words.length > 0) found.push({ line, words });
  };
  for (const { language, line, text } of readCodeBlocks(markdown)) {
    const rows = text.split("\n");
    // Among a command's output only what follows the prompt is one.
    for (const [index, row] of rows.entries()) if (language === "sh" || row.startsWith("$ ")) note(row, line + index);
  }
  let isFenced = false;
  markdown.split("\n").forEach((row, index) => {
    if (row.startsWith("```")) isFenced = !isFenced;
    else if (!isFenced) for (const [, code = ""] of row.matchAll(INLINE)) note(code, index + 1);
  });
  return found;
}

function splitWords(text: string): string[] {
  return [...text.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare ?? "",
  );
}
