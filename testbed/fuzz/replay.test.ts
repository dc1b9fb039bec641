// Every kept input and every seed through its reader, and the fuzzer itself: that it finds, keeps and reports what there is to
// be found. The minute of fuzzing is test/fuzz.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CORPUS, keepInput, readCorpus, readInput } from "./corpus.ts";
import { explore, type Finding } from "./explore.ts";
import { bytesOf, createTarget, textOf } from "./fuzz-target.ts";
import { mutateBytes } from "./mutate-bytes.ts";
import { mutateJson } from "./mutate-json.ts";
import { AGENT_TARGETS, TARGET_NAMES } from "./targets.ts";

for (const target of AGENT_TARGETS) {
  test(`${target.name}: every kept input and every seed does what it must`, async () => {
    const entries = [
      ...readCorpus(target.name),
      ...target.seeds.map((input, index) => ({ path: `seed ${index}`, input })),
    ];
    for (const { path, input } of entries) {
      const [outcome] = await target.run([input], () => {});
      assert.equal(outcome?.failure, undefined, `${path}: ${outcome?.failure?.message}`);
    }
  });
}

test("the corpus has no folder that no target reads", () => {
  assert.deepEqual(
    readdirSync(CORPUS).filter((name) => !TARGET_NAMES.includes(name)),
    [],
  );
});

class DeclaredError extends Error {}

/** A reader with the defect to be found behind two words that only a mutation of the seed has. */
const faulty = (fault: (text: string) => unknown) =>
  createTarget(
    { name: "faulty", parsers: [], mutators: [mutateBytes, mutateJson], words: ["ab", "cd"], seeds: [bytesOf("{}")] },
    [DeclaredError],
    (input) => {
      const text = textOf(input);
      if (!text.includes("ab")) throw new DeclaredError("Cannot read: no ab");
      return text.includes("cd") ? fault(text) : { found: "ab" };
    },
  );

async function findingsOf(fault: (text: string) => unknown): Promise<Finding[]> {
  const findings: Finding[] = [];
  const options = { corpus: [], seed: 5, started: () => {}, found: (finding: Finding) => void findings.push(finding) };
  let batches = 0;
  await explore(faulty(fault), { ...options, isOver: () => findings.length > 0 || batches++ > 2000 });
  return findings;
}

const DEFECTS: readonly [what: string, fault: (text: string) => unknown, message: RegExp][] = [
  ["an error that is not declared", () => assert.fail("boom"), /boom/],
  [
    "an error without bound",
    () => {
      throw new DeclaredError("x".repeat(100_000));
    },
    /Unbounded: the message/,
  ],
  [
    "a raw control character in an error",
    () => {
      throw new DeclaredError("a\u001b[2J");
    },
    /Raw/,
  ],
  ["a result without bound", () => new Array(1_000_000).fill({ a: 1 }), /Unbounded: more than/],
  ["a record with a prototype of the input's", () => Object.create({ isAdmin: true }), /Pollution/],
];
for (const [what, fault, message] of DEFECTS) {
  test(`explore() finds ${what} and makes its input small`, async () => {
    const [finding] = await findingsOf(fault);
    assert.match(finding?.message ?? "nothing was found", message);
    assert.ok((finding?.input.length ?? 0) <= 8, textOf(finding?.input ?? new Uint8Array()));
  });
}

test("a reader that pollutes a prototype is found, whatever it returns", async () => {
  const pollute = (): void =>
    void Object.defineProperty(Object.prototype, "polluted", { value: 1, configurable: true });
  try {
    const [finding] = await findingsOf(pollute);
    assert.match(finding?.message ?? "", /Pollution: a prototype/);
  } finally {
    Reflect.deleteProperty(Object.prototype, "polluted");
  }
});

test("a kept input reads back as it was, text as text and anything else as hexadecimal", () => {
  const folder = mkdtempSync(join(tmpdir(), "corpus-"));
  try {
    for (const [input, ending] of [
      [bytesOf('{"é":1}\n\t'), ".txt"],
      [Uint8Array.of(0, 255, 10), ".hex"],
      [bytesOf("a\r\n"), ".hex"],
      [new Uint8Array(100).fill(7), ".hex"],
    ] as const) {
      const path = keepInput("x", input, folder);
      assert.ok(path.endsWith(ending), path);
      assert.deepEqual(readInput(path), input);
    }
    assert.equal(readCorpus("x", folder).length, 4);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
