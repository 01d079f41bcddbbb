import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { operatorSettings } from "@elasti/operator";
import { settings as resolverSettings } from "@elasti/resolver";
import { configurationPage } from "../src/configuration-page.ts";
import { generatedFiles } from "../src/generate.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const files = await generatedFiles();

describe("generated files", () => {
  for (const [file, text] of Object.entries(files)) {
    it(`${file} is what the schemas say`, () => {
      const found = readFileSync(join(root, file), "utf8");
      assert.ok(found === text, `${file} is not what the schemas say: run npm run generate`);
    });
  }
});

describe("the schema of the chart's values", () => {
  it("has no pattern that Helm, which is written in Go, cannot read", () => {
    const schema = files["deploy/helm/elasti/values.schema.json"] ?? "";
    const counts = [...schema.matchAll(/"pattern": "(.*)"/g)].flatMap(([, pattern = ""]) =>
      [...pattern.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].flatMap(([, ...bounds]) => bounds.map(Number)),
    );
    assert.ok(counts.length > 0);
    assert.deepEqual(
      counts.filter((count) => count > 1_000),
      [],
    );
  });
});

describe("page of the settings", () => {
  const page = files["docs/reference/configuration.md"] ?? "";

  it("has a row for every setting of both programs", () => {
    const [, operator = "", resolver = ""] = page.split(/^## /m);
    for (const { env } of Object.values(operatorSettings))
      assert.match(operator, new RegExp(`^\\| \`${env}\` \\|`, "m"));
    for (const { env } of Object.values(resolverSettings))
      assert.match(resolver, new RegExp(`^\\| \`${env}\` \\|`, "m"));
  });

  it("puts what must be given first, and keeps bars within their cells", () => {
    const common = {
      description: "left | right",
      expected: "text",
      parse: (text: string) => text,
      schema: { type: "string" } as const,
    };
    const settings = {
      b: { ...common, env: "A_SECOND", fallback: "", secret: true },
      a: { ...common, env: "B_FIRST" },
    };
    const made = configurationPage([{ title: "Program", about: "About.", source: "here", settings }]);
    const rows = made.split("\n").filter((line) => line.startsWith("| `"));
    assert.deepEqual(rows, [
      "| `B_FIRST` | required | text | left \\| right |",
      "| `A_SECOND` | empty | text | left \\| right A secret: it is never printed. |",
    ]);
  });
});
