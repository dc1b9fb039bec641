/**
 * Mutations of JSON as a tree in which keys may repeat and may be any text: values of other kinds, keys renamed to words and to
 * names of prototypes, parts left out, doubled, nested deeply; written with blanks and escapes that mean nothing.
 */
import { bytesOf, type Mutation, type Mutator, textOf } from "./fuzz-target.ts";
import { mutateBytes } from "./mutate-bytes.ts";

/** `text`: a scalar as it is written. */
type Tree =
  | { readonly kind: "scalar"; text: string }
  | { readonly kind: "list"; items: Tree[] }
  | { readonly kind: "object"; members: [key: string, value: Tree][] };

const SCALARS = [
  "null",
  "true",
  "false",
  "0",
  "-0",
  "-1",
  "1.5",
  "1e3",
  "65535",
  "65536",
  "4294967295",
  "9007199254740993",
  "1e999",
];
const TEXTS = [
  "",
  " ",
  "a",
  "*",
  "0",
  "1",
  "true",
  "a,b",
  "a/b",
  "\0",
  "\n",
  "\u2028",
  "é",
  "😀",
  "\ud800",
  "\ufeff",
  "../..",
  "__proto__",
];
const KEYS = ["__proto__", "constructor", "toString", "hasOwnProperty", "length", ""];

/** One time in four the bytes are changed without regard to their form, and always where they are no JSON. */
export const mutateJson: Mutator = (input, mutation) => {
  const tree = mutation.below(4) === 0 ? undefined : readTree(input);
  if (tree === undefined) return mutateBytes(input, mutation);
  for (let left = 1 + mutation.below(3); left > 0; left--) changeOne(tree, mutation);
  return bytesOf(write(tree, mutation));
};

function readTree(input: Uint8Array): Tree | undefined {
  try {
    return toTree(JSON.parse(textOf(input)), 0);
  } catch {
    return undefined;
  }
}

function toTree(value: unknown, depth: number): Tree {
  if (typeof value !== "object" || value === null || depth > 200) {
    return { kind: "scalar", text: typeof value === "object" ? "null" : JSON.stringify(value) };
  }
  if (Array.isArray(value)) return { kind: "list", items: value.map((item) => toTree(item, depth + 1)) };
  return { kind: "object", members: Object.entries(value).map(([key, item]) => [key, toTree(item, depth + 1)]) };
}

function nodesOf(tree: Tree, nodes: Tree[] = []): Tree[] {
  nodes.push(tree);
  if (nodes.length > 2000) return nodes;
  if (tree.kind === "list") for (const item of tree.items) nodesOf(item, nodes);
  if (tree.kind === "object") for (const [, value] of tree.members) nodesOf(value, nodes);
  return nodes;
}

function changeOne(tree: Tree, mutation: Mutation): void {
  const { below } = mutation;
  const nodes = nodesOf(tree);
  const node = nodes[below(nodes.length)];
  if (node === undefined) return;
  if (node.kind === "scalar") node.text = someScalar(mutation, node.text);
  else if (node.kind === "list") changeList(node.items, mutation);
  else changeObject(node.members, mutation);
}

function changeList(items: Tree[], mutation: Mutation): void {
  const { below } = mutation;
  const at = below(items.length + 1);
  const item = items[at];
  const kind = below(5);
  if (item === undefined || kind === 0) items.splice(at, 0, someTree(mutation));
  else if (kind === 1) items.splice(at, 1);
  else if (kind === 2) items.splice(at, 0, ...new Array<Tree>(1 << below(below(16) === 0 ? 11 : 3)).fill(item));
  else items[at] = someTree(mutation);
}

function changeObject(members: [key: string, value: Tree][], mutation: Mutation): void {
  const { below } = mutation;
  const at = below(members.length + 1);
  const member = members[at];
  const kind = below(6);
  if (member === undefined || kind === 0) members.splice(at, 0, [someKey(mutation), someTree(mutation)]);
  else if (kind === 1) members.splice(at, 1);
  else if (kind === 2) members[at] = [someKey(mutation), member[1]];
  else if (kind === 3) members.push([member[0], someTree(mutation)]);
  else members[at] = [member[0], someTree(mutation)];
}

function someKey(mutation: Mutation): string {
  const { below } = mutation;
  if (below(3) > 0) return textOf(mutation.word());
  return below(2) === 0 ? (KEYS[below(KEYS.length)] ?? "") : someText(mutation);
}

function someTree(mutation: Mutation): Tree {
  const { below } = mutation;
  switch (below(7)) {
    case 0: {
      const other = readTree(mutation.other());
      const nodes = other === undefined ? [] : nodesOf(other);
      return nodes[below(Math.max(1, nodes.length))] ?? { kind: "scalar", text: "null" };
    }
    case 1:
      return { kind: "list", items: below(2) === 0 ? [] : [someTree(mutation)] };
    case 2:
      return { kind: "object", members: below(2) === 0 ? [] : [[someKey(mutation), someTree(mutation)]] };
    case 3:
      return below(8) === 0 ? deepTree(1 << below(16)) : { kind: "scalar", text: someScalar(mutation, "") };
    default:
      return { kind: "scalar", text: someScalar(mutation, "") };
  }
}

/** Written at once: a tree of such depth could not be walked. */
function deepTree(depth: number): Tree {
  return {
    kind: "scalar",
    text: depth % 2 === 0 ? "[".repeat(depth) + "]".repeat(depth) : `${'{"a":'.repeat(depth)}0${"}".repeat(depth)}`,
  };
}

function someScalar(mutation: Mutation, old: string): string {
  const { below } = mutation;
  switch (below(5)) {
    case 0:
      return SCALARS[below(SCALARS.length)] ?? "null";
    case 1:
      return JSON.stringify(textOf(mutation.word()));
    case 2:
      return JSON.stringify(someText(mutation).repeat(1 << below(below(16) === 0 ? 16 : 4)));
    case 3:
      return old.startsWith('"')
        ? JSON.stringify(textOf(mutateBytes(bytesOf(old.slice(1, -1)), mutation)))
        : String(below(70_000));
    default:
      return JSON.stringify(someText(mutation));
  }
}

function someText({ below }: Mutation): string {
  return TEXTS[below(TEXTS.length)] ?? "";
}

/** As JSON, unless a mutation of a scalar has made it none. */
function write(tree: Tree, mutation: Mutation): string {
  const isOdd = mutation.below(8) === 0;
  const blank = (): string =>
    isOdd && mutation.below(6) === 0 ? ([" ", "\n", "\t", "\r\n"][mutation.below(4)] ?? "") : "";
  const key = (text: string): string => {
    if (!isOdd || mutation.below(4) > 0) return JSON.stringify(text);
    return `"${[...text].map((one) => (/[a-z]/.test(one) ? `\\u00${one.charCodeAt(0).toString(16)}` : JSON.stringify(one).slice(1, -1))).join("")}"`;
  };
  const put = (node: Tree): string => {
    if (node.kind === "scalar") return blank() + node.text + blank();
    if (node.kind === "list") return `[${blank()}${node.items.map(put).join(",")}]`;
    return `{${blank()}${node.members.map(([name, value]) => `${key(name)}${blank()}:${put(value)}`).join(",")}${blank()}}`;
  };
  return put(tree);
}
