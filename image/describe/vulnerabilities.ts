// What is known of vulnerabilities, told twice: as OpenVEX 0.2.0 (what each means for this image) and as in-toto's report.
// Evidence that a machine can check is checked against the image before anything is said.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { BuiltImage } from "../assemble-image.ts";
import { readDynamicImports } from "../elf/read-imports.ts";
import { PARTS } from "../layers/agent.ts";
import { type Known, keyOf } from "../scan/known.ts";
import { type FileTree, mergeLayers } from "../tree/file-tree.ts";
import { traitsOf } from "../variants.ts";
import type { Component } from "./components.ts";
import { type ImageSubject, uuidOf } from "./subject.ts";
import type { Evidence, Finding, Triage } from "./triage.ts";

const REPOSITORY = join(import.meta.dirname, "../..");

/** @throws {Error} when a finding's evidence does not hold in this image. */
export function renderOpenVex(
  subject: ImageSubject,
  components: readonly Component[],
  triage: Triage,
  image: BuiltImage,
): unknown {
  const tree = mergeLayers(image.layers.map((layer) => layer.tree));
  const statements = findingsOf(components, triage).map(({ finding, purls }) => {
    const holds = (finding.evidence ?? []).every((evidence) => isEvident(evidence, tree));
    // The dev images have tools that the runtime's evidence is not about: there the question is open, and said to be.
    const isOpen = !holds && traitsOf(image.variant).isDev;
    if (!holds && !isOpen)
      throw new Error(
        `Cannot say that ${finding.id} is ${finding.status}: its evidence does not hold in ${subject.tag}`,
      );
    return {
      vulnerability: { name: finding.id },
      products: [{ "@id": subject.purl, subcomponents: purls.map((purl) => ({ "@id": purl })) }],
      status: isOpen ? "under_investigation" : finding.status,
      ...(isOpen || finding.justification === undefined ? {} : { justification: finding.justification }),
      ...(finding.status === "affected" ? { action_statement: finding.statement } : {}),
      ...(!isOpen && finding.status === "not_affected" ? { impact_statement: finding.statement } : {}),
    };
  });
  return {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "@id": `urn:uuid:${uuidOf(`openvex ${subject.digest}`)}`,
    author: "istio-install-cni",
    timestamp: subject.created,
    version: 1,
    statements,
  };
}

/** https://github.com/in-toto/attestation, spec/predicates/vuln.md, v0.2. */
export function renderVulnerabilities(components: readonly Component[], triage: Triage, known: Known): unknown {
  const scanned = `${known.date}T00:00:00Z`;
  const facts = new Map(known.found.map((each) => [keyOf(each), each]));
  return {
    scanner: {
      uri: "https://istio-install-cni.invalid/scanners/changelog-difference",
      version: "2",
      db: { uri: "pkg:deb/debian?distro=sid", lastUpdate: scanned },
      result: findingsOf(components, triage).map(({ finding, purls }) => {
        const { fixedIn = "", takeable = "" } = facts.get(keyOf(finding)) ?? {};
        return {
          id: finding.id,
          severity: [],
          annotations: {
            components: purls.join(" "),
            status: finding.status,
            fixedVersion: fixedIn,
            takeable,
            notTakenSince: takeable === "" ? "" : (finding.waits?.since ?? ""),
          },
        };
      }),
    },
    metadata: { scanStartedOn: scanned, scanFinishedOn: scanned },
  };
}

/** The findings that are about something the image has. */
function findingsOf(
  components: readonly Component[],
  { findings }: Triage,
): { readonly finding: Finding; readonly purls: readonly string[] }[] {
  const purls = new Map<string, string[]>();
  const add = (name: string, purl: string): void => void purls.set(name, [...(purls.get(name) ?? []), purl]);
  for (const component of components) {
    if (component.id.startsWith("deb-")) add(`debian/${sourceOf(component)}`, component.purl);
    if (component.id === "node") add("node/node", component.purl);
    const owner = component.id === "node" ? "node" : "own";
    for (const { name, purl } of component.contains) add(`${owner}/${name}`, purl);
  }
  return findings.flatMap((finding) => {
    const found = purls.get(finding.component);
    return found === undefined ? [] : [{ finding, purls: found }];
  });
}

/** The Debian source package: in a package's URL only where it differs. */
function sourceOf({ purl, name }: Component): string {
  const upstream = /[?&]upstream=([^&]*)/.exec(purl)?.[1];
  return upstream === undefined ? name : (decodeURIComponent(upstream).split("@")[0] ?? name);
}

function isEvident(evidence: Evidence, tree: FileTree): boolean {
  if (evidence.kind === "path-absent") {
    const pattern = new RegExp(evidence.pattern);
    return ![...tree.keys()].some((path) => pattern.test(path));
  }
  if (evidence.kind === "modules-not-used") {
    const isBundle = (path: string): boolean => path.startsWith(`${PARTS}/agent`) && path.endsWith(".mjs");
    const parts = [...tree.values()].filter((entry) => entry.kind === "file" && isBundle(entry.path));
    if (parts.length === 0) return false;
    const text = parts.map((part) => (part.kind === "file" ? new TextDecoder().decode(part.content) : "")).join("\n");
    return !evidence.modules.some(
      (name) => text.includes(`"${name}"`) || text.includes(`"${name.replace("node:", "")}"`),
    );
  }
  if (evidence.kind === "functions-not-named") {
    const pattern = new RegExp(`\\b(${evidence.functions.join("|")})\\b`);
    return readCSources().every((text) => !pattern.test(text));
  }
  return ![...tree.values()].some(
    (entry) =>
      entry.kind === "file" && readDynamicImports(entry.content).some((symbol) => evidence.symbols.includes(symbol)),
  );
}

/** Of the programs that this project compiles. @throws {Error} when there are none: then nothing would be evident. */
function readCSources(): string[] {
  const paths = globSync(["plugin/src/*.{c,h}", "launcher/*.c"], { cwd: REPOSITORY });
  if (paths.length < 2) throw new Error("Cannot look into the C sources: plugin/src and launcher have none");
  return paths.map((path) => readFileSync(join(REPOSITORY, path), "utf8"));
}
