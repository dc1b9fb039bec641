// The status page in a real browser, Debian's Chromium: with hostile pods, many pods, narrow and wide, light and dark; and of
// a real agent. UPDATE_GOLDEN=1 makes the screenshot of the documents anew.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { statusPageRoutes } from "../../src/agent/status/status-page.ts";
import type { PodStatus, StatusDocument } from "../../src/core/status/status-document.ts";
import { samplePod, sampleStatus } from "../../src/core/status/testing.ts";
import { listenHttp } from "../../src/platform/http/server.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";
import { eventually } from "./captured-pods.ts";

enterNodeNamespaces();

const SCREENSHOT = join(REPOSITORY, "docs/status-page.png");
const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 320, height: 640 };
/** WCAG 2.2, 1.4.3: text of ordinary size. */
const LEAST_CONTRAST = 4.5;

// Programs for the browser are texts: this project's types are those of Node.

/** What an intruder would do who had got in all the same. */
const INTRUDE = `
  const script = document.createElement("script");
  script.textContent = "window.pwned = 2";
  document.body.append(script);
  const button = document.createElement("button");
  button.setAttribute("onclick", "window.pwned = 3");
  document.body.append(button);
  button.click();
  document.body.append(Object.assign(new Image(), { src: "/metrics" }));
`;

/** The least contrast of any text that is shown, by WCAG's formula. */
const FIND_LEAST_CONTRAST = `(() => {
  const numbers = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = (colour) => {
    const [red, green, blue] = numbers(colour).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const backgroundOf = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if (numbers(backgroundColor)[3] !== 0) return backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const ratios = [...document.querySelectorAll("body *")]
    .filter(({ childNodes }) => [...childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== ""))
    .map((element) => {
      const [one, other] = [luminance(getComputedStyle(element).color), luminance(backgroundOf(element))];
      return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    });
  return Math.min(...ratios);
})()`;

let browser: Browser;

before(async () => {
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ],
  });
});
after(() => browser.close());

/** What a page got from anywhere, and what its console said, beside the page itself. */
interface Visit extends AsyncDisposable {
  readonly page: Page;
  readonly requests: readonly string[];
  readonly complaints: readonly string[];
}

async function visit(url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ viewport: WIDE, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const requests: string[] = [];
  const complaints: string[] = [];
  // What the policy stops is asked for and never gets out.
  page.on("response", (response) => requests.push(response.url()));
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  const response = await page.goto(url);
  assert.equal(response?.status(), 200);
  return { page, requests, complaints, [Symbol.asyncDispose]: () => context.close() };
}

/** Serves the document as the agent does, for the time of `use`. */
async function withPage(document: StatusDocument, use: (url: string) => Promise<void>): Promise<void> {
  const routes = statusPageRoutes({ document: () => document, nowMs: () => performance.now() }, { node: "node-1" });
  const onError = (error: unknown): void => assert.fail(String(error));
  const listener = await listenHttp({ port: 0, host: "127.0.0.1", routes, onError });
  try {
    await use(`http://127.0.0.1:${listener.port}/status`);
  } finally {
    await listener.close(0);
  }
}

/** Pods of every state, some of which need attention. */
function manyPods(count: number): PodStatus[] {
  const kinds: readonly Partial<PodStatus>[] = [
    {},
    { decision: "out", reason: "no-proxy-container", state: "out", capture: null, lastVerifiedAt: null },
    {
      state: "repaired",
      repairs: 2,
      lastDrift: ["chain nat/ISTIO_OUTPUT of IPv4 was altered"],
      lastDriftCount: 1,
      lastDriftAt: "2026-01-02T01:04:05.000Z",
    },
    { state: "waiting", decision: "undecided", reason: null, capture: null, lastVerifiedAt: null },
    {
      state: "failed",
      needsAttention: true,
      message: "Cannot enter the pod's network namespace: Operation not permitted",
    },
  ];
  return Array.from({ length: count }, (_, index) =>
    samplePod({
      namespace: `team-${index % 7}`,
      name: `a-deployment-with-a-long-name-${index}-7d9f8b6c5-x2x4z`,
      ...kinds[index % 50 === 0 ? 4 : index % 4],
    }),
  );
}

test("nothing that a pod's author wrote does anything in the browser, and nothing is loaded", async () => {
  const texts = [
    `<img src=x onerror="window.pwned=1">`,
    `"><script>window.pwned=1</script>`,
    `</style></title></table><script>window.pwned=1</script>`,
    `<a href="javascript:window.pwned=1" autofocus onfocus="window.pwned=1">x</a>`,
    `<svg/onload=window.pwned=1><iframe src="http://192.0.2.1/">`,
    `<meta http-equiv="refresh" content="0;url=http://192.0.2.1/"><base href="http://192.0.2.1/">`,
    "{{constructor.constructor('window.pwned=1')()}}",
  ];
  const pods = texts.map((text) =>
    samplePod({ namespace: text, name: text, reason: text, message: text, needsAttention: true }),
  );
  const document = sampleStatus(pods, {
    agent: { version: texts[0] ?? "", node: texts[1] ?? "", mode: "sidecar", uptimeSeconds: 1 },
    conditions: [{ name: texts[2] ?? "", isReady: false, reason: texts[3] ?? "" }],
    isReady: false,
  });
  await withPage(document, async (url) => {
    await using visited = await visit(url);
    const { page } = visited;
    for (const text of texts) assert.ok((await page.getByText(text, { exact: true }).count()) >= 3, text);
    assert.equal(await page.evaluate("window.pwned"), undefined);
    assert.equal(await page.locator("script, img, iframe, svg, base, form, body a:not(.skip)").count(), 0);
    assert.deepEqual(visited.requests, [url]);
    assert.deepEqual(visited.complaints, []);

    // The second wall: a program and an image that had got in all the same.
    await page.evaluate(INTRUDE);
    assert.equal(await page.evaluate("window.pwned"), undefined);
    await eventually(
      () => /Content Security Policy/.test(visited.complaints.join("\n")),
      () => `for the browser's complaint: ${visited.complaints.join("\n")}`,
    );
    assert.deepEqual(
      visited.requests.filter((asked) => asked.endsWith("/metrics")),
      [],
    );
  });
});

test("the page of 500 pods can be read on a narrow and on a wide screen, by light and by dark", async () => {
  await withPage(sampleStatus(manyPods(500)), async (url) => {
    for (const viewport of [WIDE, NARROW]) {
      for (const colorScheme of ["light", "dark"] as const) {
        await using visited = await visit(url, { viewport, colorScheme });
        const { page } = visited;
        const wanted = await page.evaluate("document.documentElement.scrollWidth");
        const background = await page.evaluate("getComputedStyle(document.body).backgroundColor");
        const what = `${viewport.width} pixels, ${colorScheme}`;
        assert.ok(Number(wanted) <= viewport.width, `${what}: ${wanted} pixels wide`);
        assert.equal(background, colorScheme === "light" ? "rgb(255, 255, 255)" : "rgb(13, 17, 23)", what);
        const contrast = Number(await page.evaluate(FIND_LEAST_CONTRAST));
        assert.ok(contrast >= LEAST_CONTRAST, `${what}: ${contrast}`);
        assert.equal(await page.locator("#pods + table tbody tr").count(), 500);
        assert.deepEqual(visited.complaints, []);
      }
    }
  });
});

test("the page can be found through by landmarks, headings, tables and keyboard, at any width", async () => {
  await withPage(sampleStatus(manyPods(100)), async (url) => {
    for (const viewport of [WIDE, NARROW]) {
      await using visited = await visit(url, { viewport });
      const { page } = visited;
      assert.equal(await page.locator("html").getAttribute("lang"), "en");
      for (const landmark of ["banner", "main", "contentinfo"] as const)
        assert.equal(await page.getByRole(landmark).count(), 1);
      assert.deepEqual(await page.getByRole("heading").allTextContents(), [
        "istio-cni on node-1",
        "Node",
        "Needs attention",
        "Pods",
      ]);
      assert.equal(await page.getByRole("region").count(), 3, "each section is named by its heading");
      const pods = page.getByRole("table", { name: /^100 pods/ });
      assert.equal(await pods.getByRole("columnheader").count(), 10);
      assert.equal(await pods.getByRole("rowheader").count(), 100);
      assert.equal(await pods.getByRole("row").first().getByRole("columnheader").first().textContent(), "Namespace");
      // The state is a word; colour only repeats it.
      assert.equal(await pods.getByRole("cell", { name: /^(?:State )?failed$/ }).count(), 2);
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate("document.activeElement.textContent"), "Skip to the pods");
      await page.keyboard.press("Enter");
      assert.match(page.url(), /#pods$/);
    }
  });
});

test("a real agent shows the page where STATUS_PAGE says so, with its pods, and nowhere else", async () => {
  await using mesh = await createMeshNode({ families: "v4" });
  const agent = await mesh.startAgent({ env: { STATUS_PAGE: "true" } });
  const web = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "web" }));
  for (const pod of [web, await mesh.startPod(plainPod({ ...NEW_POD, name: "plain" }))]) mesh.report(pod);
  const url = `http://${agent.address}:15014/status`;
  await using visited = await visit(url);
  const { page } = visited;
  // It is made once a second; a pod is verified some time after its start.
  await eventually(
    async () => {
      const isShown = await page.getByRole("row", { name: /web in sidecar verified/ }).isVisible();
      if (!isShown) await page.reload();
      return isShown;
    },
    () => agent.log.slice(-10).join("\n"),
  );
  assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), "istio-cni on testbed-node");
  assert.equal(await page.title(), "istio-cni on testbed-node: ready, all good");
  assert.ok(await page.getByRole("row", { name: /plain out no-proxy-container/ }).isVisible());
  assert.deepEqual(visited.complaints, []);
  const headers = await fetch(url).then((response) => response.headers);
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(headers.get("cache-control"), "no-store");
  assert.equal((await agent.get(8000, "/status")).status, 404);
  assert.equal((await agent.get(15014, "/metrics")).status, 200);
  await agent.stop();

  const silent = await mesh.startAgent();
  assert.equal((await silent.get(15014, "/status")).status, 404);
});

test("the screenshot of the documents is one of this page", async (context) => {
  const pods = [
    samplePod({
      namespace: "kube-system",
      name: "coredns-7c65d6cfc9-x2x4z",
      decision: "out",
      reason: "excluded-namespace",
      state: "out",
      capture: null,
      lastVerifiedAt: null,
    }),
    samplePod({
      name: "cart-6b5f4d7c9-q8m2n",
      state: "repaired",
      repairs: 1,
      lastDrift: ["chain nat/ISTIO_OUTPUT of IPv4 was altered"],
      lastDriftCount: 1,
      lastDriftAt: "2026-01-02T03:01:05.000Z",
    }),
    samplePod({
      name: "early-5d8c7b9f4-k7w3v",
      state: "uncaptured",
      needsAttention: true,
      lastVerifiedAt: null,
      message:
        "The redirection of this pod is missing and may not be repaired: repair in place is off (REPAIR_REPAIR_PODS)",
    }),
    samplePod({ name: "web-79c8d5b6f-t4h9p" }),
  ];
  await withPage(sampleStatus(pods), async (url) => {
    await using visited = await visit(url, { viewport: { width: 1280, height: 760 } });
    const image = await visited.page.screenshot();
    assert.ok(image.length < 150_000, `${image.length} bytes`);
    if (process.env["UPDATE_GOLDEN"] === "1") {
      writeFileSync(SCREENSHOT, image);
      context.diagnostic(`wrote ${SCREENSHOT}`);
    }
    for (const { name } of pods) assert.ok((await visited.page.getByText(name).count()) > 0, name);
  });
});
