// The launcher in a folder laid out like the image's, with the real Node and an agent that tells what it was given.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const ROOT = join(import.meta.dirname, "../..");
const ARCH = process.arch === "arm64" ? "arm64" : "amd64";
const LAUNCHER = join(ROOT, "out/launcher", ARCH, "install-cni");
const NON_ROOT = 65532;
/** CAP_DAC_OVERRIDE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_PTRACE, CAP_SYS_ADMIN: what upstream's chart grants. */
const CHART_CAPABILITIES = 0x283002;

execFileSync(join(ROOT, "launcher/build"), [ARCH], { stdio: ["ignore", "ignore", "inherit"], timeout: 300_000 });

const TELLING_AGENT = `
import { readFileSync } from "node:fs";
const status = readFileSync("/proc/self/status", "utf8");
const capabilities = (set) => Number.parseInt(new RegExp("Cap" + set + ":\\\\s+(\\\\w+)").exec(status)[1], 16);
console.log(JSON.stringify({
  argv: process.argv.slice(1), execArgv: process.execArgv, argv0: process.argv0, pid: process.pid, env: process.env,
  effective: capabilities("Eff"), ambient: capabilities("Amb"),
}));
`;

interface Told {
  readonly argv: readonly string[];
  readonly execArgv: readonly string[];
  readonly argv0: string;
  readonly pid: number;
  readonly env: Readonly<Record<string, string>>;
  readonly effective: number;
  readonly ambient: number;
}

interface Installation extends Disposable {
  readonly path: string;
  readonly launcher: string;
  readonly parts: string;
}

/** bin/install-cni and its parts in a temporary folder; `node` is the pinned Node, or the shell script given. */
function install(nodeScript?: string): Installation {
  const path = mkdtempSync(join(tmpdir(), "launcher-"));
  const launcher = join(path, "bin/install-cni");
  const parts = join(path, "lib/istio-install-cni");
  chmodSync(path, 0o755);
  mkdirSync(join(path, "bin"));
  mkdirSync(parts, { recursive: true });
  cpSync(LAUNCHER, launcher);
  if (nodeScript === undefined) symlinkSync(process.execPath, join(parts, "node"));
  else writeFileSync(join(parts, "node"), `#!/bin/sh\n${nodeScript}\n`, { mode: 0o755 });
  writeFileSync(join(parts, "agent.mjs"), TELLING_AGENT);
  writeFileSync(join(parts, "koffi.node"), "");
  return { path, launcher, parts, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(argv: readonly [string, ...string[]], env: Record<string, string> = {}, uid?: number): Run {
  const [program, ...args] = argv;
  const ids = uid === undefined ? {} : { uid, gid: uid };
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", ...env },
    cwd: "/",
    timeout: 20_000,
    ...ids,
  });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

function toldBy(result: Run): Told {
  assert.equal(result.status, 0, result.stderr);
  return JSON.parse(result.stdout) as Told;
}

function requireRoot(): void {
  assert.equal(process.getuid?.(), 0, "This test changes users and namespaces: run it as root");
}

test("the launcher starts the agent beside it with its fixed flags and all arguments", () => {
  using installation = install();
  const told = toldBy(run([installation.launcher, "--log_output_level=default:info", "--log_as_json", "", "a b"]));
  assert.deepEqual(told.argv, [
    join(installation.parts, "agent.mjs"),
    "--log_output_level=default:info",
    "--log_as_json",
    "",
    "a b",
  ]);
  assert.ok(told.execArgv.includes("--disable-warning=ExperimentalWarning"));
  assert.equal(told.argv0, "install-cni");
});

test("the launcher finds its parts through a symbolic link and from any working directory", () => {
  using installation = install();
  const link = join(installation.path, "link");
  symlinkSync(installation.launcher, link);
  assert.equal(toldBy(run([link])).argv[0], join(installation.parts, "agent.mjs"));
});

test("the launcher drops what changes Node, OpenSSL, libuv or libc, and keeps everything else", () => {
  using installation = install();
  const dropped = [
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "NODE_DEBUG",
    "NODE_V8_COVERAGE",
    "NODE_REPL_HISTORY",
    "NODE_ICU_DATA",
    "NODE_COMPILE_CACHE",
    "NODE_NAMES",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
    "UV_THREADPOOL_SIZE",
    "UV_USE_IO_URING",
    "MALLOC_TRIM_THRESHOLD_",
    "GLIBC_TUNABLES",
    "ISTIO_INSTALL_CNI_UNDER_TINI",
  ];
  const kept = {
    NODE_NAME: "node-1",
    REPAIR_NODE_NAME: "node-1",
    KUBERNETES_NODE_NAME: "n",
    CNI_NET_DIR: "/etc/cni",
    EMPTY: "",
    TZ: "UTC",
  };
  const env = {
    ...kept,
    MALLOC_ARENA_MAX: "8",
    ...Object.fromEntries(dropped.map((name) => [name, name === "NODE_OPTIONS" ? "--no-such-flag" : "/nonexistent"])),
  };
  const told = toldBy(run([installation.launcher], env));
  assert.deepEqual(
    dropped.filter((name) => name in told.env),
    [],
  );
  for (const [name, value] of Object.entries(kept)) assert.equal(told.env[name], value, name);
  assert.equal(told.env["MALLOC_ARENA_MAX"], "1", "the launcher's own");
});

test("the launcher names the part that is missing, in one line, and exits 1", () => {
  for (const part of ["node", "agent.mjs", "koffi.node"]) {
    using installation = install();
    const path = join(installation.parts, part);
    rmSync(path);
    assert.deepEqual(run([installation.launcher]), {
      status: 1,
      stdout: "",
      stderr: `install-cni: Cannot start the agent: ${path}: No such file or directory\n`,
    });
  }
});

test("the launcher says why Node cannot be executed", () => {
  using installation = install("exit 0");
  const path = join(installation.parts, "node");
  writeFileSync(path, "\u007fELF is not everything", { mode: 0o755 });
  const { status, stderr } = run([installation.launcher]);
  assert.deepEqual([status, stderr], [1, `install-cni: Cannot start the agent: ${path}: Exec format error\n`]);
});

test("the launcher raises the soft limit of descriptors to the hard one", () => {
  using installation = install("ulimit -Sn; ulimit -Hn");
  assert.equal(run(["prlimit", "--nofile=256:4096", installation.launcher]).stdout, "4096\n4096\n");
});

test("the launcher hands file capabilities on to Node as ambient ones, and starts without any", () => {
  requireRoot();
  using installation = install();
  // A Node that the other user may read, wherever the checkout lies.
  rmSync(join(installation.parts, "node"));
  cpSync(process.execPath, join(installation.parts, "node"));
  const without = toldBy(run([installation.launcher], {}, NON_ROOT));
  assert.deepEqual([without.effective, without.ambient], [0, 0]);

  // struct vfs_cap_data, revision 2, permitted only (linux/capability.h): what setcap writes for "=p".
  const value = Buffer.alloc(20);
  value.writeUInt32LE(0x02000000, 0);
  value.writeUInt32LE(CHART_CAPABILITIES, 4);
  const setXattr = "import os, sys; os.setxattr(sys.argv[1], 'security.capability', bytes.fromhex(sys.argv[2]))";
  execFileSync("python3", ["-c", setXattr, installation.launcher, value.toString("hex")], { timeout: 10_000 });
  const told = toldBy(run([installation.launcher], { NODE_OPTIONS: "--no-such-flag" }, NON_ROOT));
  assert.deepEqual([told.effective, told.ambient], [CHART_CAPABILITIES, CHART_CAPABILITIES]);
});

/** Runs a shell line as process 1 of new pid and mount namespaces in which /usr/bin has that tini, or none. */
function runAsInit(installation: Installation, tini: string | undefined, line: string): Run {
  requireRoot();
  const upper = join(installation.path, "usr-bin");
  mkdirSync(upper);
  if (tini !== undefined) writeFileSync(join(upper, "tini"), `#!/bin/sh\n${tini}\n`, { mode: 0o755 });
  // overlayfs takes a character device 0/0 for "there is none".
  else execFileSync("mknod", [join(upper, "tini"), "c", "0", "0"], { timeout: 10_000 });
  const mounts = `mount -t overlay overlay -o lowerdir=${upper}:/usr/bin /usr/bin`;
  return run(["unshare", "--pid", "--fork", "--mount", "--mount-proc", "sh", "-c", `${mounts} && ${line}`]);
}

test("the launcher goes through tini when it is process 1", () => {
  using installation = install();
  const result = runAsInit(
    installation,
    'echo "tini $*" >&2; shift 2; "$@"',
    `exec ${installation.launcher} --a "b c"`,
  );
  assert.equal(result.stderr, `tini -g -- ${installation.launcher} --a b c\n`);
  const told = toldBy(result);
  assert.notEqual(told.pid, 1);
  assert.deepEqual(told.argv.slice(1), ["--a", "b c"]);
  assert.equal("ISTIO_INSTALL_CNI_UNDER_TINI" in told.env, false);
});

test("the launcher does not go through tini for ever when it stays process 1", () => {
  using installation = install();
  const told = toldBy(runAsInit(installation, 'shift 2; exec "$@"', `exec ${installation.launcher}`));
  assert.equal(told.pid, 1);
});

test("the launcher starts the agent as process 1 where there is no tini", () => {
  using installation = install();
  assert.equal(toldBy(runAsInit(installation, undefined, `exec ${installation.launcher}`)).pid, 1);
});

test("the launcher finds its folder by its name when /proc is missing, and says what it needs otherwise", () => {
  requireRoot();
  using installation = install('echo "$@"');
  const withoutProc = (line: string): Run =>
    run(["unshare", "--mount", "sh", "-c", `mount -t tmpfs none /proc && ${line}`]);
  const found = withoutProc(`exec ${installation.launcher} --x`);
  assert.equal(found.status, 0, found.stderr);
  assert.match(found.stdout, new RegExp(`${installation.parts}/agent\\.mjs --x\n$`));
  const lost = withoutProc(`PATH=${installation.path}/bin exec install-cni`);
  assert.equal(lost.status, 1);
  assert.match(lost.stderr, /^install-cni: Cannot find the folder of .*mount \/proc or call it by its full path\n$/);
});
