// A certificate authority and a server certificate for one run, made by the openssl program (Node can read X.509 but
// not sign it). Responsible for files made and removed again; made once per process and set of names.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** PEM texts. */
export interface Certificates {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

const run = promisify(execFile);
const made = new Map<string, Promise<Certificates>>();

/** Certificates valid for `names` (DNS names and addresses). Throws when openssl is missing or fails. */
export function createCertificates(names: readonly string[]): Promise<Certificates> {
  const key = names.join(",");
  const known = made.get(key) ?? makeCertificates(names);
  made.set(key, known);
  return known;
}

async function makeCertificates(names: readonly string[]): Promise<Certificates> {
  const dir = await mkdtemp(join(tmpdir(), "api-server-tls-"));
  const file = (name: string): string => join(dir, name);
  const openssl = (...argv: readonly string[]): Promise<unknown> =>
    run("openssl", argv, { timeout: 20_000, env: { PATH: process.env["PATH"], LC_ALL: "C" } });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"];
  const alternatives = names.map((name) => (isIP(name) === 0 ? `DNS:${name}` : `IP:${name}`)).join(",");
  try {
    await openssl(
      "req",
      "-x509",
      ...newKey,
      "-keyout",
      file("ca.key"),
      "-out",
      file("ca.crt"),
      "-subj",
      "/CN=kubernetes",
    );
    await openssl(
      ...["req", "-x509", ...newKey, "-CA", file("ca.crt"), "-CAkey", file("ca.key"), "-keyout", file("server.key")],
      ...["-out", file("server.crt"), "-subj", "/CN=kube-apiserver", "-addext", `subjectAltName=${alternatives}`],
      ...["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"],
    );
    const [caPem, certPem, keyPem] = await Promise.all(
      ["ca.crt", "server.crt", "server.key"].map((name) => readFile(file(name), "utf8")),
    );
    if (caPem === undefined || certPem === undefined || keyPem === undefined) throw new Error("openssl wrote no files");
    return { caPem, certPem, keyPem };
  } catch (cause) {
    throw new Error(`Cannot make certificates for ${alternatives}: openssl failed`, { cause });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
