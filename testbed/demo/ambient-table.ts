// The result of the ambient act as a table for people, and the verdict on it.
import { renderColumns, type TableColumn } from "./columns.ts";
import type { Paint } from "./steps.ts";

/** One connection that was tried. */
export interface AmbientConnection {
  readonly direction: "inbound" | "outbound";
  readonly family: 4 | 6;
  /** The application at its end answered. */
  readonly isAnswered: boolean;
  /** The pod's ztunnel says that it carried it. */
  readonly isByZtunnel: boolean;
}

export interface AmbientRow {
  readonly name: string;
  /** `ambient.istio.io/redirection`. */
  readonly annotation: string | undefined;
  readonly rules: { readonly v4: number; readonly v6: number };
  readonly isServed: boolean;
  readonly connections: readonly AmbientConnection[];
  readonly isExpectedIn: boolean;
}

const COLUMNS: readonly TableColumn[] = [
  [["", "POD"], 15, "left"],
  [["ANNOTATED", "AS"], 9, "left"],
  [["RULES", "v4"], 5, "right"],
  [["", "v6"], 3, "right"],
  [["ZTUNNEL", "HAS IT"], 7, "left"],
  [["INBOUND BY", "ZTUNNEL v4 v6"], 13, "left"],
  [["OUTBOUND BY", "ZTUNNEL v4 v6"], 13, "left"],
];

export function renderAmbientTable(rows: readonly AmbientRow[], paint: Paint): string {
  return renderColumns(
    COLUMNS,
    rows.map((row) => ({
      cells: [
        row.name,
        row.annotation ?? "–",
        ...[row.rules.v4, row.rules.v6].map((count) => (count === 0 ? "–" : String(count))),
        row.isServed ? "yes" : "no",
        renderCarried(row, "inbound"),
        renderCarried(row, "outbound"),
      ],
      paint: findAmbientSurprises([row]).length > 0 ? paint.bad : row.isExpectedIn ? paint.good : undefined,
    })),
    paint,
  );
}

/** What is not as expected, one sentence each; empty when all is well. */
export function findAmbientSurprises(rows: readonly AmbientRow[]): readonly string[] {
  return rows.flatMap(({ name, annotation, rules, isServed, connections, isExpectedIn }) => {
    const found: string[] = [];
    if (annotation !== (isExpectedIn ? "enabled" : undefined))
      found.push(`${name}: annotated as ${annotation ?? "nothing"}`);
    const isRedirected = isExpectedIn ? rules.v4 > 0 && rules.v6 > 0 : rules.v4 + rules.v6 > 0;
    if (isRedirected !== isExpectedIn) found.push(`${name}: has ${rules.v4} and ${rules.v6} rules`);
    if (isServed !== isExpectedIn) found.push(`${name}: ztunnel ${isServed ? "has" : "does not have"} it`);
    if (connections.length < 4) found.push(`${name}: only ${connections.length} connections could be tried`);
    for (const { direction, family, isAnswered, isByZtunnel } of connections) {
      if (!isAnswered) found.push(`${name}: the ${direction} connection over IPv${family} was not answered`);
      if (isByZtunnel !== isExpectedIn)
        found.push(`${name}: ${direction} over IPv${family} ${isByZtunnel ? "went" : "did not go"} by ztunnel`);
    }
    return found;
  });
}

function renderCarried({ connections }: AmbientRow, direction: AmbientConnection["direction"]): string {
  return [4, 6]
    .map((family) => {
      const seen = connections.find((tried) => tried.family === family && tried.direction === direction);
      return (seen === undefined ? "–" : seen.isByZtunnel ? "yes" : "no").padEnd(4);
    })
    .join("")
    .trimEnd();
}
