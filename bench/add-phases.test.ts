import assert from "node:assert/strict";
import { test } from "node:test";
import { meanPhases, readPhaseTotals } from "./add-phases.ts";

const page = (sum: number, count: number): string =>
  [
    `istio_cni_agent_plugin_command_duration_seconds_sum{command="ADD"} ${2 * sum}`,
    `istio_cni_agent_plugin_command_duration_seconds_count{command="ADD"} ${count}`,
    `istio_cni_agent_plugin_command_duration_seconds_sum{command="DEL"} ${3 * sum}`,
    `istio_cni_agent_plugin_command_duration_seconds_count{command="DEL"} ${2 * count}`,
    `istio_cni_agent_program_duration_seconds_sum{backend="nftables"} ${sum}`,
    `istio_cni_agent_program_duration_seconds_count{backend="nftables"} ${count}`,
  ].join("\n");
const agentOf = (text: string) => ({ get: async () => ({ status: 200, text }) });

test("meanPhases() tells what the ADDs between two readings took, and nothing of phases that none had", async () => {
  const [before, after] = [await readPhaseTotals(agentOf(page(1, 10))), await readPhaseTotals(agentOf(page(1.5, 110)))];
  assert.deepEqual(meanPhases(before, after), [
    ["plugin_command", 10],
    ["program", 5],
  ]);
  assert.deepEqual(meanPhases(after, after), []);
});
