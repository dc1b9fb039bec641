// Tests for the test of run-tests.ts: one of each kind. No part of any tier, by its name.
import assert from "node:assert/strict";
import { test } from "node:test";

test("passes", () => {});
test("fails", () => assert.fail("on purpose"));
test("is skipped", { skip: "on purpose" }, () => {});
