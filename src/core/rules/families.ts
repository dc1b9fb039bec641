// Which address families rules are written for, as every capture tells it.

export type Families = { readonly v4: boolean; readonly v6: boolean };

/** IPv4 first. */
export function familiesOf({ families }: { readonly families: Families }): (4 | 6)[] {
  return ([4, 6] as const).filter((family) => isIn(families, family));
}

export function isIn(families: Families, family: 4 | 6): boolean {
  return family === 4 ? families.v4 : families.v6;
}
