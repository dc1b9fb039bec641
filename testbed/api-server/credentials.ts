// Who may speak to the server: bearer tokens, and the service-account folders and kubeconfigs that carry them to
// clients. Responsible for writing those folders as the kubelet does (a `..data` link swapped atomically).
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Resource } from "./resources.ts";
import type { Verb } from "./routes.ts";

/** What one request wants to do, as RBAC sees it. */
export interface Attributes {
  readonly verb: Verb;
  readonly resource: Resource;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

/** A caller. `may` undefined: everything. */
export interface User {
  readonly name: string;
  readonly may?: (attributes: Attributes) => boolean;
}

/** The tokens of one server; several may be valid at once. */
export interface Credentials {
  /** A new valid token, shaped like a service account's. */
  issue(user?: User): string;
  revoke(token: string): void;
  find(token: string): User | undefined;
}

/** The service account of the agent, allowed everything. */
const AGENT_USER: User = { name: "system:serviceaccount:istio-system:istio-cni" };

/** No token is valid yet. */
export function createCredentials(): Credentials {
  const users = new Map<string, User>();
  return {
    issue(user = AGENT_USER) {
      const token = createToken(user.name);
      users.set(token, user);
      return token;
    },
    revoke: (token) => void users.delete(token),
    find: (token) => users.get(token),
  };
}

function createToken(subject: string): string {
  const encode = (part: unknown): string => Buffer.from(JSON.stringify(part)).toString("base64url");
  const issued = Math.floor(Date.now() / 1000);
  const claims = {
    aud: ["https://kubernetes.default.svc.cluster.local"],
    exp: issued + 3607,
    iat: issued,
    sub: subject,
  };
  return [encode({ alg: "RS256", kid: "stand-in" }), encode(claims), randomBytes(256).toString("base64url")].join(".");
}

/** What a service-account folder holds. */
export interface ServiceAccountFiles {
  readonly token: string;
  readonly "ca.crt": string;
  readonly namespace: string;
}

/** Writes or replaces the folder's contents: a reader sees the old files or the new ones, never a mixture. */
export async function writeServiceAccountFiles(dir: string, files: ServiceAccountFiles): Promise<void> {
  const generation = `..${randomBytes(6).toString("hex")}`;
  await mkdir(join(dir, generation), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, generation, name), text, { mode: 0o600 });
  await symlink(generation, join(dir, "..data_tmp"));
  await rename(join(dir, "..data_tmp"), join(dir, "..data"));
  for (const entry of await readdir(dir)) {
    const isOld = entry.startsWith("..") && entry !== "..data" && entry !== generation;
    if (isOld) await rm(join(dir, entry), { recursive: true, force: true });
  }
  for (const name of Object.keys(files)) {
    await symlink(join("..data", name), join(dir, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}

/** A kubeconfig (JSON, which is YAML) for kubectl and for tests that read KUBECONFIG. */
export function renderKubeconfig(url: string, caPem: string, token: string): string {
  const ca = Buffer.from(caPem).toString("base64");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "stand-in", cluster: { server: url, "certificate-authority-data": ca } }],
    users: [{ name: "stand-in", user: { token } }],
    contexts: [{ name: "stand-in", context: { cluster: "stand-in", user: "stand-in" } }],
    "current-context": "stand-in",
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
