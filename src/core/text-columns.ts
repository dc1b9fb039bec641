// Text for a terminal: columns that line up, colours that do not disturb them, and nothing a pod's author wrote that the
// terminal would obey.

export type Colour = "green" | "yellow" | "red" | "bold";

/** A cell that may be coloured; a plain text is not. */
export type Cell = string | { readonly text: string; readonly colour: Colour };

const CODES: Readonly<Record<Colour, number>> = { green: 32, yellow: 33, red: 31, bold: 1 };
const GAP = "  ";

/** Control characters, and those that nobody sees, that turn the direction of writing or make lines. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** They become visible escapes. */
export function printable(text: string): string {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u{${code.toString(16)}}`;
  });
}

/** The same in the escapes of JSON, each UTF-16 unit for itself. */
export function escapeUnseen(text: string): string {
  return text.replace(UNSEEN, (character) =>
    character
      .split("")
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

/** Indented JSON, ends with a line break. What JSON leaves as it is and a terminal would obey is escaped, as JSON allows. */
export function renderJson(document: object): string {
  const lines = JSON.stringify(document, null, 2).split("\n").map(escapeUnseen);
  return `${lines.join("\n")}\n`;
}

export function paint(cell: Cell, hasColours: boolean): string {
  if (typeof cell === "string") return printable(cell);
  const text = printable(cell.text);
  return hasColours ? `\u001b[${CODES[cell.colour]}m${text}\u001b[0m` : text;
}

/** One line per row, columns as wide as their widest cell; the last column is not filled up. */
export function renderColumns(rows: readonly (readonly Cell[])[], hasColours: boolean): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, widthOf(cell));
    }
  }
  const lines = rows.map((row) =>
    row
      .map((cell, column) => {
        const blanks = column === row.length - 1 ? 0 : (widths[column] ?? 0) - widthOf(cell);
        return paint(cell, hasColours) + " ".repeat(blanks);
      })
      .join(GAP)
      .trimEnd(),
  );
  return lines.map((line) => `${line}\n`).join("");
}

/** "3s", "12m", "5h", "2d": the largest unit that is full. */
export function renderSpan(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return `${whole}s`;
  if (whole < 7200) return `${Math.floor(whole / 60)}m`;
  return whole < 172_800 ? `${Math.floor(whole / 3600)}h` : `${Math.floor(whole / 86_400)}d`;
}

/** How long before `at` something was; "-" for never. */
export function renderAge(then: string | null, at: string): string {
  if (then === null) return "-";
  const ms = Date.parse(at) - Date.parse(then);
  return Number.isNaN(ms) ? "?" : `${renderSpan(ms / 1000)} ago`;
}

function widthOf(cell: Cell): number {
  return [...printable(typeof cell === "string" ? cell : cell.text)].length;
}
