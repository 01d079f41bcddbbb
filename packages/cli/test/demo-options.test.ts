import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOptions } from "../src/demo/options.ts";

const optionsOf = (...args: string[]) => {
  const parsed = parseOptions(args);
  assert.equal(parsed.kind, "run");
  return parsed.kind === "run" ? parsed.options : undefined;
};

const wrongOf = (...args: string[]) => {
  const parsed = parseOptions(args);
  assert.equal(parsed.kind, "wrong", args.join(" "));
  return parsed.kind === "wrong" ? parsed.message : "";
};

test("without flags the demo runs until it is stopped, with an app that takes half a second", () => {
  assert.deepEqual(optionsOf(), { once: false, json: false, noInstall: false, startMs: 500 });
});

test("understands every flag, a value after a space or an equals sign", () => {
  const all = { once: true, json: true, noInstall: true, startMs: 1500 };
  assert.deepEqual(optionsOf("--once", "--json", "--no-install", "--start-ms", "1500"), all);
  assert.deepEqual(optionsOf("--start-ms=1500", "--no-install", "--json", "--once"), all);
});

test("asks for help", () => {
  assert.deepEqual(parseOptions(["--once", "--help"]), { kind: "help" });
});

test("names what is wrong and what was expected", () => {
  assert.match(wrongOf("--onec"), /unknown argument "--onec".*--help/);
  assert.match(wrongOf("once"), /unknown argument "once"/);
  for (const value of ["", "abc", "-1", "1.5", "60001", "1e3"]) {
    assert.match(wrongOf(`--start-ms=${value}`), /--start-ms: expected whole milliseconds from 0 to 60000/);
  }
  assert.match(wrongOf("--start-ms"), /--start-ms: expected/);
  assert.match(wrongOf("--once=yes"), /--once takes no value/);
  assert.match(wrongOf("--json"), /--json is the result of --once/);
});
