/**
 * Counters, gauges and histograms with the Prometheus text format 0.0.4. Bounded: label values beyond a metric's limit
 * of series are counted together under "other". Which metrics there are is agent-metrics.ts.
 */

/** Content type of render()'s text. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export type Labels<L extends string> = { readonly [K in L]: string };

export interface MetricDefinition<L extends string> {
  readonly name: string;
  /** One sentence; goes out as HELP. */
  readonly help: string;
  /** In the order of display; may be empty. */
  readonly labels: readonly L[];
}

export interface Counter<L extends string> {
  /** @param by not negative; anything else is ignored */
  increment(labels: Labels<L>, by?: number): void;
}

export interface Gauge<L extends string> {
  set(labels: Labels<L>, value: number): void;
  /** The series disappears. */
  remove(labels: Labels<L>): void;
}

export interface Histogram<L extends string> {
  observe(labels: Labels<L>, value: number): void;
}

export interface MetricsRegistry {
  counter<L extends string>(definition: MetricDefinition<L>): Counter<L>;
  gauge<L extends string>(definition: MetricDefinition<L>): Gauge<L>;
  /** @param buckets upper bounds, ascending, without +Inf */
  histogram<L extends string>(definition: MetricDefinition<L>, buckets: readonly number[]): Histogram<L>;
  /** A counter or gauge without labels that is read when rendered; undefined leaves it out. */
  callback(definition: CallbackDefinition, read: () => number | undefined): void;
  /** The same with labels: `read` gives all series. */
  collect<L extends string>(definition: CollectedDefinition<L>, read: () => Iterable<Sample<L>>): void;
  /** The whole exposition; metrics without a series are left out, as upstream's exporter does. */
  render(): string;
}

export interface CallbackDefinition {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
}

export interface CollectedDefinition<L extends string> extends MetricDefinition<L> {
  readonly type: "counter" | "gauge";
}

export type Sample<L extends string> = readonly [labels: Labels<L>, value: number];

const SERIES_MAX = 500;
const OVERFLOW = "other";
const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

export function createMetricsRegistry(): MetricsRegistry {
  const families = new Map<string, () => readonly string[]>();

  const register = (
    { name, help, labels }: MetricDefinition<string>,
    type: string,
    lines: () => readonly string[],
  ): void => {
    if (!METRIC_NAME.test(name) || !labels.every((label) => LABEL_NAME.test(label)) || families.has(name)) {
      throw new TypeError(
        `Cannot register metric ${name}: its name or a label is not valid, or it is registered already`,
      );
    }
    families.set(name, () => {
      const samples = lines();
      return samples.length === 0 ? [] : [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`, ...samples];
    });
  };

  return {
    counter: (definition) => {
      const series = createSeries(definition.labels, () => ({ value: 0 }));
      register(definition, "counter", () =>
        series.list((labels, cell) => [sample(definition.name, labels, cell.value)]),
      );
      return {
        increment: (labels, by = 1) => {
          if (by >= 0) series.at(labels).value += by;
        },
      };
    },
    gauge: (definition) => {
      const series = createSeries(definition.labels, () => ({ value: 0 }));
      register(definition, "gauge", () => series.list((labels, cell) => [sample(definition.name, labels, cell.value)]));
      return {
        set: (labels, value) => {
          series.at(labels).value = value;
        },
        remove: (labels) => series.remove(labels),
      };
    },
    histogram: (definition, buckets) => {
      const { name } = definition;
      const series = createSeries(definition.labels, () => ({ counts: buckets.map(() => 0), count: 0, sum: 0 }));
      register(definition, "histogram", () =>
        series.list((labels, cell) => [
          ...buckets.map((bound, index) =>
            sample(`${name}_bucket`, [...labels, ["le", formatValue(bound)]], cell.counts[index] ?? 0),
          ),
          sample(`${name}_bucket`, [...labels, ["le", "+Inf"]], cell.count),
          sample(`${name}_sum`, labels, cell.sum),
          sample(`${name}_count`, labels, cell.count),
        ]),
      );
      return {
        observe: (labels, value) => {
          if (Number.isNaN(value)) return;
          const cell = series.at(labels);
          cell.count++;
          cell.sum += value;
          // Buckets are cumulative: a value counts in every bucket whose bound it does not exceed.
          for (const [index, bound] of buckets.entries()) {
            if (value <= bound) cell.counts[index] = (cell.counts[index] ?? 0) + 1;
          }
        },
      };
    },
    callback: ({ name, help, type }, read) => {
      register({ name, help, labels: [] }, type, () => {
        const value = read();
        return value === undefined ? [] : [sample(name, [], value)];
      });
    },
    collect: ({ type, ...definition }, read) => {
      register(definition, type, () =>
        [...read()]
          .slice(0, SERIES_MAX)
          .map(([labels, value]) => sample(definition.name, pairsOf(definition.labels, labels), value)),
      );
    },
    render: () => [...families.values()].flatMap((lines) => lines()).join("\n") + (families.size > 0 ? "\n" : ""),
  };
}

type LabelPairs = readonly (readonly [string, string])[];

function pairsOf<L extends string>(names: readonly L[], labels: Labels<L>): LabelPairs {
  return names.map((name) => [name, String(labels[name])] as const);
}

/** The series of one metric by their label values. */
function createSeries<L extends string, C>(names: readonly L[], createCell: () => C) {
  const cells = new Map<string, { readonly labels: LabelPairs; readonly cell: C }>();
  return {
    at: (labels: Labels<L>): C => {
      let pairs = pairsOf(names, labels);
      let key = JSON.stringify(pairs);
      if (!cells.has(key) && cells.size >= SERIES_MAX) {
        pairs = names.map((name) => [name, OVERFLOW] as const);
        key = JSON.stringify(pairs);
      }
      const known = cells.get(key);
      if (known !== undefined) return known.cell;
      const cell = createCell();
      cells.set(key, { labels: pairs, cell });
      return cell;
    },
    remove: (labels: Labels<L>): void => {
      cells.delete(JSON.stringify(pairsOf(names, labels)));
    },
    list: (render: (labels: LabelPairs, cell: C) => readonly string[]): readonly string[] =>
      [...cells.values()].flatMap(({ labels, cell }) => render(labels, cell)),
  };
}

function sample(name: string, labels: LabelPairs, value: number): string {
  const inner = labels.map(([key, text]) => `${key}="${escapeLabel(text)}"`).join(",");
  return `${name}${inner === "" ? "" : `{${inner}}`} ${formatValue(value)}`;
}

function formatValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
