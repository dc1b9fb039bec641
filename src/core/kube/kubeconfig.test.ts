import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "./kube-api-error.ts";
import { parseKubeconfig } from "./kubeconfig.ts";

const KUBECTL = `apiVersion: v1
kind: Config
preferences: {}
current-context: lab
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://10.0.0.1:6443
    tls-server-name: kubernetes
  name: lab-cluster
- name: other
  cluster:
    server: http://127.0.0.1:8001
    insecure-skip-tls-verify: true
contexts:
- context: {}
  name: empty
- context:
    cluster: lab-cluster
    user: admin
    namespace: default
  name: lab
users:
- name: admin
  user:
    client-certificate: pki/admin.crt
    client-key-data: S0VZ
    token: unused
    tokenFile: /run/token
`;

test("parseKubeconfig() reads the current context from YAML", () => {
  assert.deepEqual(parseKubeconfig(KUBECTL, "k"), {
    server: "https://10.0.0.1:6443",
    tlsServerName: "kubernetes",
    isInsecure: false,
    ca: { base64: "Q0E=" },
    tokenFile: "/run/token",
    clientCertificate: { file: "pki/admin.crt" },
    clientKey: { base64: "S0VZ" },
  });
});

function jsonConfig(cluster: object, user: object | undefined): string {
  return JSON.stringify({
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "k", ...(user && { user: "u" }) } }],
    clusters: [{ name: "k", cluster }],
    users: [{ name: "u", user }],
  });
}

test("parseKubeconfig() reads JSON, with booleans as such and no user at all", () => {
  const text = jsonConfig({ server: "https://h", "insecure-skip-tls-verify": true }, undefined);
  assert.deepEqual(parseKubeconfig(text, "k"), { server: "https://h", isInsecure: true });
});

test("parseKubeconfig() reads flow mappings", () => {
  const text = `current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters:
- {name: k, cluster: {server: "https://h:6443"}}
users: [{name: u, user: {token: abc}}]
`;
  assert.deepEqual(parseKubeconfig(text, "k"), { server: "https://h:6443", isInsecure: false, token: "abc" });
});

const refused: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  ["nothing", "", /it is not a mapping/],
  ["broken JSON", "{", /Cannot read YAML: line 1 is the last and leaves a bracket open/],
  ["YAML outside the subset", "a: |\n  b", /Cannot read YAML: line 1/],
  ["a file without current context", "a: b", /current-context is not set/],
  ["a context that is not there", KUBECTL.replace("context: lab", "context: x"), /contexts has no entry named "x"/],
  ["a context without cluster", KUBECTL.replace("context: lab", "context: empty"), /names no cluster/],
  ["a server that is no URL", jsonConfig({ server: "host:6443" }, {}), /needs a server like .* it is "host:6443"/],
  ["credentials in the URL", jsonConfig({ server: "https://a@h" }, {}), /needs a server/],
  ["an exec plugin", jsonConfig({ server: "https://h" }, { exec: { command: "aws" } }), /has exec; supported are/],
  ["a password", jsonConfig({ server: "https://h" }, { username: "a", password: "b" }), /has username/],
  ["a proxy", jsonConfig({ server: "https://h", "proxy-url": "http://p" }, {}), /has proxy-url/],
  ["a certificate without key", jsonConfig({ server: "https://h" }, { "client-certificate": "c" }), /needs both/],
];
for (const [what, text, message] of refused) {
  test(`parseKubeconfig() refuses ${what}, naming the file`, () => {
    assert.throws(
      () => parseKubeconfig(text, "/etc/k"),
      (error) =>
        error instanceof KubeApiError &&
        error.code === "KUBE_API_CREDENTIALS" &&
        error.message.startsWith("Cannot use kubeconfig /etc/k: ") &&
        message.test(error.message),
    );
  });
}
