import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startWorld, type World } from "./kit.ts";

let world: World;
before(async () => {
  world = await startWorld();
});
after(() => world.close());

const path = "/targets/shop/Deployment/web/override";
const until = "2026-05-05T08:00:00Z";

describe("overrides of a target", () => {
  it("are set, read and ended", async () => {
    assert.equal((await world.call("GET", path)).body.reason, "ELASTI_POLICY_NO_OVERRIDE");
    const wanted = { kind: "at_least", replicas: 3, until, reason: "a launch" };
    const put = await world.call("PUT", path, { body: wanted, token: "shop" });
    assert.equal(put.status, 200, put.text);
    assert.deepEqual(put.body, { state: "active", override: { ...wanted, by: "shop" } });
    assert.equal(world.overrides.found.get("shop/Deployment/web")?.state, "active");
    assert.deepEqual((await world.call("GET", path, { token: "reader" })).body, put.body);
    assert.equal((await world.call("DELETE", path, { token: "reader" })).status, 403);
    assert.equal((await world.call("DELETE", path)).status, 204);
    assert.equal((await world.call("DELETE", path)).status, 404);
  });

  it("take the place of one another, and want a right in the namespace", async () => {
    const pin = { kind: "pin", replicas: 0, until, reason: "repair" };
    assert.equal((await world.call("PUT", path, { body: pin, token: "reader" })).status, 403);
    assert.equal((await world.call("PUT", path, { body: pin })).status, 200);
    assert.equal((await world.call("PUT", path, { body: { kind: "pause", until, reason: "look" } })).status, 200);
    const { override } = (await world.call("GET", path)).body as { override: { kind: string; replicas?: number } };
    assert.deepEqual([override.kind, override.replicas], ["pause", undefined]);
    const elsewhere = path.replace("shop", "bank");
    for (const method of ["GET", "DELETE"]) {
      assert.equal((await world.call(method, elsewhere, { token: "shop" })).status, 403);
    }
  });

  it("that are over or not understood are told as such", async () => {
    const key = "shop/Deployment/old";
    const override = { kind: "awake", until, untilMs: Date.parse(until), by: "ann" } as const;
    world.overrides.found.set(key, { state: "expired", override });
    const expired = await world.call("GET", path.replace("web", "old"));
    assert.deepEqual(expired.body, { state: "expired", override: { kind: "awake", until, by: "ann" } });
    const problems = [{ field: "kind", message: "is missing" }];
    world.overrides.found.set(key, { state: "invalid", problems });
    const invalid = await world.call("GET", path.replace("web", "old"));
    assert.deepEqual(invalid.body, { state: "invalid", override: null, problems });
  });

  it("need what their kind needs, an end, and an object that is there", async () => {
    for (const [wrong, field] of [
      [{ kind: "pin" }, "replicas"],
      [{ kind: "at_least", replicas: 0 }, "replicas"],
      [{ kind: "awake", replicas: 2 }, "replicas"],
      [{ kind: "sleepy" }, "kind"],
      [{ kind: "awake", until: "2026-05-04T11:59:59Z" }, "until"],
      [{ kind: "awake", until: "2028-01-01T00:00:00Z" }, "until"],
      [{ kind: "awake", until: "tomorrow" }, "until"],
      [{ kind: "awake", until: "2026-02-31T00:00:00Z" }, "until"],
      [{ kind: "awake", reason: "" }, "reason"],
      [{ kind: "awake", colour: 1 }, "colour"],
    ] as const) {
      const answer = await world.call("PUT", path, { body: { until, reason: "test", ...wrong } });
      assert.equal(answer.status, 400, JSON.stringify(wrong));
      assert.deepEqual(
        (answer.body.errors ?? []).map((error) => error.field),
        [field],
      );
    }
    const body = { kind: "awake", until, reason: "test" };
    const missing = await world.call("PUT", path.replace("Deployment", "Spaceship"), { body });
    assert.deepEqual([missing.status, missing.body.reason], [404, "ELASTI_POLICY_TARGET_NOT_FOUND"]);
    for (const place of ["/targets/Shop/Deployment/web", "/targets/shop/a%20b/web", "/targets/shop/Deployment/%00"]) {
      assert.equal((await world.call("PUT", `${place}/override`, { body })).status, 400, place);
    }
  });
});
