import { testAmbientCaseTable } from "./case-table-ambient-run.ts";

testAmbientCaseTable("iptables-legacy");
