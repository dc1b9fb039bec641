// What libcni's skel answers before a plugin's own code runs (contract 4.1, 4.2), by both builds.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ADD_ENVIRONMENT, BUILDS, cniErrorOf, netconf, pluginPath, runPlugin } from "./run-plugin.ts";

for (const build of BUILDS) pluginPath(build);

const VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

interface Refusal {
  readonly name: string;
  readonly environment?: Record<string, string>;
  readonly without?: readonly (keyof typeof ADD_ENVIRONMENT)[];
  readonly stdin?: string | Uint8Array;
  readonly code: number;
  readonly msg: string | RegExp;
  readonly details?: RegExp;
  readonly cniVersion?: string;
}

function bytesOf(...parts: readonly (string | readonly number[])[]): Uint8Array {
  return Buffer.concat(parts.map((part) => Buffer.from(part as string)));
}

const refusals: readonly Refusal[] = [
  {
    name: "ADD without CNI_CONTAINERID",
    without: ["CNI_CONTAINERID"],
    code: 4,
    msg: "required env variables [CNI_CONTAINERID] missing",
  },
  { name: "ADD without CNI_NETNS", without: ["CNI_NETNS"], code: 4, msg: "required env variables [CNI_NETNS] missing" },
  {
    name: "ADD without CNI_IFNAME",
    without: ["CNI_IFNAME"],
    code: 4,
    msg: "required env variables [CNI_IFNAME] missing",
  },
  { name: "ADD without CNI_PATH", without: ["CNI_PATH"], code: 4, msg: "required env variables [CNI_PATH] missing" },
  {
    name: "ADD without any variable, naming all",
    without: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
    code: 4,
    msg: "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing",
  },
  {
    name: "CHECK without CNI_NETNS",
    environment: { CNI_COMMAND: "CHECK" },
    without: ["CNI_NETNS"],
    code: 4,
    msg: "required env variables [CNI_NETNS] missing",
  },
  {
    name: "GC without CNI_PATH",
    environment: { CNI_COMMAND: "GC" },
    without: ["CNI_PATH"],
    code: 4,
    msg: "required env variables [CNI_PATH] missing",
  },
  {
    name: "STATUS without CNI_PATH",
    environment: { CNI_COMMAND: "STATUS" },
    without: ["CNI_PATH"],
    code: 4,
    msg: "required env variables [CNI_PATH] missing",
  },
  {
    name: "a container id with a slash",
    environment: { CNI_CONTAINERID: "a/b" },
    code: 4,
    msg: "invalid characters in containerID",
    details: /^a\/b$/,
  },
  {
    name: "a container id that begins with a dot",
    environment: { CNI_CONTAINERID: ".a" },
    code: 4,
    msg: "invalid characters in containerID",
  },
  {
    name: "an interface name of 16 characters",
    environment: { CNI_IFNAME: "abcdefghijklmnop" },
    code: 4,
    msg: "interface name is too long",
  },
  { name: "the interface name ..", environment: { CNI_IFNAME: ".." }, code: 4, msg: "interface name is . or .." },
  {
    name: "an interface name with a colon",
    environment: { CNI_IFNAME: "a:b" },
    code: 4,
    msg: /contains \/ or : or whitespace/,
  },
  {
    name: "an interface name with a blank",
    environment: { CNI_IFNAME: "a b" },
    code: 4,
    msg: /contains \/ or : or whitespace/,
  },
  { name: "an unknown command", environment: { CNI_COMMAND: "add" }, code: 4, msg: "unknown CNI_COMMAND: add" },
  {
    name: "CNI_ARGS of 70 KB",
    environment: { CNI_ARGS: "a".repeat(70_000) },
    code: 4,
    msg: /CNI_ARGS: it is larger than 65536 bytes/,
  },
  {
    name: "a pair in CNI_ARGS without =",
    environment: { CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME" },
    code: 4,
    msg: 'ARGS: invalid pair "K8S_POD_NAME"',
  },
  {
    name: "a pair in CNI_ARGS with two =",
    environment: { CNI_ARGS: "A=B=C" },
    code: 4,
    msg: 'ARGS: invalid pair "A=B=C"',
  },
  {
    name: "an empty pair in CNI_ARGS",
    environment: { CNI_ARGS: "IgnoreUnknown=1;" },
    code: 4,
    msg: 'ARGS: invalid pair ""',
  },
  {
    name: "an unknown key in CNI_ARGS",
    environment: { CNI_ARGS: "A=1;K8S_POD_NAME=a;B=2" },
    code: 4,
    msg: 'ARGS: unknown args ["A=1" "B=2"]',
  },
  {
    name: "IgnoreUnknown that is no boolean",
    environment: { CNI_ARGS: "IgnoreUnknown=yes" },
    code: 4,
    msg: /"IgnoreUnknown=yes": not a boolean/,
  },
  { name: "empty stdin", stdin: "", code: 6, msg: /^error unmarshall network config: unexpected end of JSON input/ },
  { name: "stdin of blanks", stdin: " \n\t ", code: 6, msg: /unexpected end of JSON input/ },
  { name: "truncated stdin", stdin: netconf().slice(0, -1), code: 6, msg: /unexpected end of JSON input/ },
  { name: "stdin that is text", stdin: "hello", code: 6, msg: /error unmarshall network config: unexpected character/ },
  { name: "stdin that is an array", stdin: "[]", code: 6, msg: /it is not a JSON object/ },
  { name: "two documents on stdin", stdin: `${netconf()}{}`, code: 6, msg: /something follows the JSON value/ },
  { name: "a NUL after the document", stdin: `${netconf()}\0`, code: 6, msg: /something follows the JSON value/ },
  {
    name: "stdin that is not UTF-8",
    stdin: bytesOf('{"name":"n","x":"', [0xff], '"}'),
    code: 6,
    msg: /not UTF-8 at byte 17/,
  },
  {
    name: "an overlong UTF-8 form",
    stdin: bytesOf('{"name":"n","x":"', [0xc0, 0xaf], '"}'),
    code: 6,
    msg: /not UTF-8/,
  },
  {
    name: "a UTF-8 surrogate",
    stdin: bytesOf('{"name":"n","x":"', [0xed, 0xa0, 0x80], '"}'),
    code: 6,
    msg: /not UTF-8/,
  },
  { name: "a UTF-8 character cut by the end", stdin: bytesOf('{"name":"', [0xe2, 0x82]), code: 6, msg: /not UTF-8/ },
  { name: "a control character in a string", stdin: '{"name":"a\nb"}', code: 6, msg: /control character/ },
  { name: "deeply nested stdin", stdin: `{"name":"n","x":${"[".repeat(100_000)}`, code: 6, msg: /nested too deeply/ },
  {
    name: "one level too many",
    stdin: `{"name":"n","x":${"[".repeat(64)}${"]".repeat(64)}}`,
    code: 6,
    msg: /nested too deeply/,
  },
  { name: "1 MiB and one byte of stdin", stdin: " ".repeat(1024 * 1024 + 1), code: 6, msg: /more than 1048576 bytes/ },
  { name: "no name", stdin: '{"cniVersion":"1.0.0"}', code: 7, msg: "missing network name" },
  { name: "null", stdin: "null", code: 7, msg: "missing network name" },
  {
    name: "a name with a blank",
    stdin: netconf({ name: "a b" }),
    code: 7,
    msg: "invalid characters found in network name",
    details: /^a b$/,
  },
  { name: "a name with a NUL", stdin: '{"name":"a\\u0000"}', code: 7, msg: /"name"/ },
  {
    name: "a name that is a number",
    stdin: netconf({ name: 5 }),
    code: 7,
    msg: /"name" of the network configuration: it is 5, accepted is a string/,
  },
  {
    name: "an unknown cniVersion",
    stdin: netconf({ cniVersion: "9.9.9" }),
    code: 1,
    msg: "incompatible CNI versions",
    details: /config is "9\.9\.9", plugin supports \["0\.1\.0" /,
    cniVersion: "9.9.9",
  },
  { name: "a cniVersion that is no string", stdin: netconf({ cniVersion: 1 }), code: 7, msg: /"cniVersion"/ },
  {
    name: "a prevResult that is no object",
    stdin: netconf({ prevResult: [] }),
    code: 7,
    msg: /"prevResult".*it is an array, accepted is an object/,
    cniVersion: "1.0.0",
  },
  {
    name: "ambient_enabled that is text",
    stdin: netconf({ ambient_enabled: "true" }),
    code: 7,
    msg: /"ambient_enabled".*accepted is true or false/,
  },
  {
    name: "exclude_namespaces that is text",
    stdin: netconf({ exclude_namespaces: "a" }),
    code: 7,
    msg: /"exclude_namespaces".*an array of strings/,
  },
  {
    name: "a number in exclude_namespaces",
    stdin: netconf({ exclude_namespaces: ["a", 1] }),
    code: 7,
    msg: /"exclude_namespaces".*an array of strings/,
  },
  { name: "a pod_namespace that is a number", stdin: netconf({ pod_namespace: 1 }), code: 7, msg: /"pod_namespace"/ },
  {
    name: "a relative run directory",
    stdin: netconf({ cni_agent_run_dir: "run" }),
    code: 7,
    msg: /"cni_agent_run_dir".*an absolute path/,
  },
  {
    name: "a run directory too long for a socket",
    stdin: netconf({ cni_agent_run_dir: `/${"a".repeat(95)}` }),
    code: 7,
    msg: /"cni_agent_run_dir".*at most 95 bytes/,
  },
  {
    name: "agent_wait_ms that is text",
    stdin: netconf({ agent_wait_ms: "1" }),
    code: 7,
    msg: /"agent_wait_ms".*a whole number of milliseconds/,
  },
  {
    name: "agent_wait_ms with a fraction",
    stdin: netconf({ agent_wait_ms: 1.5 }),
    code: 7,
    msg: /"agent_wait_ms".*it is 1\.5/,
  },
  {
    name: "a runtimeConfig that is text",
    stdin: netconf({ runtimeConfig: "x" }),
    code: 7,
    msg: /"runtimeConfig".*an object/,
  },
  {
    name: "CHECK before 0.4.0",
    environment: { CNI_COMMAND: "CHECK" },
    stdin: netconf({ cniVersion: "0.3.1" }),
    code: 1,
    msg: "config version does not allow CHECK",
  },
  { name: "GC before 1.1.0", environment: { CNI_COMMAND: "GC" }, code: 1, msg: "config version does not allow GC" },
  {
    name: "STATUS before 1.1.0",
    environment: { CNI_COMMAND: "STATUS" },
    code: 1,
    msg: "config version does not allow STATUS",
    cniVersion: "1.0.0",
  },
];

for (const build of BUILDS) {
  test(`the ${build} plugin refuses bad requests with code, text and exit code 1`, async (context) => {
    for (const refusal of refusals) {
      await context.test(refusal.name, async () => {
        const environment: Record<string, string> = { ...ADD_ENVIRONMENT, ...refusal.environment };
        for (const name of refusal.without ?? []) delete environment[name];
        const run = await runPlugin(build, environment, refusal.stdin ?? netconf());
        const error = cniErrorOf(run);
        assert.equal(run.exitCode, 1);
        assert.equal(error.code, refusal.code, error.msg);
        if (typeof refusal.msg === "string") assert.equal(error.msg, refusal.msg);
        else assert.match(error.msg, refusal.msg);
        if (refusal.details !== undefined) assert.match(error.details ?? "", refusal.details);
        if (refusal.cniVersion !== undefined) assert.equal(error.cniVersion, refusal.cniVersion);
        const line: unknown = JSON.parse(run.stderr);
        assert.equal((line as { level: string }).level, "warn");
      });
    }
  });

  test(`the ${build} plugin tells its versions without reading stdin`, async () => {
    const run = await runPlugin(build, { CNI_COMMAND: "VERSION" }, "no JSON");
    assert.equal(run.exitCode, 0);
    assert.equal(run.stdout.toString(), `{"cniVersion":"1.1.0","supportedVersions":${JSON.stringify(VERSIONS)}}\n`);
    assert.equal(run.stderr, "");
  });

  test(`the ${build} plugin explains itself on stderr when no command is set`, async () => {
    for (const environment of [{}, { CNI_COMMAND: "" }]) {
      const run = await runPlugin(build, environment);
      assert.equal(run.exitCode, 0);
      assert.equal(run.stdout.length, 0);
      assert.match(
        run.stderr,
        /^CNI plugin istio-cni \d+\.\d+\.\d+\nCNI protocol versions supported: 0\.1\.0, .*1\.1\.0\n$/,
      );
    }
  });

  test(`the ${build} plugin succeeds at GC and STATUS 1.1.0 without an agent`, async () => {
    for (const command of ["GC", "STATUS"]) {
      const run = await runPlugin(build, { CNI_COMMAND: command, CNI_PATH: "/x" }, netconf({ cniVersion: "1.1.0" }));
      assert.deepEqual([run.exitCode, run.stdout.toString(), run.stderr], [0, "", ""]);
    }
  });
}
