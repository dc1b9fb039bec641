// Plugin and agent: what is sent, what is made of every kind of answer and of none.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeFrame, FRAME_ANSWER, FRAME_VERSION_REFUSED } from "../../src/core/plugin-protocol/frame.ts";
import { encodeAnswer } from "../../src/core/plugin-protocol/request.ts";
import { type Script, startFakeAgent } from "./fake-agent.ts";
import { ADD_ENVIRONMENT, BUILDS, cniErrorOf, netconf, pluginPath, runPlugin, temporaryFolder } from "./run-plugin.ts";

for (const build of BUILDS) pluginPath(build);

const CHECK_ENVIRONMENT = { ...ADD_ENVIRONMENT, CNI_COMMAND: "CHECK" };
const text = (value: Uint8Array | undefined): string => new TextDecoder().decode(value);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
const succeed: Script = (socket) => socket.end(encodeAnswer({ exitCode: 0 }));

function frame(type: number, fields: [number, string | Uint8Array][], version = 1): Uint8Array {
  const encoded = encodeFrame(
    type,
    new Map(fields.map(([key, value]) => [key, typeof value === "string" ? bytes(value) : value])),
  );
  new DataView(encoded.buffer).setUint16(4, version, true);
  return encoded;
}

for (const build of BUILDS) {
  test(`the ${build} plugin sends the agent everything the runtime has told it`, async () => {
    await using agent = await startFakeAgent(succeed);
    const stdin = ` ${netconf({ cni_agent_run_dir: agent.runDir, unknown: { é: [1, 2.5] } })}\n`;
    const run = await runPlugin(build, ADD_ENVIRONMENT, stdin);
    assert.deepEqual([run.exitCode, run.stdout.toString(), run.stderr], [0, '{"cniVersion":"1.0.0"}\n', ""]);
    assert.equal(agent.received.length, 1);
    const { header, fields } = agent.received[0] ?? assert.fail();
    assert.deepEqual([header.version, header.type, header.flags], [1, 1, 0]);
    const { CNI_ARGS, CNI_CONTAINERID, CNI_IFNAME, CNI_NETNS, CNI_PATH } = ADD_ENVIRONMENT;
    const remaining = text(fields.get(9));
    assert.deepEqual(
      [...fields].map(([key, value]) => [key, text(value)]),
      [
        [1, "ADD"],
        [2, CNI_CONTAINERID],
        [3, CNI_NETNS],
        [4, CNI_IFNAME],
        [5, CNI_ARGS],
        [6, CNI_PATH],
        [7, stdin],
        [8, "0.1.0"],
        [9, remaining],
      ],
    );
    assert.match(remaining, /^(60000|59\d{3})$/);
  });

  test(`the ${build} plugin prints prevResult when the agent leaves the result to it, and the agent's own otherwise`, async () => {
    const prevResult = { cniVersion: "1.0.0", ips: [{ address: "10.0.0.1/24" }] };
    for (const [stdout, printed] of [
      [undefined, JSON.stringify(prevResult)],
      ['{"cniVersion":"1.0.0","routes":[]}', '{"cniVersion":"1.0.0","routes":[]}'],
    ] as const) {
      await using agent = await startFakeAgent((socket) =>
        socket.end(encodeAnswer({ exitCode: 0, logLine: "done\nwell", ...(stdout === undefined ? {} : { stdout }) })),
      );
      const run = await runPlugin(build, ADD_ENVIRONMENT, netconf({ cni_agent_run_dir: agent.runDir, prevResult }));
      assert.deepEqual([run.exitCode, run.stdout.toString()], [0, printed]);
      const line = JSON.parse(run.stderr) as Record<string, unknown>;
      assert.deepEqual(
        [line["level"], line["msg"], line["pod"], line["namespace"]],
        ["info", "done\nwell", "cart", "shop"],
      );
    }
  });

  test(`the ${build} plugin prints an error of the agent as it is`, async () => {
    const stdout = '{ "cniVersion":"1.0.0","code":11,  "msg":"not yet" }';
    await using agent = await startFakeAgent((socket) => socket.end(encodeAnswer({ exitCode: 3, stdout })));
    for (const environment of [ADD_ENVIRONMENT, CHECK_ENVIRONMENT]) {
      const run = await runPlugin(build, environment, netconf({ cni_agent_run_dir: agent.runDir }));
      assert.deepEqual([run.exitCode, run.stdout.toString()], [3, stdout]);
    }
  });

  test(`the ${build} plugin prints nothing for CHECK`, async () => {
    await using agent = await startFakeAgent((socket) => socket.end(encodeAnswer({ exitCode: 0, stdout: "{}" })));
    const run = await runPlugin(build, CHECK_ENVIRONMENT, netconf({ cni_agent_run_dir: agent.runDir }));
    assert.deepEqual([run.exitCode, run.stdout.toString(), agent.received[0]?.request.command], [0, "", "CHECK"]);
  });

  const ok = frame(FRAME_ANSWER, [[1, "0"]]);
  const badAnswers: readonly [string, Uint8Array, RegExp][] = [
    ["no frame", bytes("HTTP/1.1 400 Bad Request\r\n\r\n"), /not of the socket contract/],
    ["half a header", ok.subarray(0, 7), /incomplete/],
    ["half a payload", ok.subarray(0, ok.length - 1), /incomplete/],
    ["a header alone", ok.subarray(0, 16), /incomplete/],
    ["an answer too large", Uint8Array.of(0x49, 0x43, 0x4e, 0x49, 1, 0, 2, 0, 1, 0, 16, 0, 0, 0, 0, 0), /too large/],
    [
      "an answer of 4 GiB",
      Uint8Array.of(0x49, 0x43, 0x4e, 0x49, 1, 0, 2, 0, 255, 255, 255, 255, 0, 0, 0, 0),
      /too large/,
    ],
    ["an empty answer", frame(FRAME_ANSWER, []), /does not follow the socket contract/],
    ["an exit code that is no number", frame(FRAME_ANSWER, [[1, "-1"]]), /does not follow/],
    ["an empty exit code", frame(FRAME_ANSWER, [[1, ""]]), /does not follow/],
    ["exit code 256", frame(FRAME_ANSWER, [[1, "256"]]), /does not follow/],
    ["a request as answer", frame(1, [[1, "0"]]), /does not follow/],
    ["an unknown frame type", frame(9, [[1, "0"]]), /does not follow/],
    ["an answer of another version", frame(FRAME_ANSWER, [[1, "0"]], 2), /does not follow/],
    [
      "a field that reaches beyond the payload",
      Uint8Array.of(...ok.subarray(0, 20), 2, 0, 0, 0, 0x30),
      /does not follow/,
    ],
    [
      "a success that is no JSON",
      frame(FRAME_ANSWER, [
        [1, "0"],
        [2, "ok"],
      ]),
      /not a JSON object/,
    ],
    [
      "a success that prints nothing at all",
      frame(FRAME_ANSWER, [
        [1, "0"],
        [2, ""],
      ]),
      /not a JSON object/,
    ],
    ["a failure without error", frame(FRAME_ANSWER, [[1, "1"]]), /not a JSON object/],
    [
      "a failure that is an array",
      frame(FRAME_ANSWER, [
        [1, "1"],
        [2, "[]"],
      ]),
      /not a JSON object/,
    ],
    [
      "a failure in other bytes",
      frame(FRAME_ANSWER, [
        [1, "1"],
        [2, Uint8Array.of(0x7b, 0xff, 0x7d)],
      ]),
      /not a JSON object/,
    ],
    [
      "a newer agent",
      frame(FRAME_VERSION_REFUSED, [[1, "7"]], 7),
      /plugin speaks version 1 .* the agent at most version 7/,
    ],
    [
      "a version refused without saying what",
      frame(FRAME_VERSION_REFUSED, [], 3),
      /plugin speaks version 1 .* version 3/,
    ],
  ];
  test(`the ${build} plugin turns an answer it cannot use into code 11`, async (context) => {
    for (const [name, answer, message] of badAnswers) {
      await context.test(name, async () => {
        await using agent = await startFakeAgent((socket) => socket.end(answer));
        const run = await runPlugin(build, ADD_ENVIRONMENT, netconf({ cni_agent_run_dir: agent.runDir }));
        const error = cniErrorOf(run);
        assert.deepEqual([run.exitCode, error.code, error.cniVersion], [1, 11, "1.0.0"]);
        assert.match(error.msg, message);
        assert.match(error.details ?? "", /istio-cni-node.*shop\/cart/);
      });
    }
  });

  test(`the ${build} plugin refuses a known field that comes twice`, async () => {
    const once = frame(FRAME_ANSWER, [[1, "0"]]);
    const twice = new Uint8Array([...once, ...once.subarray(16)]);
    new DataView(twice.buffer).setUint32(8, twice.length - 16, true);
    await using agent = await startFakeAgent((socket) => socket.end(twice));
    const run = await runPlugin(build, ADD_ENVIRONMENT, netconf({ cni_agent_run_dir: agent.runDir }));
    assert.match(cniErrorOf(run).msg, /does not follow the socket contract/);
  });

  test(`the ${build} plugin reads past fields it does not know, and an answer that comes byte by byte`, async () => {
    const answer = frame(FRAME_ANSWER, [
      [900, "later"],
      [1, "0"],
      [4, ""],
    ]);
    await using agent = await startFakeAgent((socket) => {
      let sent = 0;
      const next = (): void => {
        if (sent < answer.length) socket.write(answer.subarray(sent, ++sent), () => setImmediate(next));
      };
      next();
    });
    const run = await runPlugin(build, ADD_ENVIRONMENT, netconf({ cni_agent_run_dir: agent.runDir }));
    assert.equal(run.exitCode, 0);
  });

  test(`the ${build} plugin takes an answer of nearly 1 MiB and a request of 1 MiB`, async () => {
    const result = JSON.stringify({ cniVersion: "1.0.0", x: "y".repeat(1024 * 1024 - 100) });
    await using agent = await startFakeAgent((socket) => socket.end(encodeAnswer({ exitCode: 0, stdout: result })));
    const start = netconf({ cni_agent_run_dir: agent.runDir });
    const stdin = start + " ".repeat(1024 * 1024 - start.length);
    const run = await runPlugin(build, ADD_ENVIRONMENT, stdin);
    assert.deepEqual([run.exitCode, run.stdout.toString() === result], [0, true]);
    assert.equal(agent.received[0]?.request.stdin.length, 1024 * 1024);
  });

  test(`the ${build} plugin waits for an agent that comes late`, async () => {
    await using agent = await startFakeAgent(succeed, { listening: false });
    const running = runPlugin(
      build,
      ADD_ENVIRONMENT,
      netconf({ cni_agent_run_dir: agent.runDir, agent_wait_ms: 20_000 }),
    );
    await agent.listen();
    assert.equal((await running).exitCode, 0);
  });

  test(`the ${build} plugin asks again when the agent is restarted while it waits`, async () => {
    await using agent = await startFakeAgent((socket, received, count) => {
      if (count < 3) socket.destroy();
      else succeed(socket, received, count);
    });
    const run = await runPlugin(
      build,
      ADD_ENVIRONMENT,
      netconf({ cni_agent_run_dir: agent.runDir, agent_wait_ms: 20_000 }),
    );
    assert.deepEqual([run.exitCode, agent.received.length], [0, 3]);
  });

  test(`the ${build} plugin finds the agent that takes the place of one that ended before it answered`, async () => {
    await using agent = await startFakeAgent((socket, received, count) => {
      if (count > 1) succeed(socket, received, count);
    });
    const stdin = netconf({ cni_agent_run_dir: agent.runDir, agent_wait_ms: 20_000 });
    const running = runPlugin(build, ADD_ENVIRONMENT, stdin);
    await agent.waitFor(1);
    await agent.close();
    await agent.listen();
    assert.deepEqual([(await running).exitCode, agent.received.length], [0, 2]);
  });

  test(`the ${build} plugin gives an agent up that always hangs up`, async () => {
    await using agent = await startFakeAgent((socket) => socket.destroy());
    const run = await runPlugin(
      build,
      ADD_ENVIRONMENT,
      netconf({ cni_agent_run_dir: agent.runDir, agent_wait_ms: 100 }),
    );
    const error = cniErrorOf(run);
    assert.equal(error.code, 11);
    assert.match(error.msg, /it closed the connection\), tried for \d+ ms$/);
    assert.ok(agent.received.length > 1);
  });

  test(`the ${build} plugin says so when nobody listens, for ADD as an error and for CHECK as a log line`, async () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, "plugin.sock"), "");
    for (const [runDir, why] of [
      [folder.path, "Connection refused"],
      ["/nonexistent", "No such file or directory"],
    ] as const) {
      const stdin = netconf({ cni_agent_run_dir: runDir, agent_wait_ms: -5 });
      const error = cniErrorOf(await runPlugin(build, ADD_ENVIRONMENT, stdin));
      assert.equal(error.code, 11);
      assert.ok(error.msg.includes(`the agent does not answer on ${runDir}/plugin.sock (${why})`), error.msg);
      const check = await runPlugin(build, CHECK_ENVIRONMENT, stdin);
      assert.deepEqual([check.exitCode, check.stdout.toString()], [0, ""]);
      assert.match(check.stderr, new RegExp(`"level":"warn".*${why}`));
    }
  });
}

test("the plugin waits for CHECK's answer no longer than 5 seconds, and then passes", async () => {
  await using agent = await startFakeAgent(() => {});
  const run = await runPlugin("shipped", CHECK_ENVIRONMENT, netconf({ cni_agent_run_dir: agent.runDir }));
  assert.deepEqual([run.exitCode, run.stdout.toString()], [0, ""]);
  assert.match(run.stderr, /not answered within 5000 ms/);
});
