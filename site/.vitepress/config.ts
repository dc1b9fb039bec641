// The documents as a site: the Markdown files of this repository where they lie, no copies. A link to another document that is
// dead fails the build; links to other files lead to the repository where SITE_REPOSITORY names it, else they are plain text.
import { existsSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { MarkdownOptions } from "vitepress";
import { defineConfig } from "vitepress";
import { anchorOf } from "../../docs/headings.ts";

const ROOT = join(import.meta.dirname, "../..");
const PACKAGES = join(import.meta.dirname, "../node_modules");
/** For instance https://example.org/istio-install-cni/blob/main */
const REPOSITORY = process.env["SITE_REPOSITORY"] ?? "";

type MarkdownIt = Parameters<NonNullable<MarkdownOptions["config"]>>[0];

/** Takes links to what is no page out of the router's way. */
function linkToRepository(markdown: MarkdownIt): void {
  markdown.core.ruler.push("repository-links", ({ tokens, env }) => {
    const folder = dirname(String(env.realPath ?? env.path));
    for (const { children } of tokens) {
      let plain = 0;
      for (const token of children ?? []) {
        if (token.type === "link_close" && plain > 0) {
          plain--;
          token.tag = "span";
        }
        if (token.type !== "link_open") continue;
        const [target = ""] = (token.attrGet("href") ?? "").split("#");
        const path = join(folder, decodeURI(target));
        const isPage = target === "" || /^[a-z]+:/.test(target) || (target.endsWith(".md") && existsSync(path));
        const readme = join(path, "README.md");
        if (isPage || !existsSync(path)) continue;
        if (statSync(path).isDirectory() && existsSync(readme))
          token.attrSet("href", `${target.replace(/\/$/, "")}/README.md`);
        else if (REPOSITORY !== "") token.attrSet("href", `${REPOSITORY}/${relative(ROOT, path)}`);
        else {
          plain++;
          token.tag = "span";
          token.attrs = [];
        }
      }
    }
  });
}

const page = (text: string, link: string) => ({ text, link });

export default defineConfig({
  title: "istio-install-cni",
  description: "Puts Kubernetes pods into the Istio mesh from the node",
  srcDir: "..",
  srcExclude: [
    "site/dist/**",
    "site/.vitepress/**",
    "node_modules/**",
    ".cache/**",
    "out/**",
    "**/node_modules/**",
    "**/testdata/**",
  ],
  outDir: "dist",
  cacheDir: ".vitepress/cache",
  rewrites: { "README.md": "index.md" },
  // Nothing of what a reader does is told to anybody, and nothing comes from elsewhere.
  lastUpdated: false,
  markdown: { config: linkToRepository, anchor: { slugify: anchorOf } },
  vite: {
    server: { fs: { allow: [ROOT] } },
    // The pages lie above this folder's packages, where no import finds them.
    resolve: {
      alias: [
        { find: /^vue$/, replacement: join(PACKAGES, "vue/dist/vue.runtime.esm-bundler.js") },
        { find: /^vue\/server-renderer$/, replacement: join(PACKAGES, "vue/server-renderer/index.mjs") },
      ],
    },
  },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    nav: [page("Install", "/docs/install"), page("When something is off", "/docs/troubleshooting")],
    sidebar: [
      {
        text: "Begin",
        items: [
          page("What it is", "/"),
          page("Installing it", "/docs/install"),
          page("Sidecar mode", "/docs/sidecar"),
          page("Ambient mode", "/docs/ambient"),
          page("Coming from upstream", "/docs/migration"),
          page("How it works", "/docs/how-it-works"),
        ],
      },
      {
        text: "Run",
        items: [
          page("When something is off", "/docs/troubleshooting"),
          page("Many nodes", "/docs/runbook"),
          page("In CI", "/docs/ci"),
          page("Status", "/docs/status"),
          page("Doctor", "/docs/doctor"),
          page("Trace and render", "/docs/trace"),
          page("Alerts and dashboard", "/dashboards/README"),
        ],
      },
      {
        text: "Look up",
        items: [
          page("Configuration", "/docs/configuration"),
          page("The chart", "/chart/README"),
          page("Metrics and Events", "/docs/metrics"),
          page("Files on the host", "/docs/host-files"),
          page("Compatibility", "/docs/compatibility"),
          page("Performance", "/docs/performance"),
          page("Security model", "/docs/security"),
          page("Images", "/docs/images"),
          page("Differences from upstream", "/docs/differences"),
          page("The guide's promises", "/docs/promises"),
          page("Changes", "/CHANGELOG"),
        ],
      },
      {
        text: "Change it",
        items: [
          page("Architecture", "/ARCHITECTURE"),
          page("Contributing", "/CONTRIBUTING"),
          page("Dependencies", "/docs/dependencies"),
          page("Soak", "/docs/soak"),
          page("Fuzzing", "/docs/fuzzing"),
        ],
      },
    ],
  },
});
