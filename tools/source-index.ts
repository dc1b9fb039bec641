// The last section of ARCHITECTURE.md: every source file's name, folder by folder. Pure; render-source-index.ts writes it, the
// check of the tree compares it.

const TITLE = "## Every file";
const INTRO = `${TITLE}

<!-- Made by \`tools/node tools/render-source-index.ts\`. The gate fails when this is stale. -->

Tests stand beside each file as \`NAME.test.ts\`. Without \`.ts\`, or \`.c\` and \`.h\`:
`;
const WIDTH = 128;
/** In the page's own order. */
const ROOMS = ["core", "platform", "agent", "cmd", "plugin", "image"];
/** What the product is made of. Test data, and what only tests import, is told by its folder. */
const IS_LISTED = /^(?:src|plugin\/src|image)\/.*\.(?:ts|c|h)$/;
const IS_FOR_TESTS = /(?:\.test|\/testing)\.ts$/;

/** @param paths of files, from the project's root */
export function renderSourceIndex(paths: readonly string[]): string {
  const folders = new Map<string, Set<string>>();
  for (const path of paths.filter((each) => IS_LISTED.test(each) && !IS_FOR_TESTS.test(each))) {
    const slash = path.lastIndexOf("/");
    const folder = path.slice(0, slash).replace(/^src\//, "");
    const name = path.slice(slash + 1).replace(/\.\w+$/, "");
    folders.set(folder, (folders.get(folder) ?? new Set()).add(name));
  }
  const entries = ROOMS.flatMap((room) =>
    [...folders]
      .filter(([folder]) => folder.split("/")[0] === room)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([folder, names]) => wrap(`- \`${folder}\`: ${[...names].toSorted().join(", ")}`)),
  );
  return `${INTRO}\n${entries.join("\n")}\n`;
}

/** The page with the section as it should be, at its end. */
export function replaceSourceIndex(page: string, paths: readonly string[]): string {
  const [before = ""] = page.split(`\n${TITLE}\n`);
  return `${before.trimEnd()}\n\n${renderSourceIndex(paths)}`;
}

function wrap(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) ?? "";
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(`  ${word}`);
  }
  return lines.join("\n");
}
