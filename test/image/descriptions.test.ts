// The descriptions of the images against the images, the lock and their own formats.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { JUSTIFICATIONS, STATUSES } from "../../image/describe/triage.ts";
import { cacheFolder, hashOf } from "../../image/inputs/cache.ts";
import { ARCHITECTURES, readLock } from "../../image/inputs/lock.ts";
import { IMAGES, tagOf, VARIANTS } from "./built-images.ts";
import { readImage } from "./image-content.ts";

/** As far as these tests read them. */
interface CycloneDx {
  readonly components: readonly {
    readonly "bom-ref": string;
    readonly name: string;
    readonly version: string;
    readonly purl: string;
    readonly components: readonly {
      readonly type: string;
      readonly name: string;
      readonly hashes?: readonly { alg: string; content: string }[];
    }[];
  }[];
}
interface Spdx {
  readonly packages: readonly { readonly SPDXID: string; readonly name: string; readonly versionInfo: string }[];
  readonly files: readonly {
    readonly SPDXID: string;
    readonly fileName: string;
    readonly checksums: readonly { algorithm: string; checksumValue: string }[];
  }[];
  readonly relationships: readonly {
    readonly spdxElementId: string;
    readonly relationshipType: string;
    readonly relatedSpdxElement: string;
  }[];
}
interface VulnerabilityReport {
  readonly scanner: {
    readonly result: readonly {
      readonly id: string;
      readonly annotations: {
        readonly fixedVersion: string;
        readonly takeable: string;
        readonly notTakenSince: string;
      };
    }[];
  };
}

interface OpenVex {
  readonly statements: readonly {
    readonly vulnerability: { readonly name: string };
    readonly products: readonly {
      readonly "@id": string;
      readonly subcomponents: readonly { readonly "@id": string }[];
    }[];
    readonly status: string;
    readonly justification?: string;
    readonly impact_statement?: string;
  }[];
}

let validate: (bom: string) => Promise<unknown>;
before(async () => {
  validate = await loadValidator();
});

for (const variant of VARIANTS) {
  for (const architecture of ARCHITECTURES) {
    describe(`descriptions of ${variant} for ${architecture}`, () => {
      const folder = join(IMAGES, "descriptions", `${tagOf(variant)}-${architecture}`);
      const read = (name: string): string => readFileSync(join(folder, name), "utf8");
      const cycloneDx: CycloneDx = JSON.parse(read("sbom.cdx.json"));
      const spdx: Spdx = JSON.parse(read("sbom.spdx.json"));

      test("CycloneDX 1.6 is valid by its schema", async () => {
        assert.equal(await validate(read("sbom.cdx.json")), null);
      });

      test("both bills have exactly the files of the image, with their sums", () => {
        const expected = [...readImage(variant, architecture).files.values()]
          .filter(({ kind }) => kind === "file")
          .map(({ path, content }) => `/${path} ${hashOf(content)}`);
        const inCycloneDx = cycloneDx.components.flatMap(({ components }) =>
          components
            .filter(({ type }) => type === "file")
            .map(({ name, hashes }) => `${name} ${hashes?.find(({ alg }) => alg === "SHA-256")?.content}`),
        );
        assert.deepEqual(inCycloneDx.toSorted(), expected.toSorted());
        const inSpdx = spdx.files.map(
          ({ fileName, checksums }) =>
            `${fileName.slice(1)} ${checksums.find(({ algorithm }) => algorithm === "SHA256")?.checksumValue}`,
        );
        assert.deepEqual(inSpdx.toSorted(), expected.toSorted());
      });

      test("each Debian package of both is in the lock, in that version", () => {
        const locked = new Set(
          readLock()
            .packages.filter((each) => each.architecture === architecture || each.architecture === "all")
            .map(({ name, version }) => `${name} ${version}`),
        );
        const debian = cycloneDx.components.filter((each) => each["bom-ref"].startsWith("deb-"));
        assert.ok(debian.length >= 17);
        for (const { name, version } of debian) assert.ok(locked.has(`${name} ${version}`), `${name} ${version}`);
        const names = spdx.packages
          .filter(({ SPDXID }) => SPDXID.startsWith("SPDXRef-package-deb-"))
          .map(({ name, versionInfo }) => `${name} ${versionInfo}`);
        assert.deepEqual(names.toSorted(), debian.map(({ name, version }) => `${name} ${version}`).toSorted());
      });

      test("SPDX 2.3 is whole: identifiers are well formed and unique, relations end somewhere, each file has one owner", () => {
        const { spdxVersion, dataLicense, SPDXID, documentNamespace, creationInfo } = JSON.parse(
          read("sbom.spdx.json"),
        );
        assert.deepEqual([spdxVersion, dataLicense, SPDXID], ["SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT"]);
        assert.match(documentNamespace, /^urn:uuid:[0-9a-f-]{36}$/);
        assert.match(creationInfo.created, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
        const ids = [...spdx.packages, ...spdx.files].map((each) => each.SPDXID);
        assert.equal(new Set(ids).size, ids.length);
        for (const id of ids) assert.match(id, /^SPDXRef-[A-Za-z0-9.-]+$/);
        const known = new Set([...ids, "SPDXRef-DOCUMENT"]);
        for (const { spdxElementId, relatedSpdxElement } of spdx.relationships)
          assert.ok(
            known.has(spdxElementId) && known.has(relatedSpdxElement),
            `${spdxElementId} ${relatedSpdxElement}`,
          );
        const owned = spdx.relationships.filter(
          ({ relationshipType, relatedSpdxElement }) =>
            relationshipType === "CONTAINS" && relatedSpdxElement.startsWith("SPDXRef-file-"),
        );
        assert.deepEqual(
          owned.map(({ relatedSpdxElement }) => relatedSpdxElement).toSorted(),
          spdx.files.map((file) => file.SPDXID).toSorted(),
        );
      });

      test("OpenVEX says something of each finding in a part once, about this image and a part that it has", () => {
        const { statements }: OpenVex = JSON.parse(read("openvex.json"));
        const purls = new Set(spdxPurls(read("sbom.spdx.json")));
        const { digest } = readImage(variant, architecture);
        assert.ok(statements.length > 10);
        for (const { vulnerability, products, status, justification, impact_statement } of statements) {
          assert.ok(
            STATUSES.some((each) => each === status),
            status,
          );
          assert.equal(
            status === "not_affected",
            justification !== undefined && impact_statement !== undefined,
            vulnerability.name,
          );
          if (justification !== undefined) assert.ok(JUSTIFICATIONS.some((each) => each === justification));
          for (const product of products) {
            assert.ok(product["@id"].includes(encodeURIComponent(digest)));
            assert.ok(product.subcomponents.length > 0);
            for (const part of product.subcomponents) assert.ok(purls.has(part["@id"]), part["@id"]);
          }
        }
        const names = statements.map(({ vulnerability }) => vulnerability.name);
        const parts = statements.map(({ vulnerability, products }) => JSON.stringify([vulnerability, products]));
        assert.equal(new Set(parts).size, parts.length);
        const { scanner }: VulnerabilityReport = JSON.parse(read("vulnerabilities.json"));
        assert.deepEqual(
          scanner.result.map(({ id }) => id),
          names,
        );
        for (const { id, annotations } of scanner.result) {
          assert.notEqual(annotations.fixedVersion, "", id);
          // What could be taken and is not has a date; but for what taking it would not change.
          const isNothingToFix = statements.some(
            ({ vulnerability, status, justification }) =>
              vulnerability.name === id &&
              (status === "fixed" || /^(component|vulnerable_code)_not_present$/.test(justification ?? "")),
          );
          if (annotations.takeable !== "" && !isNothingToFix)
            assert.match(annotations.notTakenSince, /^\d{4}-\d\d-\d\d$/, id);
        }
      });

      test("provenance has every input with its hash, and the commit", () => {
        const { buildDefinition, runDetails } = JSON.parse(read("provenance.slsa.json"));
        assert.equal(typeof runDetails.builder.id, "string");
        const digests = new Set(
          buildDefinition.resolvedDependencies.map(({ digest }: { digest?: object }) => JSON.stringify(digest)),
        );
        for (const component of cycloneDx.components.filter((each) => each["bom-ref"].startsWith("deb-"))) {
          const locked = readLock().packages.find(
            ({ name, architecture: each }) => name === component.name && (each === architecture || each === "all"),
          );
          assert.ok(digests.has(JSON.stringify({ sha256: locked?.sha256 })), component.name);
        }
        assert.equal(buildDefinition.externalParameters.variant, variant);
      });
    });
  }
}

function spdxPurls(text: string): string[] {
  const { packages } = JSON.parse(text) as {
    packages: { externalRefs?: { referenceType: string; referenceLocator: string }[] }[];
  };
  return packages.flatMap(({ externalRefs = [] }) =>
    externalRefs.filter(({ referenceType }) => referenceType === "purl").map((each) => each.referenceLocator),
  );
}

/** The strict validator of the CycloneDX project, from npm as locked beside this file; installed into the cache. */
async function loadValidator(): Promise<(bom: string) => Promise<unknown>> {
  const source = join(import.meta.dirname, "validators");
  const lock = readFileSync(join(source, "package-lock.json"));
  const folder = join(cacheFolder("tools"), `validators-${hashOf(lock).slice(0, 16)}`);
  if (!existsSync(folder)) {
    const made = mkdtempSync(`${folder}-`);
    mkdirSync(made, { recursive: true });
    for (const name of ["package.json", "package-lock.json"]) cpSync(join(source, name), join(made, name));
    execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], {
      cwd: made,
      timeout: 300_000,
    });
    if (existsSync(folder)) rmSync(made, { recursive: true });
    else renameSync(made, folder);
  }
  const path = createRequire(join(folder, "package.json")).resolve("@cyclonedx/cyclonedx-library");
  const { Validation, Spec } = await import(pathToFileURL(path).href);
  const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
  return (bom) => validator.validate(bom);
}
