/**
 * What a fuzz target is: a reader of hostile input, how inputs for it are made of others, and what must hold whatever the
 * input. The table of all targets is targets.ts; the loop over one is explore.ts.
 */
import { expectDeclared, type Parser } from "./oracle.ts";

/** Where the randomness and the other inputs of a mutation come from. */
export interface Mutation {
  /** A whole number from 0 to `bound` - 1. */
  below(bound: number): number;
  /** Another input of the same target. */
  other(): Uint8Array;
  /** One of the target's words. */
  word(): Uint8Array;
}

/** Makes an input of another one. It may give the same back; it never changes what it is given. */
export type Mutator = (input: Uint8Array, mutation: Mutation) => Uint8Array;

/** What one input did. */
export interface Outcome {
  /** What of it is worth telling from others: an input that shows a new one is kept and mutated further. */
  readonly features: readonly string[];
  /** Why it is a finding; absent: all that must hold held. */
  readonly failure?: Error;
}

export interface FuzzTarget {
  readonly name: string;
  /** Files below src/ and plugin/src/ of whose readers this is the target; the table in docs/fuzzing.md is made of it. */
  readonly parsers: readonly string[];
  readonly mutators: readonly [Mutator, ...Mutator[]];
  /** Inputs to begin with, besides those in the corpus. */
  readonly seeds: readonly Uint8Array[];
  /** Texts that mean something to the reader. */
  readonly words: readonly string[];
  /** Longest input made. */
  readonly maxBytes: number;
  /** So many are run at a time; more where a process has to be started for it. */
  readonly batch: number;
  /** The outcomes in the order of the inputs; of fewer than these, the one behind them is to blame for what was thrown. */
  run(inputs: readonly Uint8Array[], started: (input: Uint8Array) => void): Outcome[] | Promise<Outcome[]>;
}

/** The most of the processor's time that one input may take: what else the machine does is not counted. */
const SLOW_MS = 500;

type Fields = Partial<Pick<FuzzTarget, "seeds" | "words" | "maxBytes" | "batch">> &
  Pick<FuzzTarget, "name" | "parsers" | "mutators">;

/**
 * A target that reads in this process. `parse` does with the input whatever the product does and asserts what must hold; it
 * returns what was read. Of what it throws only `declared` errors are right.
 */
export function createTarget(fields: Fields, declared: readonly ErrorClass[], parse: Parser): FuzzTarget {
  return {
    seeds: [],
    words: [],
    maxBytes: 64 * 1024,
    batch: 64,
    ...fields,
    run: (inputs, started) =>
      inputs.map((input) => {
        started(input);
        return runOne(input, declared, parse);
      }),
  };
}

/** A class of errors that a reader documents. */
export type ErrorClass = new (...args: never[]) => Error;

function runOne(input: Uint8Array, declared: readonly ErrorClass[], parse: Parser): Outcome {
  let outcome: Outcome = { features: [] };
  // The first time the code may not have been compiled, or rubbish of others be collected: it is slow if it always is.
  for (let attempt = 0; attempt < 3; attempt++) {
    const before = process.threadCpuUsage();
    outcome = expectDeclared(input, declared, parse);
    const { user, system } = process.threadCpuUsage(before);
    if ((user + system) / 1000 < SLOW_MS || outcome.failure !== undefined) return outcome;
  }
  return { features: [], failure: new Error(`Slow: three times over ${SLOW_MS} ms`) };
}

const ENCODER = new TextEncoder();

export function bytesOf(text: string): Uint8Array {
  return ENCODER.encode(text);
}

/** As the product reads text that it was given as text: what is no UTF-8 has become U+FFFD before. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}
