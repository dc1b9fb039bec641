// The PromQL of the alert rules and of the dashboard, for the tests that look at it.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const QUOTED_EXPRESSION = /"expr": ("(?:[^"\\]|\\.)*")/g;
const RULE_EXPRESSION = /^ +expr: (?:>-\n((?: {10}.*\n)+)|(.+)\n)/gm;

/** Every expression of a file in this folder; the dashboard's with values in place of Grafana's variables. */
export function readExpressions(file: string): readonly string[] {
  const text = readFileSync(join(import.meta.dirname, file), "utf8");
  if (!file.endsWith(".json"))
    return [...text.matchAll(RULE_EXPRESSION)].map(
      ([, folded, plain = ""]) => folded?.replaceAll(/\s+/g, " ").trim() ?? plain,
    );
  return [...text.matchAll(QUOTED_EXPRESSION)].map(([, literal = '""']) =>
    String(JSON.parse(literal)).replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*"),
  );
}
