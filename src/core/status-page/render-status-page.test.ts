import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { samplePod, sampleStatus } from "../status/testing.ts";
import { html } from "./html.ts";
import { PAGE_STYLE, PAGE_STYLE_HASH } from "./page-style.ts";
import { PAGE_POLICY, renderStatusPage } from "./render-status-page.ts";

describe("html`…`", () => {
  it("makes text of every value, in elements and in attributes, and leaves HTML as it is", () => {
    const hostile = `<img src=x onerror="alert('1')">&amp;`;
    const { markup } = html`<p title="${hostile}">${hostile}${html`<b>${1}</b>`}${[html`<i>`, html`</i>`]}</p>`;
    const text = "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;amp;";
    assert.equal(markup, `<p title="${text}">${text}<b>1</b><i></i></p>`);
  });

  it("shows characters that nobody would see, or that turn the direction of writing", () => {
    assert.equal(html`${"a\u202eb\u0000c\u2028"}`.markup, "a\\u{202e}b\\u{0}c\\u{2028}");
  });
});

describe("renderStatusPage()", () => {
  it("has the style sheet whose hash its policy names, and no place from which anything could be loaded", () => {
    const page = renderStatusPage(sampleStatus([samplePod()]));
    const sheet = /<style>([^<]*)<\/style>/.exec(page)?.[1];
    assert.equal(sheet, PAGE_STYLE);
    const hash = `sha256-${createHash("sha256").update(PAGE_STYLE).digest("base64")}`;
    assert.equal(PAGE_STYLE_HASH, hash, `the sheet was changed: its hash is now ${hash}`);
    assert.ok(PAGE_POLICY.startsWith(`default-src 'none'; style-src '${hash}';`));
    assert.doesNotMatch(page, /<script|<img|<iframe|<form|<link|\bsrc=|style="|\son[a-z]+=|url\(|@import|https?:/i);
    assert.deepEqual(
      [...page.matchAll(/href="([^"]*)"/g)].map(([, target]) => target),
      ["#pods"],
    );
  });

  it("shows words that pods' authors wrote as text", () => {
    const name = '"><script>alert(1)</script>';
    const message = "</td></tr></table><style>*{display:none}</style>'\u202e";
    const page = renderStatusPage(
      sampleStatus([samplePod({ name, message, namespace: "</title>", needsAttention: true })]),
    );
    assert.ok(page.includes("&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert.doesNotMatch(page, /<script|\u202e/);
    assert.equal(page.match(/<style>/g)?.length, 1);
    assert.equal(page.match(/<\/table>/g)?.length, 2, "pods that need attention have a table of their own");
  });

  it("says the verdict in title and head: not ready, pods that need attention, all good", () => {
    const cases: [string, Parameters<typeof sampleStatus>][] = [
      ["not ready", [[samplePod()], { isReady: false }]],
      ["ready, 1 pod needs attention", [[samplePod({ needsAttention: true }), samplePod()]]],
      ["ready, 2 pods need attention", [[samplePod({ needsAttention: true }), samplePod({ needsAttention: true })]]],
      ["ready, but something needs attention", [[samplePod()], { isAllGood: false }]],
      ["ready, all good", [[samplePod()]]],
    ];
    for (const [verdict, given] of cases) {
      const page = renderStatusPage(sampleStatus(...given));
      assert.match(page, new RegExp(`<title>istio-cni on node-1: ${verdict}</title>`));
      assert.match(page, new RegExp(`<p class="verdict (?:good|warn|bad)">${verdict}</p>`));
    }
  });

  it("has a page for a node without pods", () => {
    const page = renderStatusPage(sampleStatus([]));
    assert.match(page, /No pod of this node is known/);
    assert.doesNotMatch(page, /<table/);
  });

  it("is bounded: so many rows and so much of a cell, and says that there is more", () => {
    const message = "long ".repeat(10_000);
    const pods = Array.from({ length: 1500 }, (_, index) => samplePod({ name: `web-${index}`, message }));
    const page = renderStatusPage(sampleStatus(pods));
    assert.equal(page.match(/<tr role="row">/g)?.length, 1 + 1000);
    assert.match(page, /<caption>1500 pods, the first 1000 of them, by namespace and name<\/caption>/);
    assert.ok(page.length < 2_000_000, String(page.length));
  });
});
