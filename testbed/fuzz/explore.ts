/**
 * Fuzzes one target: mutates inputs that are known, keeps those that show something new, makes what fails smaller. Nothing
 * here waits, measures memory or survives a reader that never returns: that is fuzz-run.ts.
 */
import { createRandom, type Random } from "../../plugin/test/random.ts";
import { bytesOf, type FuzzTarget, type Mutation } from "./fuzz-target.ts";
import { someRange, splice } from "./mutate-bytes.ts";
import { skeletonOf } from "./oracle.ts";

/** An input that breaks what must hold, as small as it was got. */
export interface Finding {
  readonly input: Uint8Array;
  readonly message: string;
  readonly stack: string;
}

export interface ExploreOptions {
  /** Kept inputs; all of them are run first. */
  readonly corpus: readonly Uint8Array[];
  readonly seed: number;
  /** No new batch is begun when this says so of the number of inputs that there were. */
  isOver(executions: number): boolean;
  /** Called before each input, or each batch where the target runs them in another process. */
  started(input: Uint8Array): void;
  found(finding: Finding): void;
}

export interface Explored {
  readonly executions: number;
  /** How many different things the inputs did. */
  readonly features: number;
  /** Inputs that showed something new, smallest first. */
  readonly kept: readonly Uint8Array[];
}

const MAX_POOL = 4000;
const MAX_FINDINGS = 20;
const SHRINKING_ATTEMPTS = 400;

export async function explore(target: FuzzTarget, options: ExploreOptions): Promise<Explored> {
  const random = createRandom(options.seed);
  const seen = new Set<string>();
  const reported = new Set<string>();
  const pool: Uint8Array[] = [];
  let executions = 0;

  async function run(inputs: readonly Uint8Array[]): Promise<void> {
    const outcomes = await target.run(inputs, options.started);
    executions += inputs.length;
    for (const [index, { features, failure }] of outcomes.entries()) {
      const input = inputs[index] ?? new Uint8Array();
      if (failure !== undefined) await report(input, failure);
      const isNew = features.some((feature) => !seen.has(feature));
      for (const feature of features) seen.add(feature);
      if (!isNew || failure !== undefined) continue;
      if (pool.length < MAX_POOL) pool.push(input);
      else pool[random.below(MAX_POOL)] = input;
    }
  }

  async function report(input: Uint8Array, failure: Error): Promise<void> {
    const key = skeletonOf(failure);
    if (reported.has(key) || reported.size === MAX_FINDINGS) return;
    reported.add(key);
    const smaller = await shrink(target, input, key, random, options.started);
    options.found({ input: smaller, message: failure.message, stack: failure.stack ?? "" });
  }

  const first = [...options.corpus, ...target.seeds, new Uint8Array()];
  for (let at = 0; at < first.length; at += target.batch) await run(first.slice(at, at + target.batch));
  const mutation = mutationFrom(random, pool, target.words.map(bytesOf));
  while (!options.isOver(executions))
    await run(Array.from({ length: target.batch }, () => mutate(target, choose(pool, random), mutation)));
  const kept = pool.toSorted((left, right) => left.length - right.length);
  return { executions, features: seen.size, kept };
}

function mutationFrom({ below }: Random, pool: readonly Uint8Array[], words: readonly Uint8Array[]): Mutation {
  const none = new Uint8Array();
  return {
    below,
    other: () => pool[below(Math.max(1, pool.length))] ?? none,
    word: () => words[below(Math.max(1, words.length))] ?? none,
  };
}

const LARGE_BYTES = 2048;

/** Small ones preferred, many more of which are done with in the same time. */
function choose(pool: readonly Uint8Array[], random: Random): Uint8Array {
  const chosen = chooseAny(pool, random);
  return chosen.length > LARGE_BYTES && random.below(8) > 0 ? chooseAny(pool, random) : chosen;
}

/** Half of the time one of those found last: there is more to be found near them. */
function chooseAny(pool: readonly Uint8Array[], { below }: Random): Uint8Array {
  const last = Math.ceil(pool.length / 4);
  return (
    pool[below(2) === 0 ? pool.length - 1 - below(Math.max(1, last)) : below(Math.max(1, pool.length))] ??
    new Uint8Array()
  );
}

function mutate({ mutators, maxBytes }: FuzzTarget, input: Uint8Array, mutation: Mutation): Uint8Array {
  const mutator = mutators[mutation.below(mutators.length)] ?? mutators[0];
  const mutated = mutator(input, mutation);
  return mutated.length <= maxBytes ? mutated : mutated.subarray(0, maxBytes);
}

/** Takes ranges out for as long as the same thing goes on failing. */
async function shrink(
  target: FuzzTarget,
  input: Uint8Array,
  key: string,
  random: Random,
  started: (input: Uint8Array) => void,
): Promise<Uint8Array> {
  let smallest = input;
  const deadlineMs = performance.now() + 20_000;
  for (let attempt = 0; attempt < SHRINKING_ATTEMPTS && performance.now() < deadlineMs; attempt++) {
    const half = Math.ceil(smallest.length / 2 ** (1 + (attempt % 6)));
    const start = random.below(smallest.length + 1);
    const range =
      attempt % 3 === 0 ? someRange(smallest.length, random) : [start, Math.min(smallest.length, start + half)];
    const tried = splice(smallest, range[0] ?? 0, range[1] ?? 0);
    if (tried.length === smallest.length) continue;
    const [outcome] = await target.run([tried], started);
    if (outcome?.failure !== undefined && skeletonOf(outcome.failure) === key) smallest = tried;
  }
  return smallest;
}
