/** Mutations of text: lines and words exchanged, left out, doubled; a word made very long, emptied or made a number. */
import { bytesOf, type Mutation, type Mutator, textOf } from "./fuzz-target.ts";
import { mutateBytes } from "./mutate-bytes.ts";

const WORDS = /[A-Za-z0-9_]+|[^A-Za-z0-9_]/g;
const NUMBERS = [
  "0",
  "-1",
  "1",
  "255",
  "256",
  "65535",
  "65536",
  "4294967295",
  "4294967296",
  "9007199254740993",
  "1e9",
  "0x1f",
  "08",
];
const ODD = [
  "",
  " ",
  "\t",
  "\r",
  "\n",
  "\0",
  "\ufeff",
  "\u2028",
  "é",
  "😀",
  "\ud800",
  "__proto__",
  "constructor",
  "toString",
];

/** Half of the time the bytes are changed without regard to the text. */
export const mutateText: Mutator = (input, mutation) => {
  if (mutation.below(2) === 0) return mutateBytes(input, mutation);
  let text = textOf(input);
  for (let left = 1 + mutation.below(3); left > 0; left--) {
    text = mutation.below(3) === 0 ? changeLines(text, mutation) : changeWord(text, mutation);
  }
  return bytesOf(text);
};

function changeLines(text: string, { below, other }: Mutation): string {
  const lines = text.split("\n");
  const at = below(lines.length);
  const line = lines[at] ?? "";
  switch (below(6)) {
    case 0:
      return lines.toSpliced(at, 1).join("\n");
    case 1:
      return lines.toSpliced(below(lines.length + 1), 0, line).join("\n");
    case 2:
      return lines.toSpliced(at, 1, `${" ".repeat(below(12))}${line.trimStart()}`).join("\n");
    case 3: {
      const foreign = textOf(other()).split("\n");
      return lines.toSpliced(at, below(2), foreign[below(foreign.length)] ?? "").join("\n");
    }
    case 4:
      return lines.toSpliced(at, 2, line + (lines[at + 1] ?? "")).join("\n");
    default:
      return lines.toSpliced(at, 0, ...new Array<string>(1 << below(below(16) === 0 ? 11 : 3)).fill(line)).join("\n");
  }
}

function changeWord(text: string, mutation: Mutation): string {
  const { below } = mutation;
  const words = text.slice(0, 65536).match(WORDS) ?? [""];
  const at = below(words.length);
  const word = words[at] ?? "";
  const kinds = [
    () => textOf(mutation.word()),
    () => textOf(mutation.word()),
    () => NUMBERS[below(NUMBERS.length)] ?? "",
    () => ODD[below(ODD.length)] ?? "",
    () => word.repeat(1 << below(below(16) === 0 ? 15 : 4)),
    () => word + (words[below(words.length)] ?? ""),
    () => words[below(words.length)] ?? "",
    () => word.toUpperCase(),
  ];
  return words.toSpliced(at, 1, (kinds[below(kinds.length)] ?? String)()).join("");
}
