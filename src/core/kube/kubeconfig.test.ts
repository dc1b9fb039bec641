import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockYamlError, parseBlockYaml } from "./block-yaml.ts";
import { KubeApiError } from "./kube-api-error.ts";
import { parseKubeconfig } from "./kubeconfig.ts";

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test("parseBlockYaml() reads mappings, sequences and scalars as kubectl writes them", () => {
  const text = `---
# comment
a: 1
b:
- x: one # comment
  y: "two \\"2\\""
- 'it''s'
-
  z:
    deep: http://host:1/#frag
c: {}
d: []
"quoted key": true
e:
f: ~
g:
    - - nested
      - pair
h: base64==
`;
  assert.deepEqual(plain(parseBlockYaml(text)), {
    a: "1",
    b: [{ x: "one", y: 'two "2"' }, "it's", { z: { deep: "http://host:1/#frag" } }],
    c: {},
    d: [],
    "quoted key": "true",
    e: null,
    f: null,
    g: [["nested", "pair"]],
    h: "base64==",
  });
  assert.equal(parseBlockYaml("# nothing\n\n"), null);
});

const refusedYaml: readonly (readonly [what: string, text: string, line: number])[] = [
  ["a tab", "a:\n\tb: 1", 2],
  ["an anchor", "a: &x 1", 1],
  ["an alias", "a: *x", 1],
  ["a tag", "a: !!str 1", 1],
  ["a block scalar", "a: |\n  text", 1],
  ["a folded scalar", "a: >-\n  text", 1],
  ["a flow mapping", "a: {b: 1}", 1],
  ["a flow sequence", "a: [1, 2]", 1],
  ["a second document", "a: 1\n---\nb: 2", 2],
  ["a repeated key", "a: 1\na: 2", 2],
  ["a line that is no key", "a: 1\njust text", 2],
  ["an odd indent", "a:\n    b: 1\n  c: 2", 3],
  ["a continued scalar", "a: 1\n  more", 2],
  ["an open quote", 'a: "x', 1],
  ["text after a quote", 'a: "x" y', 1],
  ["an escape that is not JSON's", 'a: "\\x41"', 1],
  ["a colon in a plain value", "a: b: c", 1],
  ["too deep nesting", Array.from({ length: 40 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n"), 34],
];
for (const [what, text, line] of refusedYaml) {
  test(`parseBlockYaml() refuses ${what} and names the line`, () => {
    assert.throws(
      () => parseBlockYaml(text),
      (error) => error instanceof BlockYamlError && error.line === line,
    );
  });
}

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

const refused: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  ["nothing", "", /it is not a mapping/],
  ["broken JSON", "{", /it is not JSON/],
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
