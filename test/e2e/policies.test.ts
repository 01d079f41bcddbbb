import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type Deployment, type Pod, resources, type ScaledObject } from "@elasti/kube";
import { type PostgresServer, startPostgres } from "@elasti/local";
import { RECORD } from "@elasti/scaling";
import { createScaledObject, installScaledObjects, removeScaledObjects } from "../keda/definition.ts";
import { request } from "./client.ts";
import { Exporter, missingPrometheus } from "./exporter.ts";
import { Stops } from "./stops.ts";
import { fastOperator, hostAddress, OPERATOR, startWorld, type World } from "./world.ts";

const token = "token-of-this-installation";
const quick = { routing: { graceSeconds: 0 } };

interface Entry {
  readonly kind: "action" | "decision";
  readonly outcome: string;
  readonly new_replicas: number | null;
}

describe("the policy engine", { skip: missingPrometheus }, () => {
  let world: World;
  let exporter: Exporter;
  let prometheus: Awaited<ReturnType<Exporter["prometheus"]>>;
  let folder: string;
  let postgres: PostgresServer | undefined;
  const stops = new Stops();

  before(async () => {
    exporter = await Exporter.start();
    prometheus = await exporter.prometheus();
    folder = await mkdtemp(join(tmpdir(), "elasti-policies-"));
    // processes share a file of this machine, pods do not
    if (hostAddress !== "127.0.0.1") postgres = await startPostgres({ host: hostAddress });
    world = await startWorld({
      operators: 2,
      resolvers: 1,
      prometheusUrl: prometheus.url,
      stops,
      operatorEnv: {
        ...fastOperator,
        ELASTI_SCALING_ENABLED: "true",
        ...(postgres === undefined
          ? { ELASTI_SCALING_SQLITE_FILE: join(folder, "policies.db") }
          : { DATABASE_URL: postgres.url() }),
        ELASTI_SCALING_EVALUATION_INTERVAL: "500ms",
        ELASTI_SCALING_TOKEN: token,
      },
    });
    await installScaledObjects(world.client, "2.21.0");
  });
  after(async () => {
    stops.close();
    if (world !== undefined) await removeScaledObjects(world.client);
    await world?.close();
    await prometheus?.close();
    await exporter?.close();
    await postgres?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  /** Asks whichever replica answers. */
  async function call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const signal = AbortSignal.timeout(20_000);
    for (;;) {
      for (const pod of await world.pods(OPERATOR)) {
        const answer = await ask(pod, method, path, body).catch((error: NodeJS.ErrnoException) => {
          // one of them was killed
          if (error.code !== "ECONNRESET" && error.code !== "ECONNREFUSED") throw error;
          return undefined;
        });
        if (answer === undefined) continue;
        assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
        return answer.text === "" ? {} : (JSON.parse(answer.text) as Record<string, unknown>);
      }
      signal.throwIfAborted();
      await pause(50);
    }
  }
  const ask = (pod: Pod, method: string, path: string, body?: unknown) =>
    request({
      host: pod.status?.podIP ?? "",
      port: 8013,
      path: `/api/v1/scaling${path}`,
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const policy = async (name: string, body: Record<string, unknown> = {}): Promise<string> => {
    const { policy: made } = await call("POST", "/policies", {
      name,
      target_type: "workload",
      target_ref: { namespace: "default", name },
      cooldown_seconds: 3_600,
      ...body,
    });
    return (made as { id: string }).id;
  };
  /** Entries of history of a policy, once they are as asked. */
  async function history(id: string, fits: (entries: Entry[]) => boolean, kind = "history"): Promise<Entry[]> {
    const signal = AbortSignal.timeout(20_000);
    for (;;) {
      const entries = (await call("GET", `/policies/${id}/${kind}`))[kind] as Entry[];
      if (fits(entries)) return entries;
      signal.throwIfAborted();
      await pause(50);
    }
  }
  const load = (service: string) => ({ source: "prometheus", query: `sum(load{service="${service}"})` });
  const above = (service: string, threshold: number) => ({ metric: load(service), operator: "gt", threshold });
  const replicasBecome = (name: string, wanted: number) =>
    world.until<Deployment, true>(`${wanted} replicas`, resources.deployments, "default", name, (object) =>
      object?.spec.replicas === wanted ? true : undefined,
    );
  const replicasOf = async (name: string) =>
    (await world.client.get<Deployment>(resources.deployments, "default", name)).spec.replicas;

  it("scales by a rule whose condition has held for its time", async () => {
    await world.app({ name: "held", replicas: 1 });
    exporter.set("held", 12);
    const begun = Date.now();
    const id = await policy("held", {
      scale_up_rules: [{ ...above("held", 10), duration_seconds: 2, scale_by: 2 }],
    });
    await replicasBecome("held", 3);
    assert.ok(Date.now() - begun >= 2_000, "it held for two seconds first");
    const entries = await history(id, (all) => all.some(({ kind }) => kind === "action"));
    const actions = entries.filter(({ kind }) => kind === "action");
    assert.deepEqual(
      actions.map(({ outcome, new_replicas }) => [outcome, new_replicas]),
      [["executed", 3]],
    );
  });

  it("waits for all parts of a group", async () => {
    await world.app({ name: "both", replicas: 1 });
    exporter.set("both", 12);
    exporter.set("both-too", 1);
    const id = await policy("both", {
      scale_up_rules: [{ when: { all: [above("both", 10), above("both-too", 10)] }, scale_by: 2 }],
    });
    const { decision } = await call("POST", `/policies/${id}/evaluate`, {});
    assert.equal((decision as { action: string } | undefined)?.action ?? "none", "none");
    assert.equal(await replicasOf("both"), 1);
    exporter.set("both-too", 12);
    await replicasBecome("both", 3);
  });

  it("changes nothing in shadow, and records what it would have done", async () => {
    await world.app({ name: "shade", replicas: 1 });
    exporter.set("shade", 12);
    const id = await policy("shade", { shadow: true, scale_up_rules: [{ ...above("shade", 10), scale_by: 2 }] });
    await history(id, (all) => all.some(({ outcome }) => outcome === "shadow"));
    assert.equal(await replicasOf("shade"), 1);
  });

  it("moves the bounds of a ScaledObject, and puts them back", async () => {
    await world.app({ name: "queue", replicas: 2 });
    await createScaledObject(world.client, "queue", { minReplicaCount: 2, maxReplicaCount: 4 });
    const bounds = (min: number, max: number) =>
      world.until<ScaledObject, ScaledObject>(
        `bounds ${min} to ${max}`,
        resources.scaledObjects,
        "default",
        "queue",
        (object) => (object?.spec.minReplicaCount === min && object.spec.maxReplicaCount === max ? object : undefined),
      );
    const id = await policy("queue", { target_type: "scaledobject", min_replicas: 3, max_replicas: 7 });
    await bounds(3, 7);
    await call("POST", `/policies/${id}/disable`);
    const back = await bounds(2, 4);
    assert.equal(back.metadata.annotations?.[RECORD], undefined);
  });

  it("writes nothing while the target sleeps, and does it once it is awake", async () => {
    const sleepy = await world.sleeper({ name: "sleepy", replicas: 1, spec: quick });
    const cooldown = (cooldownPeriod: number) =>
      world.client.patch(resources.elastiServices, "default", "sleepy", "merge", { spec: { cooldownPeriod } });
    await cooldown(1);
    const asleep = await sleepy.reaches("Asleep");
    exporter.set("sleepy", 12);
    const id = await policy("sleepy", {
      target_type: "elastiservice",
      scale_up_rules: [{ ...above("sleepy", 10), scale_by: 2 }],
    });
    await history(id, (all) => all.some(({ outcome }) => outcome === "suppressed"), "decisions");
    assert.equal(await replicasOf("sleepy"), 0);
    // awake for longer than an evaluation takes
    await cooldown(600);
    assert.equal((await sleepy.ask()).status, 200);
    await sleepy.reaches("Serving", { after: asleep.status?.epoch ?? 0 });
    await replicasBecome("sleepy", 3);
  });

  it("does it exactly once when the leader is killed in the middle of it", async () => {
    await world.app({ name: "once", replicas: 1 });
    const writes: string[] = [];
    const remove = stops.add(({ method, path, body }) => {
      if (method === "PATCH" && path.endsWith("/deployments/once/scale")) writes.push(body);
      return undefined;
    });
    const stop = stops.next(
      "after",
      ({ method, path }) => method === "PATCH" && path.endsWith("/deployments/once/scale"),
    );
    exporter.set("once", 12);
    const id = await policy("once", { scale_up_rules: [{ ...above("once", 10), scale_by: 2 }] });
    await stop.arrived;
    await world.kill(await world.leader());
    stop.drop();
    const entries = await history(id, (all) => all.some(({ kind }) => kind === "action"));
    // it is evaluated again, and held back by the cooldown of the action of the leader before
    await history(id, (all) => all.some(({ outcome }) => outcome === "held_back"), "decisions");
    remove();
    assert.equal(await replicasOf("once"), 3);
    assert.equal(writes.length, 1);
    assert.equal(entries.filter(({ kind }) => kind === "action").length, 1);
  });
});
