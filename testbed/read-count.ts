// Numbers by which a person makes a test longer: `ROLLS=200 tools/node --test …`.

/** The whole number in a variable of the environment, `fallback` where it is empty or not set.
 * @throws {Error} when it is none from 1 to `max`. */
export function readCount(name: string, fallback: number, max: number): number {
  const text = process.env[name] ?? "";
  if (text === "") return fallback;
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > max)
    throw new Error(`Cannot use ${name}=${text}: accepted are whole numbers from 1 to ${max}`);
  return count;
}
