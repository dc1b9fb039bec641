// What is known of vulnerabilities, told twice: as OpenVEX 0.2.0 (what each means for this image) and as in-toto's report.
// Evidence that a machine can check is checked against the image before anything is said.
import type { BuiltImage } from "../assemble-image.ts";
import { readDynamicImports } from "../elf/read-imports.ts";
import { PARTS } from "../layers/agent.ts";
import { type FileTree, mergeLayers } from "../tree/file-tree.ts";
import { traitsOf } from "../variants.ts";
import type { Component } from "./components.ts";
import { type ImageSubject, uuidOf } from "./subject.ts";
import type { Evidence, Finding, Triage } from "./triage.ts";

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
export function renderVulnerabilities(components: readonly Component[], triage: Triage): unknown {
  const scanned = `${triage.date}T00:00:00Z`;
  return {
    scanner: {
      uri: "https://istio-install-cni.invalid/scanners/changelog-difference",
      version: "1",
      db: { uri: "pkg:deb/debian?distro=sid", lastUpdate: scanned },
      result: findingsOf(components, triage).map(({ finding, purls }) => ({
        id: finding.id,
        severity: [],
        annotations: { components: purls.join(" "), status: finding.status, fixedVersion: finding.fixedVersion ?? "" },
      })),
    },
    metadata: { scanStartedOn: scanned, scanFinishedOn: scanned },
  };
}

/** The findings that are about something the image has. */
function findingsOf(
  components: readonly Component[],
  { findings }: Triage,
): { readonly finding: Finding; readonly purls: readonly string[] }[] {
  return findings.flatMap((finding) => {
    const purls = components.flatMap((component) => [
      ...(isOfSource(component, finding.source) ? [component.purl] : []),
      ...component.contains
        .filter(({ name }) => name === finding.source && component.id === "node")
        .map(({ purl }) => purl),
    ]);
    return purls.length === 0 ? [] : [{ finding, purls }];
  });
}

function isOfSource({ purl, name, id }: Component, source: string): boolean {
  if (!id.startsWith("deb-")) return false;
  const upstream = /[?&]upstream=([^&]*)/.exec(purl)?.[1];
  return (upstream === undefined ? name : decodeURIComponent(upstream).split("@")[0]) === source;
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
  return ![...tree.values()].some(
    (entry) =>
      entry.kind === "file" && readDynamicImports(entry.content).some((symbol) => evidence.symbols.includes(symbol)),
  );
}
