import assert from "node:assert/strict";
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createInClusterCredentials, createKubeconfigCredentials } from "./credentials.ts";

function createFolder(files: Record<string, string>) {
  const dir = mkdtempSync(join(tmpdir(), "credentials-"));
  const write = (name: string, text: string): void => writeFileSync(join(dir, name), text);
  for (const [name, text] of Object.entries(files)) write(name, text);
  return { dir, write, [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

const endpointOf = (host: string, port: string) => createInClusterCredentials({ host, port }, () => 0).endpoint;

test("createInClusterCredentials() takes names and addresses of both families, with brackets or without", () => {
  const https = { protocol: "https:", basePath: "" };
  assert.deepEqual(endpointOf("10.96.0.1", "443"), { ...https, host: "10.96.0.1", port: 443 });
  assert.deepEqual(endpointOf("fd00::1", "6443"), { ...https, host: "fd00::1", port: 6443 });
  assert.deepEqual(endpointOf("[fd00::1]", "6443"), { ...https, host: "fd00::1", port: 6443 });
  assert.deepEqual(endpointOf("api.lab", "443"), { ...https, host: "api.lab", port: 443 });
  assert.deepEqual(endpointOf("h", "80"), { ...https, host: "h", port: 80 });
});

test("createInClusterCredentials() refuses what names no server", () => {
  const code = "KUBE_API_CREDENTIALS";
  for (const [host, port] of [
    ["", "443"],
    ["10.0.0.1", ""],
    [undefined, "443"],
    ["10.0.0.1", undefined],
  ]) {
    const create = () => createInClusterCredentials({ host, port }, () => 0);
    assert.throws(create, { code, message: /KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be set/ });
  }
  assert.throws(() => endpointOf("h", "99999"), { code });
  assert.throws(() => endpointOf("h", "tcp://10.0.0.1:443"), { code });
});

test("createInClusterCredentials() reads the token again after 10 seconds, and at once when told to", () => {
  using folder = createFolder({ token: "one\n", "ca.crt": "CA" });
  let now = 0;
  const options = { host: "h", port: "1", serviceAccountDir: folder.dir };
  const credentials = createInClusterCredentials(options, () => now);
  assert.deepEqual(credentials.read(), { token: "one", ca: "CA", isInsecure: false });
  folder.write("token", "two");
  now = 9_999;
  assert.equal(credentials.read().token, "one");
  now = 10_000;
  assert.equal(credentials.read().token, "two");
  folder.write("token", "three");
  credentials.refresh();
  assert.equal(credentials.read().token, "three");
});

test("createInClusterCredentials() keeps what it has when a file becomes unreadable", () => {
  using folder = createFolder({ token: "one", "ca.crt": "CA" });
  const options = { host: "h", port: "1", serviceAccountDir: folder.dir };
  const credentials = createInClusterCredentials(options, () => 0);
  credentials.read();
  unlinkSync(join(folder.dir, "token"));
  credentials.refresh();
  assert.equal(credentials.read().token, "one");
});

test("createInClusterCredentials() names the file it cannot use and never what is in it", () => {
  using folder = createFolder({ "ca.crt": "CA" });
  const options = { host: "h", port: "1", serviceAccountDir: folder.dir };
  const read = () => createInClusterCredentials(options, () => 0).read();
  assert.throws(read, /Cannot read .*token: ENOENT/);
  for (const token of ["", "two words", "se\u0000cret", "x".repeat(70_000)]) {
    folder.write("token", token);
    assert.throws(read, (error: Error) => /\/token/.test(error.message) && !/secret|words|xxx/.test(error.message));
  }
});

test("createKubeconfigCredentials() reads files relative to the kubeconfig, again when they change", () => {
  const config = {
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "k", user: "u" } }],
    clusters: [{ name: "k", cluster: { server: "https://h:6443/prefix/", "certificate-authority": "ca.pem" } }],
    users: [{ name: "u", user: { tokenFile: "token", "client-certificate": "c.pem", "client-key-data": btoa("KEY") } }],
  };
  using folder = createFolder({ config: JSON.stringify(config), "ca.pem": "CA", token: "one", "c.pem": "CERT" });
  const credentials = createKubeconfigCredentials(join(folder.dir, "config"), () => 0);
  assert.deepEqual(credentials.endpoint, { protocol: "https:", host: "h", port: 6443, basePath: "/prefix" });
  assert.deepEqual(credentials.read(), { token: "one", ca: "CA", cert: "CERT", key: "KEY", isInsecure: false });
  folder.write("token", "two");
  credentials.refresh();
  assert.equal(credentials.read().token, "two");
});

test("createKubeconfigCredentials() refuses several files and one that is not there", () => {
  assert.throws(() => createKubeconfigCredentials("/a:/b", () => 0), /it must name one file/);
  assert.throws(() => createKubeconfigCredentials("/nowhere/config", () => 0), { code: "KUBE_API_CREDENTIALS" });
});
