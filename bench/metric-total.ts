// A number out of the agent's metrics page. Pure.

/** The sum of all samples of that name (Prometheus text format 0.0.4), or of those with a label, as `command="ADD"`; 0 where
 * there is none. @throws {TypeError} when a sample is no number. */
export function metricTotal(page: string, name: string, label = ""): number {
  let total = 0;
  for (const line of page.split("\n")) {
    if (!line.startsWith(name) || !/^[{ ]/.test(line.slice(name.length)) || !line.includes(label)) continue;
    const value = Number(line.slice(line.lastIndexOf(" ") + 1));
    if (!Number.isFinite(value))
      throw new TypeError(`Cannot read ${name}: ${JSON.stringify(line)} ends with no number`);
    total += value;
  }
  return total;
}
