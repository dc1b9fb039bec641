import { testCaseTable } from "./case-table-run.ts";

testCaseTable("TPROXY");
