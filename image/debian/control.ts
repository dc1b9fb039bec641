// Debian control data (deb822): stanzas of fields, continued lines kept as they are.

/** Fields of one stanza in their order. */
export type Stanza = ReadonlyMap<string, string>;

/** Reads stanzas separated by blank lines. A continued line keeps its leading space, as dpkg's own files have it.
 * @throws {Error} for a line that is neither a field nor the continuation of one. */
export function parseStanzas(text: string): Stanza[] {
  return text
    .split(/\n{2,}/)
    .filter((block) => block.trim() !== "")
    .map(parseStanza);
}

function parseStanza(block: string): Stanza {
  const fields = new Map<string, string>();
  let last: string | undefined;
  for (const line of block.split("\n").filter((each) => each !== "")) {
    if (/^[ \t]/.test(line)) {
      if (last === undefined) throw new Error(`Cannot read control data: ${JSON.stringify(line)} continues nothing`);
      fields.set(last, `${fields.get(last)}\n${line}`);
      continue;
    }
    const [, name, value] = /^([!-9;-~]+):[ \t]*(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined)
      throw new Error(`Cannot read control data: ${JSON.stringify(line)} is no field`);
    fields.set(name, value);
    last = name;
  }
  return fields;
}

/** The stanza as text, ending with a newline. */
export function renderStanza(stanza: Stanza): string {
  return [...stanza].map(([name, value]) => `${name}:${value.startsWith("\n") ? "" : " "}${value}\n`).join("");
}
