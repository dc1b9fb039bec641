// What JSON is made of, for the agent's scanner of it and for the plugin's reader.
import { bytesOf } from "../fuzz-target.ts";

export const JSON_WORDS: readonly string[] = [
  ...["{", "}", "[", "]", '"', "\\", "\\u", "\\ud800", "\\udc00", "\\u0000", ":", ",", "null", "tru", "-", "1e", "."],
  ...["\ufeff", "\u00a0", "é", "😀"],
];

export const JSON_SEEDS: readonly Uint8Array[] = [
  '{"a":[1,-0,1.5e+3,true,null,"\\u00e9\\n\\ud83d\\ude00"],"a":{}}',
  "[[[]]]",
  ' "x" ',
  "-1e5",
].map(bytesOf);
