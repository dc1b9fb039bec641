// Which address families rules are written for, as every capture tells it.

import { FAMILIES, type Family } from "../address.ts";

export type Families = { readonly v4: boolean; readonly v6: boolean };

/** IPv4 first. */
export function familiesOf({ families }: { readonly families: Families }): Family[] {
  return FAMILIES.filter((family) => isIn(families, family));
}

export function isIn(families: Families, family: Family): boolean {
  return family === 4 ? families.v4 : families.v6;
}
