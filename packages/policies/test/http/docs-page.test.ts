import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startWorld, type World } from "./kit.ts";

const folder = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));

let world: World;
before(async () => {
  world = await startWorld({ docsFolder: folder });
});
after(() => world.close());

const get = (path: string) => fetch(`${world.url}${path}`);

describe("the page to try the API on", () => {
  it("needs no token, and loads nothing from elsewhere", async () => {
    const page = await get("/docs");
    assert.equal(page.status, 200);
    assert.match(page.headers.get("content-type") ?? "", /^text\/html/);
    const html = await page.text();
    const loaded = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path ?? "");
    assert.deepEqual(loaded, ["data:,", "docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js"]);
    // no script and no style within the page: the policy forbids them
    assert.ok(!/<style|<script>|\son[a-z]+=|style=/.test(html));
    for (const path of loaded.slice(1)) {
      const file = await get(`/${path}`);
      assert.equal(file.status, 200, path);
      assert.match(file.headers.get("content-type") ?? "", path.endsWith("css") ? /^text\/css/ : /^text\/javascript/);
      const text = await file.text();
      if (!path.endsWith("start.js")) assert.equal(text, readFileSync(join(folder, path.slice(5)), "utf8"), path);
      else assert.match(text, /url: "openapi\.json"/);
    }
  });

  it("is under a policy that lets it run its own files alone", async () => {
    for (const path of ["/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"]) {
      const { headers } = await get(path);
      const directives = new Map(
        (headers.get("content-security-policy") ?? "").split("; ").map((one) => {
          const [name = "", ...values] = one.split(" ");
          return [name, values.join(" ")] as const;
        }),
      );
      assert.equal(directives.get("default-src"), "'none'", path);
      assert.equal(directives.get("script-src"), "'self'", path);
      assert.equal(directives.get("connect-src"), "'self'", path);
      assert.equal(directives.get("frame-ancestors"), "'none'", path);
      assert.ok(![...directives.values()].some((value) => /unsafe|\*|http/.test(value)), path);
      assert.equal(headers.get("x-content-type-options"), "nosniff");
    }
  });

  it("serves none but its own files", async () => {
    for (const path of ["/docs/package.json", "/docs/..%2fpackage.json", "/docs/swagger-ui-bundle.js.map", "/docs/"]) {
      assert.equal((await get(path)).status, 404, path);
    }
  });

  it("is not there where its files are not", async () => {
    const [without, empty] = [await startWorld(), await startWorld({ docsFolder: join(tmpdir(), "no-such-folder") })];
    try {
      assert.equal((await without.call("GET", "/docs", { token: null })).status, 404);
      const missing = await empty.call("GET", "/docs/swagger-ui.css", { token: null });
      assert.deepEqual([missing.status, missing.body.reason], [404, "ELASTI_POLICY_NO_SUCH_PATH"]);
    } finally {
      await Promise.all([without.close(), empty.close()]);
    }
  });
});
