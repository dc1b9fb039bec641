/**
 * The status page: the status document for a browser. One file without a program, without anything that would be loaded from
 * elsewhere; the words are those of `install-cni status`. Whatever pods' authors wrote is text in it (html.ts).
 */

import { cutText } from "../short-text.ts";
import { headOf, POD_HEADINGS, rowOf } from "../status/render-status.ts";
import type { PodStatus, StatusDocument } from "../status/status-document.ts";
import { type Cell, renderSpan } from "../text-columns.ts";
import { type Html, html, trusted } from "./html.ts";
import { PAGE_STYLE, PAGE_STYLE_HASH } from "./page-style.ts";

/** Content-Security-Policy of the page: this style sheet and nothing else; in no frame, to no form, from no other base. */
export const PAGE_POLICY = `default-src 'none'; style-src '${PAGE_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** A node has at most some 500 pods; a browser takes this many at once. */
const MAX_ROWS = 1000;
/** What is shown of one cell. */
const MAX_CELL_LENGTH = 1000;

/** A whole HTML document, UTF-8. */
export function renderStatusPage(status: StatusDocument): string {
  const { agent, at, pods, summary } = status;
  const urgent = pods.filter(({ needsAttention }) => needsAttention);
  const verdict = verdictOf(status);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>istio-cni on ${agent.node}: ${verdict.text}</title>
<style>${trusted(PAGE_STYLE)}</style>
</head>
<body>
<a class="skip" href="#pods">Skip to the pods</a>
<header>
<h1>istio-cni on ${agent.node}</h1>
<p class="verdict ${verdict.className}">${verdict.text}</p>
<p class="soft">As of <time datetime="${at}">${at}</time>, agent up ${renderSpan(agent.uptimeSeconds)}. Load the page again for what is now.</p>
</header>
<main>
<section aria-labelledby="node">
<h2 id="node">Node</h2>
<dl>
${renderHead(headOf(status))}</dl>
</section>
${urgent.length === 0 ? trusted("") : renderPods("attention", "Needs attention", urgent, urgent.length, at)}
${renderPods("pods", "Pods", pods, summary.pods, at)}
</main>
<footer>
<p>The same in words: <code>install-cni status</code>; one pod: <code>install-cni explain NAMESPACE/POD</code>; this node: <code>install-cni doctor</code>.</p>
</footer>
</body>
</html>
`.markup;
}

function verdictOf({ isReady, summary, isAllGood }: StatusDocument): {
  readonly text: string;
  readonly className: string;
} {
  if (!isReady) return { text: "not ready", className: "bad" };
  if (summary.needAttention > 0) {
    const count = summary.needAttention;
    return { text: `ready, ${count} ${count === 1 ? "pod needs" : "pods need"} attention`, className: "bad" };
  }
  return isAllGood
    ? { text: "ready, all good", className: "good" }
    : { text: "ready, but something needs attention", className: "warn" };
}

/** Rows with the same first word, or none, go on with the one before. */
function renderHead(rows: readonly (readonly Cell[])[]): Html[] {
  const groups: { readonly name: Cell; readonly cells: Cell[] }[] = [];
  for (const [name = "", ...cells] of rows) {
    const last = groups.at(-1);
    if (last !== undefined && (textOf(name) === "" || textOf(name) === textOf(last.name))) last.cells.push(...cells);
    else groups.push({ name, cells });
  }
  return groups.map(
    ({ name, cells }) => html`<dt>${renderCell(name)}</dt>
${cells.map(
  (cell) => html`<dd>${renderCell(cell)}</dd>
`,
)}`,
  );
}

/** The pod's name heads its row; the roles stay where a narrow screen makes blocks of the table. */
function renderPods(
  id: "attention" | "pods",
  title: string,
  pods: readonly PodStatus[],
  count: number,
  at: string,
): Html {
  const shown = pods.slice(0, MAX_ROWS);
  const heading = html`<h2 id="${id}">${title}</h2>`;
  if (count === 0) {
    return html`<section aria-labelledby="${id}">
${heading}
<p>No pod of this node is known.</p>
</section>`;
  }
  const rest = count > shown.length ? `, the first ${shown.length} of them` : "";
  return html`<section aria-labelledby="${id}">
${heading}
<table role="table">
<caption>${count} ${count === 1 ? "pod" : "pods"}${rest}, by namespace and name</caption>
<thead role="rowgroup"><tr role="row">${POD_HEADINGS.map((text) => html`<th role="columnheader" scope="col">${titleOf(text)}</th>`)}</tr></thead>
<tbody role="rowgroup">
${shown.map((pod) => renderRow(rowOf(pod, at)))}</tbody>
</table>
</section>`;
}

function renderRow(cells: readonly Cell[]): Html {
  const rendered = cells.map((cell, index) => {
    const label = titleOf(POD_HEADINGS[index] ?? "");
    return POD_HEADINGS[index] === "NAME"
      ? html`<th role="rowheader" scope="row" data-label="${label}"><span>${renderCell(cell)}</span></th>`
      : html`<td role="cell" data-label="${label}"><span>${renderCell(cell)}</span></td>`;
  });
  return html`<tr role="row">${rendered}</tr>
`;
}

function renderCell(cell: Cell): Html {
  const cut = cutText(textOf(cell), MAX_CELL_LENGTH);
  if (typeof cell === "string") return html`${cut}`;
  const className = CLASSES[cell.colour];
  return html`<span class="${className}">${cut}</span>`;
}

const CLASSES = { green: "good", yellow: "warn", red: "bad", bold: "bold" } as const;

function textOf(cell: Cell): string {
  return typeof cell === "string" ? cell : cell.text;
}

/** "NAMESPACE" as "Namespace". */
function titleOf(heading: string): string {
  return heading.slice(0, 1) + heading.slice(1).toLowerCase();
}
