import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { POLICY_API, policyApiDocument } from "../../src/index.ts";
import { checker, type Described, Generator, type Json, operationsOf, type Parameter } from "./from-document.ts";
import { type Answer, body, startWorld, type World } from "./kit.ts";

const document = policyApiDocument();
const operations = operationsOf(document);
const seed = Number(process.env.ELASTI_TEST_SEED ?? 6);
const runs = Number(process.env.ELASTI_TEST_RUNS ?? 40);

let world: World;
const ids: string[] = [];
before(async () => {
  world = await startWorld();
  for (const name of ["web", "api", "worker"]) {
    ids.push((await world.made({ name, target_type: "elastiservice", target_ref: { namespace: "shop", name } })).id);
    world.sleepers.set(name);
  }
});
after(() => world.close());

describe("the document", () => {
  it("is answered as it is made from the schemas, without a token", async () => {
    const answer = await world.call("GET", "/openapi.json", { token: null });
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.body, JSON.parse(JSON.stringify(document)));
    assert.equal(answer.body.openapi, "3.1.0");
  });

  it("refers to nothing that it does not have, and has nothing that is not referred to", () => {
    const text = JSON.stringify(document);
    const { schemas } = document.components as { schemas: Json };
    const referred = new Set(
      [...text.matchAll(/"\$ref":"#\/components\/schemas\/([A-Za-z]+)"/g)].map(([, name]) => name),
    );
    assert.deepEqual([...referred].sort(), Object.keys(schemas).sort());
    assert.equal(text.match(/"\$ref"/g)?.length, text.match(/"\$ref":"#\/components\/schemas\//g)?.length);
    assert.ok(!/"(\$defs|\$id)":|"title":"/.test(JSON.stringify(schemas)));
  });

  it("names every operation once, declares its path parameters, and the answers that every one may give", () => {
    assert.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length);
    for (const { path, parameters, answers, operationId, body: sent } of operations) {
      const named = [...path.matchAll(/\{([a-z]+)\}/g)].map(([, name]) => name);
      const declared = parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name);
      assert.deepEqual(declared, named, operationId);
      for (const status of [400, 401, 403, 503, ...(sent === undefined ? [] : [413, 415])]) {
        assert.ok(answers.has(status), `${operationId} ${status}`);
      }
    }
  });

  it("gives examples that fit", () => {
    const fits = checker(document);
    const paths = document.paths as Record<string, Record<string, { requestBody?: { content: Json } }>>;
    const bodies = Object.values(paths)
      .flatMap((methods) => Object.values(methods))
      .map(
        ({ requestBody }) => requestBody?.content["application/json"] as { schema: Json; example?: Json } | undefined,
      );
    const given = bodies.filter((one) => one?.example !== undefined);
    assert.equal(given.length, 4);
    for (const one of given) assert.equal(fits(one?.schema ?? {}, one?.example), undefined);
  });

  it("has a method for every route that is served", async () => {
    for (const { method, path } of operations) {
      const place = path.slice(POLICY_API.length).replaceAll(/\{[a-z]+\}/g, "x");
      const { status, body: answer } = await world.call("PATCH", place);
      assert.equal(status, 405, `${method} ${path}`);
      assert.equal(answer.reason, "ELASTI_POLICY_METHOD_NOT_ALLOWED");
    }
  });
});

describe("whatever is sent", () => {
  const fits = checker(document);

  /** No 500, a status that is declared, and a body that is what the document says of it. */
  function assertDeclared({ operationId, answers }: Described, answer: Answer, sent: unknown): void {
    const what = `${operationId} ${JSON.stringify(sent)?.slice(0, 3_000)}: ${answer.status} ${answer.text.slice(0, 500)}`;
    assert.ok(answer.status < 500, what);
    const schema = answers.get(answer.status);
    assert.ok(schema !== undefined, `undeclared: ${what}`);
    if (schema === null) assert.equal(answer.text, "", what);
    else assert.equal(fits(schema, answer.body), undefined, what);
  }

  const scalarText = (value: unknown): string =>
    typeof value === "object" ? JSON.stringify(value) : String(value).toWellFormed();

  function valueFor(parameter: Parameter, generator: Generator): fc.Arbitrary<string | undefined> {
    if (parameter.in === "header") return fc.constantFrom(undefined, '"1"', 'W/"1"', '"7", "2"', "*", "1", '"', "é");
    const value = generator.of(parameter.schema, 0, parameter.name).map(scalarText);
    if (parameter.in === "query") return fc.option(value, { nil: undefined, freq: 2 });
    const known = fc.nat().map((index) => ids[index % ids.length] ?? "");
    const place = parameter.schema.format === "uuid" ? fc.oneof({ weight: 4, arbitrary: known }, value) : value;
    // an URL with these is another URL before it is sent
    return place.filter((text) => !["", ".", ".."].includes(text) && text.length < 500);
  }

  const request = (operation: Described, generator: Generator) =>
    fc.record({
      values: fc.tuple(...operation.parameters.map((parameter) => valueFor(parameter, generator))),
      body: operation.body === undefined ? fc.constant(undefined) : generator.of(operation.body),
    });

  async function send(operation: Described, values: readonly (string | undefined)[], sent: unknown): Promise<Answer> {
    const given = operation.parameters.map((parameter, index) => [parameter, values[index]] as const);
    let path = operation.path.slice(POLICY_API.length);
    const query = new URLSearchParams();
    const headers: Record<string, string> = {};
    for (const [parameter, value] of given) {
      if (value === undefined) continue;
      if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
      else if (parameter.in === "query") query.set(parameter.name, value);
      else headers[parameter.name.toLowerCase()] = value;
    }
    const options = sent === undefined ? { headers } : { headers, body: JSON.stringify(sent) };
    return world.call(operation.method, query.size === 0 ? path : `${path}?${query}`, options);
  }

  /** So that there is always something to ask about. */
  async function replaceGone(): Promise<void> {
    for (const [index, id] of ids.entries()) {
      if ((await world.call("GET", `/policies/${id}`)).status === 404) {
        ids[index] = (await world.made({ name: `again-${id}`, target_ref: { namespace: "shop", name: "web" } })).id;
      }
    }
  }

  for (const [what, damage] of [
    ["fits the schemas", 0],
    ["fits them but for a few places", 60],
  ] as const) {
    for (const operation of operations) {
      it(`${operation.operationId} answers as declared when it ${what}`, async () => {
        const generator = new Generator(document, damage);
        const statuses = new Map<number, number>();
        await fc.assert(
          fc.asyncProperty(request(operation, generator), async ({ values, body: sent }) => {
            const answer = await send(operation, values, sent);
            assertDeclared(operation, answer, { values, sent });
            statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
            if (answer.status === 201 && ids.length < 12) ids.push((answer.body.policy as { id: string }).id);
            if (answer.status === 204) await replaceGone();
          }),
          { seed, numRuns: runs },
        );
        const succeeded = [...statuses.keys()].some((status) => status < 400);
        assert.ok(succeeded || damage > 0, `none of the requests got anywhere: ${[...statuses.keys()].join(", ")}`);
      });
    }
  }

  it("a policy that the API answered is taken back as it is", async () => {
    const generator = new Generator(document, 0);
    const create = operations.find(({ operationId }) => operationId === "createPolicy");
    assert.ok(create?.body !== undefined);
    let made = 0;
    await fc.assert(
      fc.asyncProperty(generator.of(create.body), fc.uuid(), async (sent, name) => {
        const fixed = body({ ...(sent as object), name, target_type: "workload" });
        const created = await world.call("POST", "/policies", { body: fixed });
        if (created.status !== 201) return;
        made += 1;
        const { id } = created.body.policy as { id: string };
        const again = await world.call("PUT", `/policies/${id}`, { body: created.body.policy });
        assert.equal(again.status, 200, again.text);
        const without = ({ version: _, updated_at: __, ...rest }: Json) => rest;
        assert.deepEqual(without(again.body.policy as Json), without(created.body.policy as Json));
      }),
      { seed, numRuns: 3 * runs },
    );
    assert.ok(made > 0, "none of the policies was taken at all");
  });
});
