import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { Policy } from "../../src/index.ts";
import { type Answer, body, startWorld, type World } from "./kit.ts";

let world: World;
before(async () => {
  world = await startWorld();
});
after(() => world.close());

const unknownId = "2c7c3a52-3a39-4f6f-9a3b-9a7d6f0a1c11";
const fresh = () => ({ name: `policy-${randomUUID()}` });
const policyOf = (answer: Answer): Policy => answer.body.policy as Policy;
const fieldsOf = (answer: Answer): string[] => (answer.body.errors ?? []).map(({ field }) => field);

describe("POST /policies", () => {
  it("makes a policy with every default, and says where it is", async () => {
    const answer = await world.call("POST", "/policies", { body: body(fresh()) });
    assert.equal(answer.status, 201);
    const policy = policyOf(answer);
    const { min_replicas, max_replicas, cooldown_seconds, scale_to_zero, enabled, version } = policy;
    assert.deepEqual(
      { min_replicas, max_replicas, cooldown_seconds, scale_to_zero, enabled, version },
      { min_replicas: 1, max_replicas: 10, cooldown_seconds: 300, scale_to_zero: false, enabled: true, version: 1 },
    );
    assert.equal(answer.headers.get("location"), `/api/v1/scaling/policies/${policy.id}`);
    assert.equal(answer.headers.get("etag"), '"1"');
    assert.match(policy.created_at, /^2026-05-04T12:00:00/);
  });

  it("takes rules and schedules as other policy engines write them, and answers them so", async () => {
    const rule = { metric: "queue", operator: "gt", threshold: 10, duration_seconds: 60, scale_by: 2 };
    const answer = await world.call("POST", "/policies", {
      body: body({
        ...fresh(),
        scale_up_rules: [rule, { ...rule, duration_seconds: undefined, duration: "5m" }],
        scale_down_rules: [{ ...rule, operator: "lt", scale_by: -1 }],
        schedules: [{ cron_expression: "0 8 * * *", desired_replicas: 3 }],
      }),
    });
    assert.equal(answer.status, 201, answer.text);
    const { scale_up_rules, schedules } = policyOf(answer);
    const [first, second] = scale_up_rules;
    assert.ok(first !== undefined && second !== undefined);
    const { id: _, ...shown } = first;
    assert.deepEqual(shown, rule);
    assert.equal(second.duration_seconds, 300);
    const { id: __, ...schedule } = schedules[0]!;
    assert.deepEqual(schedule, {
      cron_expression: "0 8 * * *",
      desired_replicas: 3,
      timezone: "UTC",
      enabled: true,
    });
  });

  it("names every wrong field at once", async () => {
    const answer = await world.call("POST", "/policies", {
      body: {
        name: "",
        target_type: "warehouse",
        min_replicas: 5,
        max_replicas: 2,
        cooldown_seconds: -1,
        color: "red",
        scale_up_rules: [{ metric: "queue", operator: "above", threshold: "many", scale_by: -2 }],
        schedules: [
          { cron_expression: "nonsense", desired_replicas: 1 },
          { cron_expression: "0 8 * * *", desired_replicas: 1, timezone: "Mars/Base" },
        ],
      },
    });
    assert.equal(answer.status, 400);
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
    assert.equal(answer.body.reason, "ELASTI_POLICY_INVALID");
    assert.equal(answer.body.instance, "/api/v1/scaling/policies");
    const fields = fieldsOf(answer);
    for (const field of [
      ...["name", "target_type", "min_replicas", "cooldown_seconds", "color", "scale_up_rules[0].operator"],
      ...["scale_up_rules[0].threshold", "schedules[0].cron_expression", "schedules[1].timezone"],
    ]) {
      assert.ok(fields.includes(field), `${field} is not among ${fields.join(", ")}`);
    }
  });

  it("lists the target types and the metrics that there are", async () => {
    const answer = await world.call("POST", "/policies", {
      body: body({
        ...fresh(),
        target_type: "warehouse",
        scale_up_rules: [{ metric: "mood", operator: "gt", threshold: 1, scale_by: 1 }],
      }),
    });
    assert.equal(answer.status, 400);
    const messages = (answer.body.errors ?? []).map(({ message }) => message).join("\n");
    assert.match(messages, /cdc-worker, elastiservice, scaledobject, workload/);
    assert.match(messages, /latency, queue|queue, latency/);
  });

  it("wants a right in the namespace of the target", async () => {
    const elsewhere = body({ ...fresh(), target_ref: { namespace: "bank", name: "web", kind: "Deployment" } });
    const refused = await world.call("POST", "/policies", { body: elsewhere, token: "shop" });
    assert.equal(refused.status, 403);
    assert.match(String(refused.body.detail), /shop may not create scalingpolicies.* in namespace bank/);
    assert.equal((await world.call("POST", "/policies", { body: body(fresh()), token: "reader" })).status, 403);
    assert.equal((await world.call("POST", "/policies", { body: body(fresh()), token: "shop" })).status, 201);
    // a policy without a target of its own belongs to no namespace
    const nowhere = { name: "all-workers", target_type: "cdc-worker" };
    assert.equal((await world.call("POST", "/policies", { body: nowhere, token: "shop" })).status, 403);
    assert.equal((await world.call("POST", "/policies", { body: nowhere })).status, 201);
  });

  it("lets nobody read by a rule a Secret that they may not read themselves", async () => {
    const reading = (connection: string) =>
      body({
        ...fresh(),
        scale_up_rules: [
          { metric: { source: "sql", query: "select 1", connection }, operator: "gt", threshold: 1, scale_by: 1 },
        ],
      });
    const refused = await world.call("POST", "/policies", { body: reading("bank/url"), token: "shop" });
    assert.equal(refused.status, 403);
    assert.match(String(refused.body.detail), /may not get secrets in namespace shop, and a rule names Secret bank/);
    const made = await world.call("POST", "/policies", { body: reading("db/url"), token: "shop" });
    assert.equal(made.status, 201, made.text);
    const path = `/policies/${policyOf(made).id}`;
    // what it reads already it may go on reading, whoever changes something else
    world.rights.secrets.shop = [];
    assert.equal((await world.call("PUT", path, { body: { max_replicas: 4 }, token: "shop" })).status, 200);
    const { scale_up_rules } = reading("other/url");
    assert.equal((await world.call("PUT", path, { body: { scale_up_rules }, token: "shop" })).status, 403);
    world.rights.secrets.shop = ["shop/db"];
  });
});

describe("GET /policies", () => {
  it("pages by name, filters, and shows only what the caller may see", async () => {
    const own = await startWorld();
    try {
      for (const [name, namespace, enabled] of [
        ["a", "shop", true],
        ["b", "bank", true],
        ["c", "shop", false],
        ["d", "shop", true],
      ] as const) {
        await own.made({ name, enabled, target_ref: { namespace, name, kind: "Deployment" } });
      }
      const list = async (query: string, token = "admin") => {
        const { status, body: answer } = await own.call("GET", `/policies${query}`, { token });
        assert.equal(status, 200);
        const names = (answer.policies as Policy[]).map(({ name }) => name).join("");
        return { names, total: answer.total_count, next: answer.next };
      };
      assert.deepEqual(await list(""), { names: "abcd", total: 4, next: null });
      assert.deepEqual(await list("", "shop"), { names: "acd", total: 3, next: null });
      assert.equal((await list("?enabled=true")).names, "abd");
      assert.equal((await list("?enabled=false")).names, "c");
      assert.equal((await list("?namespace=bank")).names, "b");
      assert.equal((await list("?name=d", "shop")).names, "d");
      assert.equal((await list("?target_type=elastiservice")).names, "");
      const first = await list("?limit=2", "shop");
      assert.deepEqual([first.names, first.total, typeof first.next], ["ac", 3, "string"]);
      const second = await list(`?limit=2&after=${encodeURIComponent(String(first.next))}`, "shop");
      assert.deepEqual(second, { names: "d", total: 3, next: null });
      const forbidden = await own.call("GET", "/policies?namespace=bank", { token: "shop" });
      assert.equal(forbidden.status, 403);
    } finally {
      await own.close();
    }
  });

  it("refuses parameters that it does not know or cannot use", async () => {
    for (const [query, field] of [
      ["?limit=0", "limit"],
      ["?limit=1001", "limit"],
      ["?limit=ten", "limit"],
      ["?limit=1e3", "limit"],
      ["?limit=5&limit=6", "limit"],
      ["?limit=99999999999999999999", "limit"],
      ["?enabled=maybe", "enabled"],
      ["?color=red", "color"],
      ["?name=%00", "name"],
      ["?name=", "name"],
      ["?after=nonsense", undefined],
    ] as const) {
      const answer = await world.call("GET", `/policies${query}`);
      assert.equal(answer.status, 400, query);
      assert.equal(answer.body.reason, "ELASTI_POLICY_REQUEST_INVALID", query);
      if (field !== undefined) assert.deepEqual(fieldsOf(answer), [field], query);
    }
  });
});

describe("GET /policies/:id", () => {
  it("answers 304 to who has this version already", async () => {
    const { id } = await world.made(fresh());
    const read = (tag: string) => world.call("GET", `/policies/${id}`, { headers: { "if-none-match": tag } });
    for (const tag of ['"1"', 'W/"1"', '"7", "1"', "*"]) {
      const { status, text, headers } = await read(tag);
      assert.deepEqual([status, text, headers.get("etag")], [304, "", '"1"'], tag);
    }
    for (const tag of ['"2"', 'W/"11"']) assert.equal((await read(tag)).status, 200, tag);
    assert.equal((await read("1")).status, 400);
  });

  it("answers 400 to what is no UUID, 404 to an unknown one, 403 to who may not read there", async () => {
    assert.equal((await world.call("GET", "/policies/web")).status, 400);
    const unknown = await world.call("GET", `/policies/${unknownId}`);
    assert.deepEqual([unknown.status, unknown.body.reason], [404, "ELASTI_POLICY_NOT_FOUND"]);
    const { id } = await world.made({
      ...fresh(),
      target_ref: { namespace: "bank", name: "web", kind: "Deployment" },
    });
    assert.equal((await world.call("GET", `/policies/${id}`, { token: "reader" })).status, 403);
    assert.equal((await world.call("HEAD", `/policies/${id}`)).status, 200);
  });
});

describe("PUT /policies/:id", () => {
  it("replaces what is given and leaves the rest", async () => {
    const { id } = await world.made({
      ...fresh(),
      description: "before",
      max_hourly_cost: 5,
      price_per_replica_hour: 1,
    });
    const answer = await world.call("PUT", `/policies/${id}`, { body: { max_replicas: 4, max_hourly_cost: null } });
    assert.equal(answer.status, 200, answer.text);
    const { max_replicas, description, max_hourly_cost, version } = policyOf(answer);
    assert.deepEqual(
      { max_replicas, description, max_hourly_cost, version },
      { max_replicas: 4, description: "before", max_hourly_cost: null, version: 2 },
    );
    assert.equal(answer.headers.get("etag"), '"2"');
  });

  it("takes a policy back as it was answered", async () => {
    const made = await world.made({
      ...fresh(),
      scale_up_rules: [
        { when: { any: [{ metric: "queue", operator: "gt", threshold: 1 }] }, duration: "1m", scale_by: "50%" },
      ],
      schedules: [{ start: "0 8 * * *", end: "0 18 * * *", min_replicas: 2 }],
    });
    const answer = await world.call("PUT", `/policies/${made.id}`, { body: { ...made, max_replicas: 7 } });
    assert.equal(answer.status, 200, answer.text);
    const { version: _, updated_at: __, ...now } = policyOf(answer);
    const { version: ___, updated_at: ____, ...before } = made;
    assert.deepEqual(now, { ...before, max_replicas: 7 });
    // its version is a precondition, so that who was slower notices
    const late = await world.call("PUT", `/policies/${made.id}`, { body: { ...made, max_replicas: 8 } });
    assert.deepEqual([late.status, late.body.reason], [412, "ELASTI_POLICY_CHANGED"]);
    const other = await world.call("PUT", `/policies/${made.id}`, { body: { ...made, id: unknownId } });
    assert.deepEqual(fieldsOf(other), ["id"]);
  });

  it("changes only the version that If-Match names", async () => {
    const { id } = await world.made(fresh());
    const put = (tag: string) =>
      world.call("PUT", `/policies/${id}`, { body: { description: tag }, headers: { "if-match": tag } });
    assert.equal((await put('"2"')).status, 412);
    assert.equal((await put('W/"1"')).status, 412);
    assert.equal((await put("one")).status, 400);
    assert.equal((await put('"1"')).status, 200);
    assert.equal((await put('"1"')).status, 412);
    assert.equal((await put('"1", "2"')).status, 200);
    assert.equal((await put("*")).status, 200);
  });

  it("lets two writers at once both change it, and of two that name a version only one", async () => {
    const { id } = await world.made(fresh());
    const both = await Promise.all([
      world.call("PUT", `/policies/${id}`, { body: { description: "one" } }),
      world.call("PUT", `/policies/${id}`, { body: { max_replicas: 3 } }),
    ]);
    assert.deepEqual(
      both.map(({ status }) => status),
      [200, 200],
    );
    const now = policyOf(await world.call("GET", `/policies/${id}`));
    assert.deepEqual([now.description, now.max_replicas, now.version], ["one", 3, 3]);
    const race = await Promise.all(
      Array.from({ length: 5 }, (_, index) =>
        world.call("PUT", `/policies/${id}`, { body: { description: `${index}` }, headers: { "if-match": '"3"' } }),
      ),
    );
    assert.deepEqual(race.map(({ status }) => status).sort(), [200, 412, 412, 412, 412]);
  });

  it("refuses what the policy would become, and what is no object", async () => {
    const { id, name } = await world.made({ ...fresh(), min_replicas: 3 });
    const wrong = await world.call("PUT", `/policies/${id}`, { body: { max_replicas: 2, color: "red" } });
    assert.equal(wrong.status, 400);
    assert.ok(fieldsOf(wrong).includes("color"));
    assert.ok(fieldsOf(wrong).some((field) => /^(min|max)_replicas$/.test(field)));
    for (const none of ["[]", "null", '"text"', "7"]) {
      assert.equal((await world.call("PUT", `/policies/${id}`, { body: none })).status, 400, none);
    }
    assert.equal((await world.call("PUT", `/policies/${id}`, { body: { name: null } })).status, 400);
    const taken = (await world.made(fresh())).name;
    assert.equal((await world.call("PUT", `/policies/${id}`, { body: { name: taken } })).status, 409);
    assert.equal(policyOf(await world.call("GET", `/policies/${id}`)).name, name);
    assert.equal((await world.call("PUT", `/policies/${unknownId}`, { body: {} })).status, 404);
  });

  it("moves a policy to another namespace only for who may make one there", async () => {
    const { id } = await world.made(fresh());
    const moved = { target_ref: { namespace: "bank", name: "web", kind: "Deployment" } };
    assert.equal((await world.call("PUT", `/policies/${id}`, { body: moved, token: "shop" })).status, 403);
    assert.equal((await world.call("PUT", `/policies/${id}`, { body: moved })).status, 200);
    assert.equal((await world.call("PUT", `/policies/${id}`, { body: {}, token: "shop" })).status, 403);
  });
});

describe("DELETE /policies/:id", () => {
  it("removes it once, under If-Match", async () => {
    const { id } = await world.made(fresh());
    const remove = (headers = {}) => world.call("DELETE", `/policies/${id}`, { headers });
    assert.equal((await remove({ "if-match": '"2"' })).status, 412);
    assert.equal((await world.call("DELETE", `/policies/${id}`, { token: "reader" })).status, 403);
    const removed = await remove({ "if-match": '"1"' });
    assert.deepEqual([removed.status, removed.text], [204, ""]);
    assert.equal((await remove()).status, 404);
    assert.equal((await world.call("GET", `/policies/${id}`)).status, 404);
  });
});

describe("POST /policies/:id/enable and disable", () => {
  it("switches it, and changes nothing where it is so already", async () => {
    const { id } = await world.made(fresh());
    const post = (what: string, options = {}) => world.call("POST", `/policies/${id}/${what}`, options);
    const off = await post("disable");
    assert.deepEqual([off.status, off.body, off.headers.get("etag")], [200, { message: "policy disabled" }, '"2"']);
    assert.equal((await post("disable")).headers.get("etag"), '"2"');
    assert.equal(policyOf(await world.call("GET", `/policies/${id}`)).enabled, false);
    assert.equal((await post("enable", { headers: { "if-match": '"1"' } })).status, 412);
    assert.equal((await post("enable", { token: "reader" })).status, 403);
    assert.deepEqual((await post("enable", { token: "shop" })).body, { message: "policy enabled" });
    assert.equal((await world.call("POST", `/policies/${unknownId}/enable`)).status, 404);
  });
});
