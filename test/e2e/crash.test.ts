import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resolverSliceName } from "@elasti/api";
import type { PrometheusProcess } from "@elasti/local";
import type { ApiCall } from "./api-proxy.ts";
import { Traffic } from "./client.ts";
import { Exporter, loadTrigger, missingPrometheus } from "./exporter.ts";
import type { Sleeper } from "./sleeper.ts";
import type { Stop } from "./stops.ts";
import { startWorld, type World } from "./world.ts";

/** Services whose phase Draining has been written. */
const drained = new Set<string>();

/** The writes of one sleep, and how the one for a service is told among all writes to the API server. */
const writes = {
  draining: ({ path, body }: ApiCall, name: string) =>
    path.endsWith(`/elastiservices/${name}/status`) && body.includes('"Draining"'),
  slice: (call: ApiCall, name: string) => {
    // one that was written while no pod was ready yet belongs to no sleep
    if (writes.draining(call, name)) drained.add(name);
    return drained.has(name) && call.method === "POST" && call.body.includes(resolverSliceName(name));
  },
  park: ({ path, body }: ApiCall, name: string) =>
    path.endsWith(`/services/${name}`) && body.includes('parked":"true"'),
  sealed: ({ path, body }: ApiCall, name: string) =>
    path.endsWith(`/elastiservices/${name}/status`) && body.includes('"Sealed"'),
  zero: ({ path, body }: ApiCall, name: string) =>
    path.endsWith(`/deployments/${name}/scale`) && body.includes('"replicas":0'),
  asleep: ({ path, body }: ApiCall, name: string) =>
    path.endsWith(`/elastiservices/${name}/status`) && body.includes('"Asleep"'),
  gone: ({ path, body }: ApiCall, name: string) =>
    path.endsWith(`/elastiservices/${name}/status`) && body.includes('"podsGone":true') && !body.includes('"phase"'),
  unpark: ({ path, body }: ApiCall, name: string) =>
    path.endsWith(`/services/${name}`) && body.includes('parked":null'),
};
type Write = keyof typeof writes;
const steps = Object.keys(writes) as Write[];
/** A sleep whose leader died after this write is finished by the next one; before it, undone. */
const finished: ReadonlySet<Write> = new Set(["zero", "asleep", "gone", "unpark"]);

interface Victim {
  readonly write: Write;
  readonly when: "before" | "after";
  readonly web: Sleeper;
  readonly stopped: Stop;
}

// Only the embedded cluster's proxy can stop single writes.
describe("a leader that is killed at every write of a sleep", { skip: missingPrometheus }, () => {
  let world: World;
  let exporter: Exporter;
  let prometheus: PrometheusProcess;
  let victims: Victim[] = [];
  before(async () => {
    exporter = await Exporter.start();
    prometheus = await exporter.prometheus();
    // all writes are stopped at once, for as long as the last one takes to come
    const operatorEnv = {
      ELASTI_LEASE_DURATION: "8s",
      ELASTI_LEASE_RENEW_DEADLINE: "7500ms",
      ELASTI_KUBE_TIMEOUT: "7s",
      ELASTI_RECONCILE_CONCURRENCY: "64",
    };
    world = await startWorld({ operators: 2, resolvers: 2, prometheusUrl: prometheus.url, operatorEnv });
    const sleeper = (name: string) => {
      const spec = { cooldownPeriod: 1, triggers: [loadTrigger(name)], routing: { graceSeconds: 0 } };
      return world.sleeper({ name, replicas: 1, spec });
    };
    const names = steps.flatMap((write) =>
      (["before", "after"] as const).map((when) => ({ write, when, name: `${write}-${when}` })),
    );
    for (const { name } of names) exporter.set(name, 1);
    const apps = await Promise.all(names.map(({ name }) => sleeper(name)));
    await Promise.all(apps.map((web) => web.direct()));
    victims = names.map(({ write, when, name }, index) => ({
      write,
      when,
      web: apps[index]!,
      stopped: world.embedded!.operatorApi.stops.next(when, (call) => writes[write](call, name)),
    }));
    for (const { name } of names) exporter.set(name, 0);
    await Promise.all(victims.map(({ stopped }) => stopped.arrived));
  });
  after(async () => {
    await world?.close();
    await prometheus?.close();
    await exporter?.close();
  });

  it("is followed by one that undoes or finishes each, and no request is lost meanwhile", {
    timeout: 60_000,
  }, async () => {
    // one that is wanted again, and one that nobody asks for
    const busy = victims.filter(({ when }) => when === "before");
    const quiet = victims.filter(({ when }) => when === "after");
    const leader = await world.leader();
    await world.kill(leader);
    for (const { web } of busy) exporter.set(web.name, 1);
    await using asked = new AsyncDisposableStack();
    const traffic = busy.map(({ web }) => asked.use(new Traffic(() => web.ask(), 50)));

    await Promise.all(
      quiet.map(async ({ write, web }) => {
        if (finished.has(write)) {
          await web.sleeps();
          await web.parked(false);
          assert.equal(await web.replicas(), 0, write);
          assert.ok((await web.slices()).ours !== undefined, write);
        } else {
          await web.reaches("Serving", { when: ({ status }) => status?.mode === "serve" });
          await web.parked(false);
          await web.direct();
          assert.equal(await web.replicas(), 1, write);
        }
      }),
    );
    await Promise.all(
      busy.map(async ({ web }) => {
        await web.reaches("Serving", { when: ({ status }) => status?.mode === "serve" });
        await web.parked(false);
        await web.direct();
      }),
    );
    // what the dead leader had sent and the network kept back arrives now, and must not land
    for (const { write, stopped } of busy) {
      // a create knows no version: it lands, leads to resolvers that serve, and is taken away again
      assert.equal(await stopped.release(), write === "slice" ? 201 : 409, write);
    }
    for (const { web } of busy) {
      await web.direct();
      await web.parked(false);
      assert.equal(await web.replicas(), 1);
    }
    for (const one of traffic) {
      const { failures, answers } = await one.stop();
      assert.deepEqual(failures, []);
      assert.ok(answers.length > 20, `${answers.length}`);
    }
    for (const { web } of quiet) assert.equal((await web.ask()).status, 200, web.name);
    assert.notEqual(await world.leader(), "");
  });
});
