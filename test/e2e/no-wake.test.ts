import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startWorld, type World } from "./world.ts";

describe("answers of the resolver's own", { concurrency: 6 }, () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 1, resolvers: 1 });
  });
  after(() => world.close());

  it("answers probeResponse without waking, and wakes for all else", async () => {
    const web = await world.sleeper({
      name: "probed",
      spec: {
        probeResponse: [
          { path: { type: "Exact", value: "/ping" }, method: "GET", response: { status: 200, body: "pong" } },
          {
            path: { value: "/hook" },
            headers: [{ name: "X-Kind", type: "RegularExpression", value: "ping|test" }],
            response: { status: 204 },
          },
        ],
      },
    });
    const epoch = await web.epoch();
    const ping = await web.ask("/ping");
    assert.deepEqual([ping.status, ping.text, ping.headers["elasti-reason"]], [200, "pong", "probe-response"]);
    assert.equal(
      (await web.ask("/hook/github", { method: "POST", body: "{}", headers: { "x-kind": "test" } })).status,
      204,
    );
    assert.deepEqual([await web.replicas(), await web.epoch()], [0, epoch]);
    assert.equal((await web.ask("/pingpong")).pod === undefined, false);
    // the rules hold while it is awake too: their answer does not depend on who is up
    assert.equal((await web.ask("/ping")).text, "pong");
  });

  it("answers the kubelet, load balancers and Prometheus without waking", async () => {
    const web = await world.sleeper({ name: "checked" });
    const epoch = await web.epoch();
    const ask = (agent: string) => web.ask("/healthz", { headers: { "user-agent": agent } });
    for (const agent of ["kube-probe/1.34", "ELB-HealthChecker/2.0", "GoogleHC/1.0"])
      assert.equal((await ask(agent)).status, 200, agent);
    // a scrape that succeeded would say that it is up
    assert.equal((await ask("Prometheus/2.53.0")).status, 503);
    assert.deepEqual([await web.replicas(), await web.epoch()], [0, epoch]);
    assert.equal((await web.ask("/")).status, 200);
    const awake = await ask("kube-probe/1.34");
    assert.deepEqual([awake.status, awake.text], [200, "ok\n"]);
  });

  it("takes no connection that says nothing for a request", async () => {
    const web = await world.sleeper({ name: "silent" });
    const epoch = await web.epoch();
    await web.connectAndLeave();
    await web.connectAndLeave();
    assert.equal((await web.ask("/healthz", { headers: { "user-agent": "kube-probe/1.34" } })).status, 200);
    assert.deepEqual([await web.replicas(), await web.epoch()], [0, epoch]);
  });

  it("refuses with 503, Retry-After and the reason when the gate is full", async () => {
    const web = await world.sleeper({ name: "full", startMs: 700, spec: { queue: { maxRequests: 3 } } });
    const answers = await Promise.all(Array.from({ length: 10 }, () => web.ask()));
    const refused = answers.filter(({ status }) => status === 503);
    assert.equal(answers.filter(({ status }) => status === 200).length, 3);
    assert.equal(refused.length, 7);
    for (const { headers, text } of refused) {
      assert.equal(headers["elasti-reason"], "ELASTI_GATE_FULL");
      assert.match(String(headers["retry-after"]), /^\d+$/);
      assert.equal(headers["content-type"], "application/problem+json");
      assert.match(JSON.parse(text).detail, /3 requests wait already \(queue\.maxRequests\)/);
    }
  });

  it("answers 504 with the reason at the deadline of a hold", async () => {
    const web = await world.sleeper({ name: "late", startMs: 600_000, spec: { queue: { timeoutSeconds: 1 } } });
    const answer = await web.ask();
    assert.deepEqual([answer.status, answer.headers["elasti-reason"]], [504, "ELASTI_HOLD_TIMEOUT"]);
    assert.ok(answer.tookMs >= 1_000, `${answer.tookMs} ms`);
  });

  it("tells, at the deadline, why the operator could not wake it", async () => {
    const web = await world.sleeper({ name: "refused", spec: { queue: { timeoutSeconds: 2 } } });
    await world.client.delete((await import("@elasti/kube")).resources.deployments, "default", "refused");
    const answer = await web.ask();
    assert.ok(answer.status === 504 || answer.status === 503, `${answer.status}`);
    assert.match(answer.text, /refused/);
  });
});
