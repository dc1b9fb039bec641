// FIPS mode as the image enforces it: through its own launcher, its Node, its configuration and its module, in its root
// file system. What speaks in place of the agent is a script that tries algorithms.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createServer, type SecureContextOptions } from "node:tls";
import { startCommand } from "../../testbed/node/command.ts";
import { NATIVE_ARCHITECTURE } from "./built-images.ts";
import { readImage, unpackImage } from "./image-content.ts";

const PARTS = "usr/local/lib/istio-install-cni/";
const AGENT = `${PARTS}agent.mjs`;
const TRIPLET = NATIVE_ARCHITECTURE === "amd64" ? "x86_64-linux-gnu" : "aarch64-linux-gnu";
const MODULE = `usr/lib/${TRIPLET}/ossl-modules/fips.so`;

const TRIES = `
import crypto from "node:crypto";
const attempt = (run) => { try { run(); return "done"; } catch (error) { return "refused"; } };
console.log(JSON.stringify({
  fips: crypto.getFips(),
  md5: attempt(() => crypto.createHash("md5")),
  ripemd160: attempt(() => crypto.createHash("ripemd160")),
  sha256: attempt(() => crypto.createHash("sha256").update("").digest()),
  rsa1024: attempt(() => crypto.generateKeyPairSync("rsa", { modulusLength: 1024 })),
  p256: attempt(() => crypto.generateKeyPairSync("ec", { namedCurve: "P-256" })),
  x25519: attempt(() => crypto.generateKeyPairSync("x25519")),
  chacha: attempt(() => crypto.createCipheriv("chacha20-poly1305", Buffer.alloc(32), Buffer.alloc(12))),
  off: attempt(() => crypto.setFips(0)),
}));
`;

/** Connects to a port of the machine and tells what was negotiated. */
const CONNECT = `
import { connect } from "node:tls";
const socket = connect({ host: "127.0.0.1", port: Number(process.argv[2]), rejectUnauthorized: false }, () => {
  console.log(JSON.stringify({ cipher: socket.getCipher().name, group: socket.getEphemeralKeyInfo().name, protocol: socket.getProtocol() }));
  socket.end();
});
socket.on("error", (error) => { console.log(JSON.stringify({ refused: error.code })); process.exit(0); });
`;

const image = unpackImage("fips", NATIVE_ARCHITECTURE);
const agent = readFileSync(join(image.path, AGENT), "utf8");
const scratch = mkdtempSync(join(tmpdir(), "fips-"));
after(() => {
  image[Symbol.dispose]();
  rmSync(scratch, { recursive: true, force: true });
});

function start(
  script: string,
  env: Record<string, string> = {},
): { status: number | null; stdout: string; stderr: string } {
  writeFileSync(join(image.path, AGENT), script);
  return spawnSync("chroot", [image.path, "/usr/local/bin/install-cni"], {
    encoding: "utf8",
    env: { PATH: "/usr/bin:/usr/sbin:/bin:/sbin", ...env },
    timeout: 60_000,
  });
}

const APPROVED = {
  fips: 1,
  md5: "refused",
  ripemd160: "refused",
  sha256: "done",
  rsa1024: "refused",
  p256: "done",
  x25519: "refused",
  chacha: "refused",
  off: "refused",
};

test("the FIPS image refuses what is not approved, and the mode cannot be left", () => {
  const { status, stdout, stderr } = start(TRIES);
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), APPROVED);
});

test("the FIPS image does not take another configuration or other flags from its environment", () => {
  writeFileSync(join(image.path, "other.cnf"), "");
  const env = { OPENSSL_CONF: "/other.cnf", OPENSSL_MODULES: "/", NODE_OPTIONS: "--openssl-config=/other.cnf" };
  const { status, stdout, stderr } = start(TRIES, env);
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), APPROVED);
});

test("the agent itself starts in the FIPS image, and with one bit of the module changed it does not", () => {
  const module = readFileSync(join(image.path, MODULE));
  const { NODE_OPTIONS: _none, ...env } = process.env;
  const version = (): { status: number | null; stdout: string; stderr: string } => {
    writeFileSync(join(image.path, AGENT), agent);
    return spawnSync("chroot", [image.path, "/usr/local/bin/install-cni", "version"], {
      encoding: "utf8",
      env,
      timeout: 60_000,
    });
  };
  const whole = version();
  assert.equal(whole.status, 0, whole.stderr);
  assert.match(whole.stdout, /\d+\.\d+\.\d+/);
  try {
    flipBit(join(image.path, MODULE));
    const broken = version();
    assert.notEqual(broken.status, 0);
    assert.equal(broken.stdout, "");
    assert.match(broken.stderr, /fips|OpenSSL/i);
  } finally {
    writeFileSync(join(image.path, MODULE), module);
  }
});

test("the agent asks for no hash, signature or cipher of its own: what it needs of cryptography is TLS and random bytes", () => {
  const files = [...readImage("fips", NATIVE_ARCHITECTURE).files.values()].filter(
    ({ path }) => path.startsWith(PARTS) && path.endsWith(".mjs"),
  );
  assert.ok(files.length > 0);
  const text = files.map(({ content }) => new TextDecoder().decode(content)).join("\n");
  const imported = [...text.matchAll(/import\s*\{([^}]*)\}\s*from\s*"(?:node:)?crypto"/g)].flatMap(([, names = ""]) =>
    names.split(",").map((name) => name.trim().replace(/ as .*/, "")),
  );
  assert.deepEqual([...new Set(imported)], ["randomBytes"]);
  assert.doesNotMatch(text, /\bcreate(Hash|Hmac|Sign|Verify|Cipheriv|Decipheriv)\b|\bcrypto\.subtle\b/);
});

for (const { what, path, change } of [
  { what: "module with one bit changed", path: MODULE, change: flipBit },
  { what: "module that is missing", path: MODULE, change: remove },
  { what: "configuration that is missing", path: "etc/ssl/openssl.cnf", change: remove },
  { what: "configuration that is empty", path: "etc/ssl/openssl.cnf", change: empty },
  { what: "module configuration that is missing", path: "usr/lib/ssl/fipsmodule.cnf", change: remove },
  { what: "module sum that is another", path: "usr/lib/ssl/fipsmodule.cnf", change: changeSum },
]) {
  test(`the FIPS image does not start with a ${what}`, () => {
    const file = join(image.path, path);
    const before = readFileSync(file);
    try {
      change(file);
      const { status, stdout, stderr } = start(TRIES);
      assert.equal(stdout, "");
      assert.notEqual(status, 0);
      assert.match(stderr, /fips|OpenSSL/i);
    } finally {
      writeFileSync(file, before);
    }
    assert.equal(start(TRIES).status, 0);
  });
}

describe("TLS of the FIPS image", () => {
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(scratch, name)) as [string, string];
  before(() => {
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    execFileSync("openssl", [...request, "-subj", "/CN=test", "-keyout", key, "-out", cert], {
      stdio: "ignore",
      timeout: 30_000,
    });
  });

  async function negotiate(options: SecureContextOptions): Promise<Record<string, unknown>> {
    const server = createServer({ key: readFileSync(key), cert: readFileSync(cert), ...options }, (socket) => {
      socket.on("error", () => undefined).resume();
    });
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    try {
      writeFileSync(join(image.path, AGENT), CONNECT);
      const argv = ["chroot", image.path, "/usr/local/bin/install-cni", String(address.port)];
      await using client = startCommand(argv);
      return JSON.parse(await client.waitForLine((line) => line.startsWith("{"), 60_000));
    } finally {
      server.close();
    }
  }

  test("negotiates an approved suite and group with a server that offers everything", async () => {
    const told = await negotiate({ ecdhCurve: "X25519:P-256" });
    assert.match(String(told["cipher"]), /^TLS_AES_/);
    assert.equal(told["group"], "prime256v1");
    assert.equal(told["protocol"], "TLSv1.3");
  });

  for (const { what, options } of [
    { what: "suites with ChaCha20 only", options: { ciphers: "TLS_CHACHA20_POLY1305_SHA256", minVersion: "TLSv1.3" } },
    { what: "the group X25519 only", options: { ecdhCurve: "X25519" } },
    {
      what: "TLS 1.2 with ChaCha20 only",
      options: { ciphers: "ECDHE-ECDSA-CHACHA20-POLY1305", maxVersion: "TLSv1.2" },
    },
  ] as const) {
    test(`does not connect to a server with ${what}`, async () => {
      const told = await negotiate(options);
      assert.equal(typeof told["refused"], "string", JSON.stringify(told));
    });
  }
});

function flipBit(path: string): void {
  const content = readFileSync(path);
  const middle = Math.floor(content.length / 2);
  content.writeUInt8(content.readUInt8(middle) ^ 1, middle);
  writeFileSync(path, content);
}

function remove(path: string): void {
  rmSync(path);
}

function empty(path: string): void {
  writeFileSync(path, "");
}

function changeSum(path: string): void {
  const text = readFileSync(path, "utf8");
  writeFileSync(
    path,
    text.replace(/module-mac = (..)/, (_all, first: string) => `module-mac = ${first === "00" ? "01" : "00"}`),
  );
}
