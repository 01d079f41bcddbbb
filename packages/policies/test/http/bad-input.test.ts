import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { type Answer, body, startWorld, type World } from "./kit.ts";

let world: World;
before(async () => {
  world = await startWorld();
});
after(() => world.close());

const post = (given: unknown, headers: Record<string, string> = {}) =>
  world.call("POST", "/policies", { body: given, headers });
const fields = (answer: Answer): string[] => (answer.body.errors ?? []).map(({ field }) => field);
const rule = (more: Record<string, unknown> = {}) => ({
  metric: "queue",
  operator: "gt",
  threshold: 1,
  scale_by: 1,
  ...more,
});

/** Every answer to bad input is a problem document of this API. */
function assertProblem(answer: Answer, status: number, what: string): void {
  assert.equal(answer.status, status, `${what}: ${answer.text.slice(0, 300)}`);
  assert.equal(answer.headers.get("content-type"), "application/problem+json", what);
  assert.equal(answer.body.status, status, what);
  assert.match(String(answer.body.reason), /^ELASTI_POLICY_/, what);
  assert.equal(answer.headers.get("elasti-reason"), answer.body.reason, what);
}

describe("bodies", () => {
  it("that are no JSON are refused", async () => {
    for (const wrong of ["{", "", "nonsense", '{"name": }', "[1,", "\u0000", '{"__proto__": {"enabled": true}}']) {
      assertProblem(await post(wrong), 400, JSON.stringify(wrong));
    }
  });

  it("that are no object are refused", async () => {
    for (const wrong of ["null", "[]", "7", '"text"', "true"]) assertProblem(await post(wrong), 400, wrong);
  });

  it("of another content type are refused, and none where one is needed", async () => {
    for (const type of ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense"]) {
      assertProblem(await post(body(), { "content-type": type }), 415, type);
    }
    assert.equal(
      (await post(body({ name: "charset" }), { "content-type": "application/json; charset=utf-8" })).status,
      201,
    );
    assertProblem(await world.call("POST", "/policies"), 400, "no body");
  });

  it("of ten megabytes are refused without being read", async () => {
    const large = body({ description: "x".repeat(10 * 1024 * 1024) });
    const asked = request(`${world.url}/policies`, {
      method: "POST",
      headers: { authorization: "Bearer admin", "content-type": "application/json" },
    });
    // the server may close before all of it is sent
    asked.on("error", () => {});
    const answered = once(asked, "response") as Promise<[import("node:http").IncomingMessage]>;
    asked.end(JSON.stringify(large));
    const [response] = await answered;
    assert.equal(response.statusCode, 413);
    assert.equal(JSON.parse(await text(response)).reason, "ELASTI_POLICY_TOO_LARGE");
    asked.destroy();
  });

  it("of ten megabytes without a length are refused once there is too much", async () => {
    const socket = connect(Number(new URL(world.url).port), "127.0.0.1");
    socket.on("error", () => {});
    socket.write(
      "POST /api/v1/scaling/policies HTTP/1.1\r\nhost: a\r\nauthorization: Bearer admin\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    const chunk = `10000\r\n${" ".repeat(65_536)}\r\n`;
    const flood = () => {
      while (socket.writable && socket.write(chunk));
    };
    socket.on("drain", flood);
    flood();
    const [first] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    assert.match(first.toString(), /^HTTP\/1\.1 413 /);
  });

  it("nested without end are refused", async () => {
    const depth = 100_000;
    const nested = `{"name":"deep","target_type":"cdc-worker","scale_up_rules":[{"scale_by":1,"when":${'{"any":['.repeat(depth)}1${"]}".repeat(depth)}}]}`;
    assertProblem(await post(nested), 400, "a condition");
    const lists = `${"[".repeat(depth)}${"]".repeat(depth)}`;
    assertProblem(await post(lists), 400, "lists");
    assertProblem(await world.call("POST", `/policies/${randomUUID()}/evaluate`, { body: lists }), 400, "evaluate");
  });

  it("with text that is none are refused: a NUL, half of a surrogate pair", async () => {
    for (const wrong of ["a\\u0000b", "\\ud800", "\\udc00x"]) {
      const answer = await post(`{"name":"${wrong}","target_type":"cdc-worker"}`);
      assertProblem(answer, 400, wrong);
      assert.deepEqual(fields(answer), ["name"]);
      assertProblem(await post(`{"${wrong}":1}`), 400, "as a name");
    }
  });
});

describe("policies", () => {
  it("with ten thousand rules are refused", async () => {
    const answer = await post(body({ scale_up_rules: Array.from({ length: 10_000 }, () => rule()) }));
    assertProblem(answer, 400, "rules");
    assert.deepEqual(fields(answer), ["scale_up_rules"]);
    const wrong = await post(body({ scale_up_rules: Array.from({ length: 100 }, () => ({ ...rule(), a: 1, b: 2 })) }));
    assertProblem(wrong, 400, "many wrong fields");
    assert.ok(fields(wrong).length >= 200 && String(wrong.body.detail).length < 2_000);
  });

  it("with a cron, a timezone or a window that cannot be used are refused, not a 500", async () => {
    const schedule = (more: Record<string, unknown>) =>
      post(body({ schedules: [{ cron_expression: "0 8 * * *", desired_replicas: 1, ...more }] }));
    for (const [more, field] of [
      [{ cron_expression: "every monday" }, "schedules[0].cron_expression"],
      [{ cron_expression: "61 8 * * *" }, "schedules[0].cron_expression"],
      [{ timezone: "Mars/Base" }, "schedules[0].timezone"],
      [{ desired_replicas: -1 }, "schedules[0].desired_replicas"],
      [{ desired_replicas: 1.5 }, "schedules[0].desired_replicas"],
    ] as const) {
      const answer = await schedule(more);
      assertProblem(answer, 400, JSON.stringify(more));
      assert.ok(fields(answer).includes(field), `${field}: ${answer.text}`);
    }
    const window = { start: "0 8 * * *", end: "0 8 * * *", min_replicas: 2 };
    assertProblem(await post(body({ schedules: [window] })), 400, "start equal to end");
  });

  it("with numbers that are none, durations below zero and steps the wrong way are refused", async () => {
    for (const [more, field] of [
      [{ threshold: "NaN" }, "scale_up_rules[0].threshold"],
      [{ threshold: null }, "scale_up_rules[0].threshold"],
      [{ duration_seconds: -5 }, "scale_up_rules[0].duration_seconds"],
      [{ duration: "-5m" }, "scale_up_rules[0].duration"],
      [{ duration: "soon" }, "scale_up_rules[0].duration"],
      [{ scale_by: -1 }, "scale_up_rules[0].scale_by"],
      [{ scale_by: 0 }, "scale_up_rules[0].scale_by"],
    ] as const) {
      const answer = await post(body({ scale_up_rules: [rule(more)] }));
      assertProblem(answer, 400, JSON.stringify(more));
      assert.ok(fields(answer).includes(field), `${field}: ${answer.text}`);
    }
    const endless = JSON.stringify(body({ scale_up_rules: [rule()] })).replace('"threshold":1', '"threshold":1e999');
    assertProblem(await post(endless), 400, "1e999");
    assertProblem(await post(body({ min_replicas: 5, max_replicas: 4 })), 400, "min above max");
    assertProblem(await post(body({ cooldown_seconds: 1e300 })), 400, "cooldown");
  });

  it("with SQL in their names are policies like others", async () => {
    const name = `'; DROP TABLE scaling_policies; -- "${randomUUID()}" \\ %_ 🙂`;
    const made = await post(body({ name }));
    assert.equal(made.status, 201, made.text);
    const found = await world.call("GET", `/policies?name=${encodeURIComponent(name)}`);
    assert.equal(found.body.total_count, 1);
    assert.equal((found.body.policies as { name: string }[])[0]?.name, name);
    for (const filter of ["target_type", "namespace"]) {
      const value = encodeURIComponent("' or '1'='1");
      assert.equal((await world.call("GET", `/policies?${filter}=${value}`)).body.total_count, 0);
    }
    const history = await world.call("GET", `/history?policy_name=${encodeURIComponent(name)}`);
    assert.deepEqual(history.body.history, []);
  });

  it("that refer to metrics and targets that are not there yet are accepted", async () => {
    const metric = { source: "prometheus", query: "sum(rate(not_there_yet[1m]))" };
    const target_ref = { namespace: "later", name: "later", kind: "Deployment" };
    const made = await post(body({ name: "waiting", target_ref, scale_up_rules: [rule({ metric })] }));
    assert.equal(made.status, 201, made.text);
  });
});

describe("paths", () => {
  it("that are not served answer 404, and 405 with what is allowed where another method is", async () => {
    for (const path of ["/", "/policy", "/policies/a/b/c", "/policies%2F", "/../policies", "/policies;a=b"]) {
      const answer = await world.call("GET", path);
      assert.equal(answer.status, 404, path);
    }
    for (const [method, path, allow] of [
      ["DELETE", "/policies", "POST, GET, HEAD"],
      ["POST", `/policies/${randomUUID()}`, "GET, PUT, DELETE, HEAD"],
      ["GET", "/wake", "POST"],
      ["PATCH", "/history", "GET, HEAD"],
    ] as const) {
      const answer = await world.call(method, path);
      assertProblem(answer, 405, `${method} ${path}`);
      assert.equal(answer.headers.get("allow"), allow);
    }
  });

  it("with ids that are none answer 400, and unknown ones 404", async () => {
    const routes = [
      ...[
        ["GET", ""],
        ["PUT", ""],
        ["DELETE", ""],
        ["POST", "/enable"],
        ["POST", "/disable"],
        ["POST", "/evaluate"],
      ],
      ...["/state", "/history", "/decisions", "/idle", "/savings"].map((path) => ["GET", path]),
      ["POST", "/wake"],
    ];
    const ids = ["7", "not-a-uuid", "%00", `${randomUUID()}0`, "'; drop table", "x".repeat(400), "%F0%9F%99%82"];
    for (const [method = "", path = ""] of routes) {
      const given = method === "PUT" ? { body: {} } : {};
      for (const id of ids) {
        assertProblem(
          await world.call(method, `/policies/${encodeURIComponent(decodeURIComponent(id))}${path}`, given),
          400,
          `${method} ${path} ${id}`,
        );
      }
      assertProblem(await world.call(method, `/policies/${randomUUID()}${path}`, given), 404, `${method} ${path}`);
    }
  });
});

describe("too much at once", () => {
  it("is told to come back", async () => {
    const small = await startWorld({ maxAtWork: 1 });
    try {
      const { id } = await small.made({ target_type: "elastiservice", target_ref: { namespace: "shop", name: "web" } });
      small.sleepers.set("web");
      small.sleepers.serves = false;
      const slow = small.call("POST", `/policies/${id}/wake`, { body: { wait_for_ready: true } });
      await small.sleepers.waiting;
      const refused = await small.call("GET", "/policies");
      assertProblem(refused, 503, "a second request");
      assert.deepEqual([refused.body.reason, refused.headers.get("retry-after")], ["ELASTI_POLICY_BUSY", "1"]);
      await small.clock.advance(120_000);
      await slow;
      assert.equal((await small.call("GET", "/policies")).status, 200);
    } finally {
      await small.close();
    }
  });
});

describe("a database that is away", () => {
  it("is told by every route, without what it said of its address", async () => {
    const own = await startWorld();
    await own.made();
    await own.store.close();
    try {
      for (const [method, path] of [
        ["GET", "/policies"],
        ["POST", "/policies"],
        ["GET", "/history"],
        ["GET", "/scaled-to-zero"],
        ["GET", "/savings/summary"],
        ["POST", "/wake"],
        ["GET", `/policies/${randomUUID()}`],
      ] as const) {
        const answer = await own.call(method, path, path === "/policies" && method === "POST" ? { body: body() } : {});
        assertProblem(answer, 503, `${method} ${path}`);
        assert.equal(answer.body.reason, "ELASTI_POLICY_DATABASE");
      }
    } finally {
      await own.close();
    }
  });
});
