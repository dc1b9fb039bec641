// What every document names is there: commands and flags parse, links and anchors lead somewhere, and files, metrics, variables,
// checks, alerts and the words of refusals exist. Whether what is said of them is true, the other tests and a reader tell.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { parseInvocation } from "../src/cmd/flags.ts";
import { ALL_OPTIONS } from "../src/core/config/options.ts";
import { findMissingTests } from "../tools/cited-tests.ts";
import { shownCommands } from "./document-commands.ts";
import { headingAnchors } from "./headings.ts";
import { registeredMetrics } from "./registered-metrics.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const DOCUMENTS = globSync(["*.md", "{docs,chart,dashboards,plugin,launcher,bench,testbed,image,test}/**/*.md"], {
  cwd: ROOT,
  exclude: ["**/node_modules/**"],
}).map((path) => ({ path, text: read(path) }));
const CODE = globSync("{src,plugin,launcher,image,tools,testbed,test,bench,chart,.ci,.github}/**/*", {
  cwd: ROOT,
  withFileTypes: true,
})
  .filter((entry) => entry.isFile() && /(?:^[a-z-]+|\.(?:ts|c|h|ya?ml|tpl|txt|json|sh))$/.test(entry.name))
  .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
  .join("\n");

const INLINE = /`([^`\n]+)`/g;
const LINK = /\[[^\]\n]*\]\(([^()\s]+)\)/g;
const FENCED = /^```.*?^```/gms;
/** Of istiod, of the kernel, of GitLab. */
const FOREIGN_VARIABLES = ["ENABLE_NATIVE_SIDECARS", "NLM_F_EXCL", "CI_PIPELINE_SOURCE"];
/** Of the hardened images' catalogue. */
const FOREIGN_FILES = ["image/openscap/"];
const FOREIGN_METRICS = ["go_"];
const OUR_FOLDERS = /^(?:src|plugin|launcher|image|chart|testbed|test|bench|tools|docs|dashboards)\/[\w./*{},-]*$/;
/** Where paths stand without the room's folder. */
const ROOMS = ["", "src/"];

/** One sentence for each match of `pattern` in `text` of a document that `isThere` does not know. */
function missing(
  pattern: RegExp,
  isThere: (match: string, path: string) => boolean,
  of: (text: string) => string = (text) => text,
): string[] {
  return DOCUMENTS.flatMap(({ path, text }) =>
    [...of(text).matchAll(pattern)].flatMap(([whole, match = whole]) =>
      isThere(match, path) ? [] : [`${path}: there is no ${match}`],
    ),
  );
}

describe("the documents", () => {
  test("there are some", () => {
    assert.ok(DOCUMENTS.length > 40, `only ${DOCUMENTS.length}`);
    assert.ok(DOCUMENTS.flatMap(({ text }) => shownCommands(text)).length > 60);
  });

  test("show commands of install-cni that it takes", () => {
    const refused = DOCUMENTS.flatMap(({ path, text }) =>
      shownCommands(text).flatMap(({ line, words }) => {
        const [name = ""] = words;
        // Without a pod or a shell, and with what stands in brackets, the words name the command and are no call.
        const isName =
          (["explain", "trace", "completion"].includes(name) &&
            /^(?:NAMESPACE\/POD)?$/.test(words.slice(1).join(" "))) ||
          /[[|]/.test(words.join());
        try {
          if (!isName)
            parseInvocation(
              words.map((word) => word.replace(/\$\w+$|[A-Z]+\/POD$/, (made) => (made === "$POD" ? "x" : "x/x"))),
            );
          return [];
        } catch (error) {
          return [`${path}:${line}: ${words.join(" ")}: ${error}`];
        }
      }),
    );
    assert.deepEqual(refused, []);
  });

  test("a command that is not there would be seen", () => {
    const [shown, other] = shownCommands(
      "Try `install-cni stat --now`.\n```sh\nsudo install-cni status -o yaml | cat # x\n```\n",
    ).toReversed();
    assert.deepEqual(shown?.words, ["stat", "--now"]);
    assert.deepEqual(other?.words, ["status", "-o", "yaml"]);
    for (const each of [shown, other]) assert.throws(() => parseInvocation(each?.words ?? []));
  });

  test("link to files and headings that are there", () => {
    const isThere = (target: string, path: string): boolean => {
      if (/^(?:https?|mailto):/.test(target)) return true;
      const [file = "", anchor] = target.split("#");
      const absolute = file === "" ? join(ROOT, path) : join(ROOT, dirname(path), file);
      if (!existsSync(absolute)) return false;
      return anchor === undefined || headingAnchors(readFileSync(absolute, "utf8")).includes(anchor);
    };
    assert.deepEqual(
      missing(LINK, isThere, (text) => text.replaceAll(FENCED, "")),
      [],
    );
  });

  test("link to tests that are there, by their names", () => {
    const gone = DOCUMENTS.flatMap(({ path, text }) => {
      const readBeside = (linked: string): string | undefined => {
        const target = join(dirname(path), linked);
        return existsSync(join(ROOT, target)) ? read(target) : undefined;
      };
      return findMissingTests(text, readBeside).map((complaint) => `${path}: ${complaint}`);
    });
    assert.deepEqual(gone, []);
  });

  test("can be found: each is linked by another one, and those in docs stand in the site's sidebar", () => {
    const linked = new Set(
      DOCUMENTS.flatMap(({ path, text }) =>
        [...text.matchAll(LINK)].flatMap(([, target = ""]) => {
          const to = join(dirname(path), target.split("#")[0] ?? "");
          return to === path ? [] : [to, join(to, "README.md"), ...globSync(join(to, "*.md"), { cwd: ROOT })];
        }),
      ),
    );
    const config = read("site/.vitepress/config.ts");
    const paths = DOCUMENTS.map(({ path }) => path).filter((path) => path !== "README.md");
    assert.deepEqual(
      paths.filter((path) => !linked.has(path)),
      [],
    );
    assert.deepEqual(
      paths.filter((path) => dirname(path) === "docs" && !config.includes(`"/${path.replace(".md", "")}"`)),
      [],
    );
  });

  test("name files of the repository that are there", () => {
    const isThere = (text: string): boolean =>
      !OUR_FOLDERS.test(text) ||
      FOREIGN_FILES.some((each) => text.startsWith(each)) ||
      ROOMS.some((room) => globSync(`${room}${text}`, { cwd: ROOT }).length > 0);
    assert.deepEqual(missing(INLINE, isThere), []);
  });

  test("name metrics that the agent has", () => {
    const names = registeredMetrics().map(({ name }) => name);
    const isThere = (name: string): boolean =>
      names.includes(name.replace(/_(?:bucket|sum|count)$/, "")) ||
      FOREIGN_METRICS.some((each) => name.startsWith(each));
    assert.deepEqual(missing(/`((?:istio_cni|nodeagent|ztunnel|process)_\w+[a-z])`/g, isThere), []);
  });

  test("name variables that something reads", () => {
    const options = ALL_OPTIONS.flatMap(({ option: { env } }) => env ?? []);
    const words = new Set(CODE.match(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g));
    const isThere = (name: string): boolean =>
      options.includes(name) || words.has(name) || FOREIGN_VARIABLES.includes(name);
    assert.deepEqual(missing(/(?<![\w<-]|vars\.|secrets\.)([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?![\w>])/g, isThere), []);
  });

  test("name checks of doctor and alerts that are there", () => {
    const isCheck = (id: string): boolean =>
      CODE.includes(`id: "${id}"`) ||
      new RegExp(`^${RegExp.escape(id.split(".")[1] ?? "")}:`, "m").test(
        read("chart/values.yaml").replaceAll(/^ +/gm, ""),
      );
    assert.deepEqual(
      missing(/`((?:kernel|rights|folders|cni|api|agent|ambient|node)\.(?!mjs|ts)[a-z-]+)`/g, isCheck, (text) =>
        text.replaceAll(/`cni\.(?:exclusive|tag|image)`/g, ""),
      ),
      [],
    );
    const rules = read("dashboards/istio-cni.rules.yaml");
    assert.deepEqual(
      missing(/\*(IstioCni\w+)\*/g, (name) => rules.includes(`- alert: ${name}\n`)),
      [],
    );
  });

  test("quote refusals as they are", () => {
    const table = read("docs/troubleshooting.md").split("| the sentence says |")[1]?.split("\n\n")[0] ?? "";
    const ofOthers = ["failed to find plugin", "Unauthorized", "connection refused", "loopback interface found"];
    const quoted = table
      .split("\n")
      .slice(2)
      .flatMap((row) => [...(row.split("|")[1] ?? "").matchAll(INLINE)].map(([, text = ""]) => text))
      .filter((text) => !ofOthers.some((other) => text.startsWith(other)));
    assert.ok(quoted.length >= 8);
    assert.deepEqual(
      quoted.filter((text) => !CODE.includes(text)),
      [],
    );
  });
});
