// Documents that claim something link the test that shows it: [name of the test](../path/of/it.test.ts). Here it is checked
// that each such test is still there, so that a table of claims cannot rot. Pure: texts in, complaints out. Whether the test
// shows what is claimed, only a reader can tell.

/** One link to a test. */
export interface Citation {
  /** From 1. */
  readonly line: number;
  /** As in the link: relative to the document. */
  readonly path: string;
  readonly name: string;
}

/** Text of a file by its path relative to the document; undefined when there is none. */
export type ReadFile = (path: string) => string | undefined;

const CITATION = /\[((?:[^[\]\\]|\\.)+)\]\(([^()\s]+\.test\.ts)\)/g;
const COMMENT = /^[ \t]*(?:\/\/.*|\/?\*.*)$/gm;
/** A test of node:test with its name: a literal, a template, or a variable. */
const TEST =
  /\b(?:test|it)\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`|([A-Za-z_$][\w.$]*)\s*,)/g;
const LOCAL_IMPORT = /(?:from|import)\s+"(\.\/[^"/]+\.ts)"/g;
const INTERPOLATION = /\$\{[^}]*\}/;
/** What a citation may write for a part of a name that differs from test to test. */
const ANY = "…";

/** Every link to a test in a document. */
export function findCitations(document: string): Citation[] {
  return document.split("\n").flatMap((text, index) =>
    [...text.matchAll(CITATION)].map(([, name = "", path = ""]) => ({
      line: index + 1,
      path,
      name: name.replaceAll(/\\(.)/g, "$1"),
    })),
  );
}

/** One sentence for each citation whose file is not there or has no test of that name.
 *
 * A test may be declared in a file beside the cited one that is imported by it, directly or not. Where a name is made of a template, each part
 * that the template leaves open must be `…` in the citation, or a literal or key of those files: a case of a table. */
export function findMissingTests(document: string, readFile: ReadFile): string[] {
  return findCitations(document).flatMap(({ line, path, name }) => {
    if (readFile(path) === undefined) return [`line ${line}: there is no file ${path}`];
    const code = withImports(path, readFile)
      .map((source) => source.replaceAll(COMMENT, ""))
      .join("\n");
    return hasTest(code, name) ? [] : [`line ${line}: ${path} has no test "${name}"`];
  });
}

/** The texts of a file and of those beside it that it imports, directly or not. */
function withImports(path: string, readFile: ReadFile): string[] {
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  const texts = new Map<string, string>();
  const visit = (each: string): void => {
    const text = texts.has(each) ? undefined : readFile(each);
    if (text === undefined) return;
    texts.set(each, text);
    for (const [, specifier = ""] of text.matchAll(LOCAL_IMPORT)) visit(`${folder}${specifier.slice(2)}`);
  };
  visit(path);
  return [...texts.values()];
}

function hasTest(code: string, name: string): boolean {
  for (const [, double, single, template, variable] of code.matchAll(TEST)) {
    const literal = double ?? single;
    if (literal !== undefined) {
      if (literal.replaceAll(/\\(.)/g, "$1") === name) return true;
      continue;
    }
    const fixed = variable === undefined ? (template ?? "").split(INTERPOLATION) : ["", ""];
    const open = new RegExp(`^${fixed.map((part) => RegExp.escape(part)).join("(.+)")}$`).exec(name);
    if (open?.slice(1).every((part) => isCase(code, part))) return true;
  }
  return false;
}

function isCase(code: string, text: string): boolean {
  if (text === ANY) return true;
  if (['"', "'", "`"].some((quote) => code.includes(`${quote}${text}${quote}`))) return true;
  return /^\w+$/.test(text) && new RegExp(`\\b${text}\\b`).test(code);
}
