import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { normalizePolicy } from "../../src/index.ts";
import { body, context } from "./kit.ts";

const page = readFileSync(join(import.meta.dirname, "..", "..", "..", "..", "docs", "policies.md"), "utf8");

/** Blocks of the page that are policies, or the schedules or rules of one. */
const examples = [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)]
  .map((match): Record<string, unknown> => parse(match[1]!))
  .filter((one) => ["target_type", "schedules", "scale_up_rules"].some((key) => key in one));

describe("docs/policies.md", () => {
  it("has examples", () => assert.ok(examples.length >= 3));

  for (const [index, example] of examples.entries()) {
    it(`shows a policy that can be used, example ${index + 1}`, () => {
      const whole = "target_type" in example ? example : { ...body({ max_replicas: 30 }), ...example };
      const targetTypes = { ...context.targetTypes, scaledobject: { needsRef: true } };
      assert.deepEqual(normalizePolicy(whole, { ...context, targetTypes }).errors, undefined);
    });
  }
});
