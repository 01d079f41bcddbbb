import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

/** Prints what is in memory once the program is imported: Node's own modules, and the files of packages in CommonJS. */
const script = `
import { createRequire } from "node:module";
await import(${JSON.stringify(new URL("../src/main.ts", import.meta.url).href)});
console.log([...process.moduleLoadList, ...Object.keys(createRequire("/").cache)].join("\\n"));
`;

test("loads undici once, and of it only what carries requests", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script]);
  const loaded = stdout.split("\n");
  assert.ok(loaded.some((name) => /undici\/lib\/dispatcher\/pool\.js$/.test(name)));
  // an ESM import of node:http anywhere brings the one inside Node.js
  assert.deepEqual(
    loaded.filter((name) => /internal\/deps\/undici|undici\/index\.js$|undici\/lib\/web\/fetch\/index/.test(name)),
    [],
  );
});
