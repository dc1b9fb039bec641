// The bash script is tried in a real bash, as readline would call it; the other shells' scripts by what is in them.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { AGENT_COMMAND, COMMANDS, findCommand } from "./commands.ts";
import { renderCompletion } from "./completion-script.ts";

const BASH = renderCompletion("bash", { withDescriptions: true });
/** How readline splits a line: at blanks, with each "=" a word of its own. */
const READLINE_WORDS = /[^\s=]+|=/g;

/** What bash offers at the end of this line; a blank at its end begins a new word. */
function complete(line: string): readonly string[] {
  const words: string[] = line.match(READLINE_WORDS) ?? [];
  if (line.endsWith(" ")) words.push("");
  const quoted = words.map((word) => `'${word}'`).join(" ");
  const script = `${BASH}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _install_cni; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { status, stdout, stderr } = spawnSync("bash", ["--norc", "-uc", script], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], LC_ALL: "C" },
    cwd: import.meta.dirname,
    timeout: 20_000,
  });
  assert.deepEqual([status, stderr], [0, ""], line);
  return stdout.split("\n").filter((word) => word !== "");
}

describe("the completion script for bash", () => {
  it("offers the commands, and those that a word begins", () => {
    assert.deepEqual(
      complete("install-cni "),
      COMMANDS.map(({ name }) => name),
    );
    assert.deepEqual(complete("install-cni co"), ["config", "completion"]);
    assert.deepEqual(complete("install-cni x"), []);
  });

  it("offers every flag of the agent and of each command, and no other", () => {
    for (const spec of [AGENT_COMMAND, ...COMMANDS]) {
      const expected = [...spec.flags, ...spec.optionFlags].map(({ name }) => `--${name}`);
      assert.deepEqual(complete(`install-cni ${spec.name === "" ? "" : `${spec.name} `}--`), expected, spec.name);
    }
  });

  it("finds the command behind flags and their values", () => {
    assert.deepEqual(complete("install-cni --cni-agent-run-dir /x status --o"), ["--output"]);
    assert.deepEqual(complete("install-cni --cni-agent-run-dir=/x status --o"), ["--output"]);
    assert.deepEqual(complete("install-cni --log_as_json version --s"), ["--short"]);
    assert.deepEqual(complete("install-cni --log_output_level version --s"), ["--skip-tls-verify"]);
  });

  it("offers a flag's values behind a blank and behind =", () => {
    for (const between of [" ", "="]) {
      assert.deepEqual(complete(`install-cni --log-level${between}`), [
        "debug",
        "info",
        "warn",
        "error",
        "fatal",
        "none",
      ]);
      assert.deepEqual(complete(`install-cni --log-level${between}e`), ["error"]);
      assert.deepEqual(complete(`install-cni status --output${between}j`), ["json"]);
    }
    assert.deepEqual(complete("install-cni version -o y"), ["yaml"]);
    assert.deepEqual(complete("install-cni status --output "), ["text", "json"]);
    assert.deepEqual(complete("install-cni version --output "), ["yaml", "json"]);
    assert.deepEqual(complete("install-cni --monitoring-port "), []);
  });

  it("offers files where a path is meant", () => {
    assert.deepEqual(complete("install-cni --cni-network-config-file completion-script.te"), [
      "completion-script.test.ts",
    ]);
    assert.deepEqual(complete("install-cni --cni-network-config-file=completion-script.te"), [
      "completion-script.test.ts",
    ]);
  });

  it("offers what may follow completion and help", () => {
    assert.deepEqual(complete("install-cni completion "), ["bash", "zsh", "fish", "powershell"]);
    assert.deepEqual(complete("install-cni completion f"), ["fish"]);
    assert.deepEqual(complete("install-cni help log"), ["log-level"]);
    assert.deepEqual(complete("install-cni status "), []);
  });

  it("survives unfinished and strange lines", () => {
    for (const line of [
      "install-cni =",
      "install-cni --output=",
      "install-cni nope --",
      "install-cni -- x",
      "install-cni - ",
    ]) {
      complete(line);
    }
  });

  it("is bound to the program's name", () => {
    const script = `${BASH}\ncomplete -p install-cni`;
    const { stdout } = spawnSync("bash", ["--norc", "-uc", script], { encoding: "utf8", timeout: 20_000 });
    assert.equal(stdout, "complete -F _install_cni install-cni\n");
  });
});

describe("the completion scripts for zsh, fish and powershell", () => {
  for (const shell of ["zsh", "fish", "powershell"] as const) {
    it(`name every command and flag (${shell})`, () => {
      const script = renderCompletion(shell, { withDescriptions: true });
      for (const spec of [AGENT_COMMAND, ...COMMANDS]) {
        assert.ok(script.includes(spec.name));
        for (const { name } of [...spec.flags, ...spec.optionFlags]) {
          assert.ok(script.includes(shell === "fish" ? `-l ${name}` : `--${name}`), `${spec.name} --${name}`);
        }
      }
    });

    it(`leave descriptions out where they are not wanted (${shell})`, () => {
      const summary = findCommand("status")?.summary ?? assert.fail();
      assert.ok(renderCompletion(shell, { withDescriptions: true }).includes(summary));
      const without = renderCompletion(shell, { withDescriptions: false });
      assert.ok(!without.includes(summary));
      assert.ok(!without.includes("Print this text."));
    });
  }
});
