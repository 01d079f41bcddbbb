import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { findProgram, MISSING_PROMETHEUS } from "@elasti/local";
import { demo } from "../src/demo/demo.ts";
import type { DemoResult } from "../src/demo/result.ts";

/** Runs the demo in this process; its pods are processes all the same. */
async function run(args: readonly string[], prometheus: string | undefined) {
  let output = "";
  let errors = "";
  const code = await demo(args, {
    write: (text) => {
      output += text;
    },
    writeError: (text) => {
      errors += text;
    },
    findPrometheus: async () => prometheus,
  });
  return { code, output, errors };
}

function resultIn({ code, output, errors }: Awaited<ReturnType<typeof run>>): DemoResult {
  assert.equal(code, 0, `${output}\n${errors}`);
  return JSON.parse(output.trimEnd().split("\n").at(-1) ?? "") as DemoResult;
}

function checkTimeline(output: string, stages: readonly string[]): void {
  for (const stage of stages) {
    const told = output.split("\n").filter((line) => new RegExp(`^ +[\\d.]+ m?s .*\\b${stage}\\b`).test(line));
    assert.ok(told.length >= 3, `${stage} is told ${told.length} times in:\n${output}`);
  }
}

const always = ["held", "notified", "scaled", "started", "ready", "answered", "idle", "proven", "sealed", "zero"];

describe("the demo", () => {
  test("three cycles with Prometheus: no request fails, pods answer directly, and it sleeps again", async (t) => {
    const prometheus = findProgram("prometheus");
    if (prometheus === undefined) return t.skip(MISSING_PROMETHEUS);
    const ran = await run(["--once", "--json", "--start-ms", "200"], prometheus);
    const result = resultIn(ran);
    assert.equal(result.cycles, 3);
    assert.equal(result.failed, 0);
    assert.equal(result.routing, "SelectorSwap");
    assert.equal(result.idleDecision, "prometheus");
    assert.ok(result.directRequests > 0);
    assert.equal(result.asleepAgain, true);
    assert.ok(result.coldStartMs.p50 >= 200);
    assert.ok(result.overheadMs.p50 <= result.coldStartMs.p50);
    checkTimeline(ran.output, [...always, "swapped", "drained", "unparked"]);
    assert.match(ran.output, /memory \(resident\): elasti-operator \d+ MiB/);
  });

  test("three cycles without Prometheus: it says so, and the resolver stays in the path", async () => {
    const ran = await run(["--once", "--json", "--start-ms", "200"], undefined);
    const result = resultIn(ran);
    assert.equal(result.cycles, 3);
    assert.equal(result.failed, 0);
    assert.equal(result.routing, "Always");
    assert.equal(result.idleDecision, "traffic");
    assert.equal(result.asleepAgain, true);
    assert.match(ran.output, /no Prometheus \(Debian package prometheus\)/);
    checkTimeline(ran.output, always);
  });

  test("a wrong argument is one line on the error stream", async () => {
    const { code, output, errors } = await run(["--twice"], undefined);
    assert.equal(code, 2);
    assert.equal(output, "");
    assert.match(errors, /^elasti: unknown argument "--twice"[^\n]*\n$/);
  });

  test("--help shows every flag", async () => {
    const { code, output } = await run(["--help"], undefined);
    assert.equal(code, 0);
    for (const flag of ["--once", "--json", "--no-install", "--start-ms"]) assert.ok(output.includes(flag));
  });
});
