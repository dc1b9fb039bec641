// HTML in which nothing that somebody else wrote can be anything but text: values are escaped unless they are HTML already.

import { printable } from "../text-columns.ts";

/** A piece of a page, safe as it is. Made by `html` alone. */
export type Html = { readonly markup: string };

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/**
 * A template whose values are escaped for text and for attributes in double quotes; other places, and attributes that are
 * programs or addresses, take no values. Characters that a reader would not see, or that turn the direction of writing,
 * become visible escapes.
 */
export function html(
  texts: TemplateStringsArray,
  ...values: readonly (string | number | Html | readonly Html[])[]
): Html {
  const parts = texts.map((text, index) => {
    const value = values[index];
    return value === undefined ? text : text + markupOf(value);
  });
  return { markup: parts.join("") };
}

function markupOf(value: string | number | Html | readonly Html[]): string {
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return printable(value).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
  return "markup" in value ? value.markup : value.map(({ markup }) => markup).join("");
}

/** Text of the page's own making, such as a style sheet: no value of anybody else. */
export function trusted(markup: string): Html {
  return { markup };
}
