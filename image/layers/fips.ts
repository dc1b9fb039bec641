// What makes an image a FIPS image, together with a launcher that insists on it (agent.ts): OpenSSL's FIPS provider as
// Debian builds it, and a configuration under which nothing else is to be had.
import { createHmac } from "node:crypto";
import type { DebianPackage } from "../debian/read-package.ts";
import { TRIPLETS } from "../debian/runtime-files.ts";
import type { Architecture } from "../inputs/lock.ts";
import { type FileTree, TreeBuilder } from "../tree/file-tree.ts";
import { addRecords } from "./debian-dev.ts";
import { addSelectedPackages } from "./debian-runtime.ts";

/** The configuration that the launcher of a FIPS image names to Node. */
export const OPENSSL_CONFIG = "/etc/ssl/openssl.cnf";
const MODULE_CONFIG = "/usr/lib/ssl/fipsmodule.cnf";

/** Key of the integrity check that every OpenSSL 3 FIPS provider is built with: no secret, providers/fips/self_test.c. */
const INTEGRITY_KEY = "f4556650ac31d35461610bac4ed81b1a181b2d8a43ea2854cbae22ca74560813";

/** `devPackages` are those of the dev layer below, whose dpkg database is then written anew. */
export function buildFips(
  provider: readonly DebianPackage[],
  architecture: Architecture,
  devPackages?: readonly DebianPackage[],
): FileTree {
  const tree = new TreeBuilder();
  addSelectedPackages(tree, provider, architecture);
  const path = `usr/lib/${TRIPLETS[architecture]}/ossl-modules/fips.so`;
  const module = tree.get(path);
  if (module?.kind !== "file") throw new Error(`Cannot make the FIPS layer: openssl-provider-fips has no /${path}`);
  tree.file(MODULE_CONFIG.slice(1), renderModuleConfig(`/${path}`, module.content));
  tree.file(OPENSSL_CONFIG.slice(1), renderOpensslConfig());
  // Where the hardened catalogue's own profile looks for the provider in an image without dpkg: the record of it.
  if (devPackages === undefined)
    tree.symlink("opt/docker/sbom/openssl-fips/openssl-fips", "/var/lib/dpkg/status.d/openssl-provider-fips");
  if (devPackages !== undefined) {
    tree.remove("var");
    addRecords(tree, [...devPackages, ...provider], provider);
  }
  return tree.finish();
}

/** The checks of `openssl fipsinstall -pedantic` (OpenSSL 3.5): what FIPS 140-3 asks for beyond the choice of algorithms. */
const CHECKS = [
  ...[
    "conditional-errors",
    "security-checks",
    "hmac-key-check",
    "kmac-key-check",
    "tls1-prf-ems-check",
    "no-short-mac",
  ],
  ...["drbg-no-trunc-md", "signature-digest-check", "hkdf-digest-check", "tls13-kdf-digest-check"],
  ...["tls1-prf-digest-check", "sshkdf-digest-check", "sskdf-digest-check", "x963kdf-digest-check"],
  ...["dsa-sign-disabled", "tdes-encrypt-disabled", "rsa-pkcs15-pad-disabled", "rsa-pss-saltlen-check"],
  ...["rsa-sign-x931-pad-disabled", "hkdf-key-check", "kbkdf-key-check", "tls13-kdf-key-check", "tls1-prf-key-check"],
  ...["sshkdf-key-check", "sskdf-key-check", "x963kdf-key-check", "x942kdf-key-check", "pbkdf2-lower-bound-check"],
  "ecdh-cofactor-check",
];

// What `openssl fipsinstall` writes, less install-status: without it the module's self tests run whenever it is loaded.
function renderModuleConfig(path: string, module: Uint8Array): string {
  const mac = createHmac("sha256", Buffer.from(INTEGRITY_KEY, "hex")).update(module).digest("hex").toUpperCase();
  return [
    "[fips_sect]",
    "activate = 1",
    ...CHECKS.map((name) => `${name} = 1`),
    `module = ${path}`,
    `module-mac = ${mac.match(/../g)?.join(":") ?? ""}`,
    "",
  ].join("\n");
}

// Node reads the section nodejs_conf, other programs openssl_conf. The base provider has encoders only, no algorithms.
function renderOpensslConfig(): string {
  return `nodejs_conf = openssl_init
openssl_conf = openssl_init
config_diagnostics = 1

.include ${MODULE_CONFIG}

[openssl_init]
providers = provider_sect
alg_section = algorithm_sect

[provider_sect]
fips = fips_sect
base = base_sect

[base_sect]
activate = 1

[algorithm_sect]
default_properties = fips=yes
`;
}
