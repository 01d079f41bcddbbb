import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Browser, Locator } from "playwright-core";
import { policyApiDocument } from "../../src/index.ts";
import { missingChromium, OpenedPage, startBrowser } from "./browser.ts";
import { type Described, operationsOf } from "./from-document.ts";
import { startWorld, type World } from "./kit.ts";

const docsFolder = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
const document = policyApiDocument();
const operations = operationsOf(document);
const token = "token-of-who-tries-the-page";
const unknownToken = "token-of-nobody";
const nothingKept = { cookies: [], local: [], session: [], databases: [], caches: [], workers: 0, history: "null" };

describe("the page to try the API on, in a browser", { skip: missingChromium }, () => {
  let world: World;
  let browser: Browser;
  let opened: OpenedPage;
  before(async () => {
    world = await startWorld({ docsFolder });
    world.rights.granted[token] = ["* *"];
    browser = await startBrowser();
    opened = await OpenedPage.open(browser, `${world.url}/docs`);
  });
  after(async () => {
    await opened?.close();
    await browser?.close();
    await world?.close();
  });

  const block = (id: string) => opened.page.locator(`.opblock[id$="-${id}"]`);
  /** Opens an operation and has its form filled in. */
  const tried = async (id: string): Promise<Locator> => {
    const operation = block(id);
    if ((await operation.locator(".opblock-body").count()) === 0) await operation.locator(".opblock-summary").click();
    const button = operation.getByRole("button", { name: "Try it out" });
    if ((await button.count()) > 0) await button.click();
    return operation;
  };
  /** Sends what its form says. */
  const execute = async (operation: Locator): Promise<{ status: string; text: string; curl: string }> => {
    const answered = opened.page.waitForResponse((response) => response.url().includes("/api/v1/scaling/policies"));
    await operation.getByRole("button", { name: "Execute" }).click();
    const status = String((await answered).status());
    const live = operation.locator(".live-responses-table");
    // what was answered before is shown until then
    await live.locator("tbody .response-col_status", { hasText: status }).first().waitFor();
    const text = await live.locator("tbody .response-col_description .highlight-code").first().innerText();
    return { status, text, curl: await operation.locator(".curl-command").innerText() };
  };
  const authorize = async (value: string) => {
    await opened.page.locator(".opblock").first().waitFor();
    await opened.page.getByRole("button", { name: "Authorize" }).first().click();
    const dialog = opened.page.locator(".dialog-ux");
    await dialog.locator(".auth-container").waitFor();
    const logout = dialog.getByRole("button", { name: "Remove authorization" });
    if ((await logout.count()) > 0) await logout.click();
    const field = dialog.locator("input");
    // what is typed into a plain field, a browser keeps to offer it again
    assert.deepEqual([await field.getAttribute("type"), await field.getAttribute("autocomplete")], ["password", "off"]);
    await field.fill(value);
    await dialog.getByRole("button", { name: "Apply credentials" }).click();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await dialog.waitFor({ state: "detached" });
  };

  it("shows every operation and every schema, with all that they refer to", async () => {
    const { page } = opened;
    await page.locator(".opblock").first().waitFor();
    assert.equal(await page.locator(".opblock").count(), operations.length);
    // one after another: with all of them open a page is slow
    for (const one of operations) {
      const operation = block(one.operationId);
      await operation.locator(".opblock-summary").click();
      await shows(operation, one);
      await operation.locator(".opblock-summary").click();
      await operation.locator(".opblock-body").waitFor({ state: "detached" });
    }
    const { schemas } = document.components as { schemas: Record<string, unknown> };
    const models = page.locator("section.models");
    for (const name of Object.keys(schemas)) {
      await models.getByText(name, { exact: true }).first().waitFor();
    }
    // one that refers to itself, and to most of the others
    await models.getByRole("button", { name: "Expand all" }).nth(Object.keys(schemas).indexOf("NewPolicy")).click();
    await assertSound(page.locator("body"));
  });

  /** Nothing that it refers to is missing, and nothing could not be drawn. */
  async function assertSound(part: Locator): Promise<void> {
    assert.doesNotMatch(await part.innerText(), /could not (resolve|render)|resolver error|undefined/i);
    assert.equal(await opened.page.locator(".errors-wrapper").count(), 0);
  }
  async function shows(operation: Locator, { parameters, answers, body: sent }: Described): Promise<void> {
    await operation.locator(".responses-table").first().waitFor();
    const text = await operation.locator(".opblock-body").innerText();
    for (const { name } of parameters) assert.match(text, new RegExp(`\\b${name}\\b`));
    for (const status of answers.keys()) assert.match(text, new RegExp(`\\b${status}\\b`));
    assert.equal(/Request body/i.test(text), sent !== undefined);
    await assertSound(operation);
  }

  it("is asked for a token, and makes and lists a policy with it", async () => {
    await authorize(token);
    // as its form is filled in
    const made = await execute(await tried("createPolicy"));
    assert.equal(made.status, "201", made.text);
    assert.match(made.text, /"name": "checkout"/);
    const { policies } = (await world.call("GET", "/policies")).body as { policies: { id: string; name: string }[] };
    const listed = await execute(await tried("listPolicies"));
    assert.equal(listed.status, "200", listed.text);
    assert.match(listed.text, new RegExp(`"id": "${policies[0]?.id}"`));
    assert.match(listed.curl, /-H 'Authorization: Bearer TOKEN'/);
    const change = await tried("updatePolicy");
    await change.locator("tr[data-param-name=id] input").fill(policies[0]?.id ?? "");
    const changed = await execute(change);
    assert.equal(changed.status, "200", changed.text);
    assert.match(changed.text, /"max_replicas": 20,/);
    assert.deepEqual(
      policies.map(({ name }) => name),
      ["checkout"],
    );
  });

  it("asks nobody else, and complains of nothing", () => {
    assert.deepEqual(opened.complaints, []);
    const { origin } = new URL(world.url);
    assert.deepEqual(
      opened.asked.filter((url) => new URL(url).origin !== origin && !url.startsWith("data:")),
      [],
    );
  });

  it("shows who is not known what is wrong", async () => {
    await authorize(unknownToken);
    const { status, text } = await execute(await tried("listPolicies"));
    assert.equal(status, "401");
    assert.match(text, /"reason": "ELASTI_POLICY_UNAUTHENTICATED"/);
    // the browser says so of any answer of an error
    assert.deepEqual(opened.complaints.splice(0), [
      "Failed to load resource: the server responded with a status of 401 (Unauthorized)",
    ]);
  });

  it("keeps no token, and puts none into an address", async () => {
    assert.deepEqual(await opened.kept(), nothingKept);
    const secrets = [token, unknownToken];
    const seen = await opened.page.content();
    assert.ok(!secrets.some((secret) => seen.includes(secret)), "a token is in the page");
    for (const url of [...opened.asked, opened.page.url()]) {
      assert.ok(!secrets.some((secret) => url.includes(secret)), url);
    }
    await opened.page.reload();
    const { status } = await execute(await tried("listPolicies"));
    assert.equal(status, "401", "who loads it anew is not known any more");
  });
});
