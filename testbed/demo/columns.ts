// Tables of fixed columns with heads of two lines, for terminals.
import type { Paint } from "./steps.ts";

export type TableColumn = readonly [head: readonly [string, string], width: number, align: "left" | "right"];

export interface TableLine {
  readonly cells: readonly string[];
  /** Undefined: as it is. */
  readonly paint: ((text: string) => string) | undefined;
}

export function renderColumns(columns: readonly TableColumn[], lines: readonly TableLine[], paint: Paint): string {
  const render = (cells: readonly string[]): string =>
    columns
      .map(([, width, align], index) => {
        const text = cells[index] ?? "";
        return align === "left" ? text.padEnd(width) : text.padStart(width);
      })
      .join("  ")
      .trimEnd();
  const heads = [0, 1].map((line) => paint.strong(render(columns.map(([head]) => head[line] ?? ""))));
  const rule = "─".repeat(columns.reduce((sum, [, width]) => sum + width + 2, -2));
  return [
    ...heads,
    paint.faint(rule),
    ...lines.map(({ cells, paint: colour = (text) => text }) => colour(render(cells))),
  ].join("\n");
}
