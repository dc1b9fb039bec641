import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMessages } from "./message.ts";
import { encodeBatch } from "./nfnetlink.ts";
import { addPortSet, parsePortSets } from "./port-set.ts";

test("ports are read back in rising order from however many messages, and more than a rule has are not read", () => {
  const ports = Array.from({ length: 1024 }, (_, port) => 1024 - port);
  const parts = [ports.slice(0, 500), ports.slice(500)];
  const read = (...lists: readonly number[][]) =>
    parsePortSets(parseMessages(encodeBatch(lists.flatMap((list) => addPortSet("t", 1, list)))));
  assert.deepEqual([...read(...parts)], [["t __set%d", ports.toReversed()]]);
  assert.deepEqual([...read(...parts, [1025])], []);
  assert.deepEqual([...read([2, 1], ports, [3])], []);
});
