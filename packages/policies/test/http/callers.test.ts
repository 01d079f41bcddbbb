import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, afterEach, before, describe, it } from "node:test";
import { createLogger, silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { createKubeClient, type KubeClient, reviewToken } from "@elasti/kube";
import { type Caller, KubeAccess, TokenCallers } from "../../src/index.ts";
import { startWorld } from "./kit.ts";

/** The two endpoints of an API server that know accounts and rights. */
interface Asked {
  readonly path: string;
  readonly spec: {
    readonly user?: string;
    readonly groups?: readonly string[];
    readonly token?: string;
    readonly resourceAttributes?: Readonly<Record<string, string>>;
  };
}

const asked: Asked[] = [];
let up = true;
let server: Server;
let client: KubeClient;

const rights: Readonly<Record<string, readonly string[]>> = {
  ann: ["get scalingpolicies shop", "list scalingpolicies shop", "create scalingpolicies shop"],
  root: ["* scalingpolicies *"],
};
const allowed = (user: string, attributes: Readonly<Record<string, string>>): boolean =>
  (rights[user] ?? []).some((right) => {
    const [verb, resource, namespace] = right.split(" ");
    const any = namespace === "*" || (namespace !== undefined && namespace === attributes.namespace);
    return (verb === "*" || verb === attributes.verb) && resource === attributes.resource && any;
  });

before(async () => {
  server = createServer(async (request, response) => {
    const { spec } = JSON.parse(await text(request)) as Asked;
    const path = request.url ?? "";
    asked.push({ path, spec });
    if (!up) return response.writeHead(503).end();
    if (path.includes("/namespaces/gone/")) return response.writeHead(403).end();
    const user = Object.keys(rights).find((name) => spec.token === `token-of-${name}`);
    const status = path.includes("tokenreviews")
      ? user === undefined
        ? { authenticated: false }
        : { authenticated: true, user: { username: user, groups: ["people"] }, audiences: ["elasti-operator"] }
      : { allowed: allowed(spec.user ?? "", spec.resourceAttributes ?? {}) };
    response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ kind: "Review", status }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  client = createKubeClient({ cluster: { server: `http://127.0.0.1:${port}`, token: async () => "operator" } });
});
after(async () => {
  await client.close();
  server.closeAllConnections();
  server.close();
});
afterEach(() => {
  asked.length = 0;
  up = true;
});

function setUp(options: { staticToken?: string; reviewed?: boolean; namespaces?: readonly string[] } = {}) {
  const clock = new ManualClock();
  const review = (token: string, audiences: readonly string[]) => reviewToken(client, token, audiences);
  const callers = new TokenCallers(
    { clock, logger: silentLogger, ...(options.reviewed === false ? {} : { reviewer: { review } }) },
    { audiences: ["elasti-operator"], staticToken: options.staticToken ?? "" },
  );
  const access = new KubeAccess({ client, clock, logger: silentLogger }, { namespaces: options.namespaces ?? [] });
  return { clock, callers, access };
}

describe("who asks", () => {
  it("is whoever the API server says the token belongs to, asked once in a while", async () => {
    const { callers, clock } = setUp();
    const ann = await callers.identify("Bearer token-of-ann");
    assert.deepEqual([ann.name, ann.subject?.username, ann.subject?.groups], ["ann", "ann", ["people"]]);
    await Promise.all(Array.from({ length: 20 }, () => callers.identify("bearer token-of-ann")));
    assert.equal(asked.length, 1);
    await clock.advance(60_000);
    await callers.identify("Bearer token-of-ann");
    assert.equal(asked.length, 2);
  });

  it("is nobody without a token, with an odd one, or with one that is not accepted", async () => {
    const { callers } = setUp({ staticToken: "the-static-one" });
    for (const header of [undefined, "", "Bearer", "Bearer  ", "Basic dXNlcg==", "Bearer a b", "Bearer nobody"]) {
      await assert.rejects(callers.identify(header), { code: "ELASTI_POLICY_UNAUTHENTICATED" }, String(header));
    }
    assert.equal(asked.length, 1);
    await assert.rejects(callers.identify("Bearer nobody"), { message: /audience elasti-operator/ });
    assert.equal(asked.length, 1);
  });

  it("is the holder of the installation's token, who may do everything; the API server is not asked", async () => {
    const { callers, access } = setUp({ staticToken: "the-static-one" });
    const holder = await callers.identify("Bearer the-static-one");
    assert.equal(holder.subject, undefined);
    assert.equal(await access.mayPolicies(holder, "delete", undefined), true);
    assert.equal(await access.mayReadSecret(holder, "shop", "db"), true);
    assert.equal(asked.length, 0);
    const alone = setUp({ staticToken: "the-static-one", reviewed: false }).callers;
    assert.equal((await alone.identify("Bearer the-static-one")).name, holder.name);
    await assert.rejects(alone.identify("Bearer token-of-ann"), { code: "ELASTI_POLICY_UNAUTHENTICATED" });
  });

  it("is nobody where no token is set and none is reviewed", async () => {
    const { callers } = setUp({ reviewed: false });
    for (const header of ["Bearer ", "Bearer undefined", "Bearer null", 'Bearer ""']) {
      await assert.rejects(callers.identify(header), { code: "ELASTI_POLICY_UNAUTHENTICATED" });
    }
  });

  it("cannot be told while the API server is away; that is not remembered, and no token is logged", async () => {
    const lines: string[] = [];
    const logger = createLogger({ name: "test", level: "trace" }, { write: (line) => lines.push(line) });
    const review = (token: string, audiences: readonly string[]) => reviewToken(client, token, audiences);
    const callers = new TokenCallers(
      { clock: new ManualClock(), logger, reviewer: { review } },
      { audiences: ["elasti-operator"], staticToken: "" },
    );
    up = false;
    await assert.rejects(callers.identify("Bearer token-of-ann"), { code: "ELASTI_POLICY_ACCESS_UNKNOWN" });
    up = true;
    assert.equal((await callers.identify("Bearer token-of-ann")).name, "ann");
    assert.ok(lines.length > 0 && !lines.join("").includes("token-of-ann"));
  });
});

describe("what they may do", () => {
  const ann: Caller = { name: "ann", subject: { username: "ann", groups: ["people"] } };

  it("is asked by verb and namespace of a resource that no object is of", async () => {
    const { access } = setUp();
    assert.equal(await access.mayPolicies(ann, "get", "shop"), true);
    assert.equal(await access.mayPolicies(ann, "update", "shop"), false);
    assert.equal(await access.mayPolicies(ann, "get", "bank"), false);
    assert.equal(await access.mayPolicies(ann, "list", undefined), false);
    assert.equal(await access.mayReadSecret(ann, "shop", "db"), false);
    assert.deepEqual(
      asked.map(({ path, spec }) => [path.split("/").at(-1), spec.user, JSON.stringify(spec.resourceAttributes)]).at(0),
      [
        "subjectaccessreviews",
        "ann",
        '{"group":"elasti.truefoundry.com","resource":"scalingpolicies","verb":"get","namespace":"shop"}',
      ],
    );
    assert.deepEqual(asked.at(-1)?.spec.resourceAttributes, {
      verb: "get",
      group: "",
      resource: "secrets",
      namespace: "shop",
      name: "db",
    });
  });

  it("is remembered for seconds, for that caller alone", async () => {
    const { access, clock } = setUp();
    await Promise.all(Array.from({ length: 10 }, () => access.mayPolicies(ann, "get", "shop")));
    assert.equal(asked.length, 1);
    const others = { name: "ann", subject: { username: "ann", groups: ["people", "admins"] } };
    await access.mayPolicies(others, "get", "shop");
    const scoped = { name: "ann", subject: { username: "ann", groups: ["people"], extra: { scopes: ["read"] } } };
    await access.mayPolicies(scoped, "get", "shop");
    assert.equal(asked.length, 3);
    await access.mayPolicies({ name: "ann", subject: { username: "ann", groups: ["people"] } }, "get", "shop");
    assert.equal(asked.length, 3);
    await clock.advance(10_000);
    await access.mayPolicies(ann, "get", "shop");
    assert.equal(asked.length, 4);
  });

  it("is asked within namespaces only, where the operator may ask no further", async () => {
    const { access } = setUp({ namespaces: ["shop", "gone"] });
    assert.equal(await access.mayPolicies(ann, "get", "shop"), true);
    const root = { name: "root", subject: { username: "root", groups: [] } };
    assert.equal(await access.mayPolicies(root, "list", undefined), false);
    assert.equal(await access.mayPolicies(root, "list", "bank"), false);
    assert.equal(await access.mayReadSecret(root, "bank", "reader"), false);
    assert.deepEqual(
      asked.map(({ path }) => path),
      ["/apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews"],
    );
    // it was deleted, and the Roles of the operator with it
    assert.equal(await access.mayPolicies(root, "list", "gone"), false);
  });

  it("cannot be told while the API server is away", async () => {
    const { access } = setUp();
    up = false;
    await assert.rejects(access.mayPolicies(ann, "get", "shop"), { code: "ELASTI_POLICY_ACCESS_UNKNOWN" });
    up = true;
    assert.equal(await access.mayPolicies(ann, "get", "shop"), true);
  });
});

describe("every route", () => {
  it("is shut without a token, before a byte of a body is read", async () => {
    const world = await startWorld();
    try {
      const document = (await world.call("GET", "/openapi.json", { token: null })).body;
      const paths = Object.entries(document.paths as Record<string, Record<string, unknown>>);
      let count = 0;
      for (const [path, methods] of paths) {
        const place = path.replace("/api/v1/scaling", "").replaceAll(/\{[a-z]+\}/g, "a");
        for (const method of Object.keys(methods)) {
          count += 1;
          for (const token of [null, "stranger"]) {
            const { status, headers, body } = await world.call(method.toUpperCase(), place, { token });
            assert.deepEqual([status, body.reason], [401, "ELASTI_POLICY_UNAUTHENTICATED"], `${method} ${path}`);
            assert.equal(headers.get("www-authenticate"), "Bearer");
          }
        }
      }
      assert.equal(count, 22);
      const large = { body: "x".repeat(100_000), token: null };
      assert.equal((await world.call("POST", "/policies", large)).status, 401);
    } finally {
      await world.close();
    }
  });

  it("is 503 while nobody can say who asks or what they may do", async () => {
    const { callers, access } = setUp();
    const world = await startWorld({ callers, access });
    try {
      assert.equal((await world.call("GET", "/policies", { token: "token-of-root" })).status, 200);
      up = false;
      const unknown = await world.call("GET", "/policies", { token: "token-of-ann" });
      assert.deepEqual([unknown.status, unknown.body.reason], [503, "ELASTI_POLICY_ACCESS_UNKNOWN"]);
      assert.ok(unknown.headers.has("retry-after"));
      up = true;
      const ann = await world.call("GET", "/policies", { token: "token-of-ann" });
      assert.deepEqual([ann.status, ann.body.total_count], [200, 0]);
    } finally {
      await world.close();
    }
  });
});
