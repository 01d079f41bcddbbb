import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, it } from "node:test";
import { silentLogger, systemClock } from "@elasti/core";
import { type Deployment, type HorizontalPodAutoscaler, Reflector, resources } from "@elasti/kube";
import { looseDefinition } from "@elasti/local";
import { isTouched } from "@elasti/scaling";
import { type OperatorWorld, startOperator } from "./kit/operator.ts";

const token = "a-token-of-the-installation";

/** A Prometheus that answers every query with one number. */
class OneNumber {
  value = 1;
  readonly queries: string[] = [];
  readonly #server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    this.queries.push(new URLSearchParams(text).get("query") ?? "");
    const result = [{ metric: {}, value: [Date.now() / 1_000, String(this.value)] }];
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ status: "success", data: { resultType: "vector", result } }));
  });

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

interface Scaling {
  readonly world: OperatorWorld;
  readonly prometheus: OneNumber;
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }>;
  /** Resolves with the object as soon as it fits. */
  deployment(name: string, fits: (one: Deployment) => boolean): Promise<Deployment>;
  hpa(name: string, fits: (one: HorizontalPodAutoscaler) => boolean): Promise<HorizontalPodAutoscaler>;
}

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** @param server setting that names the Prometheus */
async function start(env: Record<string, string> = {}, server = "ELASTI_SCALING_PROMETHEUS_URL"): Promise<Scaling> {
  const prometheus = new OneNumber();
  const url = await prometheus.listen();
  closers.push(() => prometheus.close());
  const world = await startOperator({
    ELASTI_SCALING_ENABLED: "true",
    ELASTI_SCALING_SQLITE_FILE: ":memory:",
    ELASTI_SCALING_EVALUATION_INTERVAL: "200ms",
    [server]: url,
    ELASTI_SCALING_TOKEN: token,
    ELASTI_LEASE_DURATION: "1s",
    ELASTI_LEASE_RENEW_DEADLINE: "800ms",
    ELASTI_LEASE_RETRY_PERIOD: "100ms",
    ELASTI_KUBE_TIMEOUT: "900ms",
    ...env,
  });
  closers.push(() => world.close());
  // the embedded API server knows only those kinds that somebody has defined
  await world.client.create(resources.customResourceDefinitions, looseDefinition(resources.horizontalPodAutoscalers));
  const watch = async <T extends Deployment | HorizontalPodAutoscaler>(
    resource: (typeof resources)["deployments" | "horizontalPodAutoscalers"],
  ) => {
    const seen = new Reflector<T>({ client: world.client, resource, clock: systemClock, logger: silentLogger });
    await seen.start();
    closers.push(() => seen.close());
    return (name: string, fits: (one: T) => boolean): Promise<T> =>
      seen.store.until((store) => {
        const one = store.get("default", name);
        return one !== undefined && fits(one) ? one : undefined;
      }, AbortSignal.timeout(8_000));
  };
  return {
    world,
    prometheus,
    async call(method, path, body) {
      const response = await fetch(`${world.url}/api/v1/scaling${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
    },
    deployment: await watch<Deployment>(resources.deployments),
    hpa: await watch<HorizontalPodAutoscaler>(resources.horizontalPodAutoscalers),
  };
}

const rule = { metric: { source: "prometheus", query: "load" }, operator: "gt", threshold: 10, scale_by: 2 };
const policy = {
  name: "p",
  target_type: "workload",
  target_ref: { namespace: "default", name: "web" },
  cooldown_seconds: 3_600,
  scale_up_rules: [rule],
};

describe("an operator with a policy engine", () => {
  it("carries a policy out that was sent to its API, and tells of it", async () => {
    const { world, prometheus, call, deployment } = await start();
    await world.app("web");
    const made = await call("POST", "/policies", policy);
    assert.equal(made.status, 201, JSON.stringify(made.body));
    prometheus.value = 12;
    await deployment("web", ({ spec }) => spec.replicas === 3);
    const { id } = made.body.policy as { id: string };
    const until = AbortSignal.timeout(8_000);
    let entries: { outcome: string; kind: string }[] = [];
    while (!entries.some(({ kind }) => kind === "action")) {
      until.throwIfAborted();
      entries = (await call("GET", `/policies/${id}/history`)).body.history as typeof entries;
    }
    assert.equal(entries.find(({ kind }) => kind === "action")?.outcome, "executed");
  });

  it("counts what policies ask Prometheus apart from what triggers ask", async () => {
    const { world, call } = await start();
    await world.app("web");
    await call("POST", "/policies", policy);
    const until = AbortSignal.timeout(8_000);
    let page = "";
    while (!/elasti_scaling_queries_total\{result="value"\} [1-9]/.test(page)) {
      until.throwIfAborted();
      page = await (await fetch(`${world.url}/metrics`)).text();
    }
    assert.match(page, /elasti_trigger_queries_total\{result="value"\} 0/);
    assert.match(page, /elasti_scaling_query_duration_seconds_count [1-9]/);
  });

  it("does nothing in a dry run", async () => {
    const { world, prometheus, call } = await start({ ELASTI_SCALING_DRY_RUN: "true" });
    await world.app("web");
    prometheus.value = 12;
    await call("POST", "/policies", policy);
    const until = AbortSignal.timeout(8_000);
    let entries: { outcome: string }[] = [];
    while (!entries.some(({ outcome }) => outcome === "dry_run")) {
      until.throwIfAborted();
      entries = (await call("GET", "/history")).body.history as typeof entries;
    }
    const web = await world.client.get<Deployment>(resources.deployments, "default", "web");
    assert.equal(web.spec.replicas, 1);
  });

  it("moves the bounds of an autoscaler, and puts them back when the policy goes", async () => {
    const { world, call, hpa } = await start();
    await world.app("web");
    await world.client.create<HorizontalPodAutoscaler>(resources.horizontalPodAutoscalers, {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name: "web", namespace: "default" },
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        minReplicas: 2,
        maxReplicas: 4,
      },
    });
    const { scale_up_rules: _, ...bare } = policy;
    const made = await call("POST", "/policies", { ...bare, min_replicas: 3, max_replicas: 8 });
    await hpa("web", ({ spec }) => spec.minReplicas === 3 && spec.maxReplicas === 8);
    const { id } = made.body.policy as { id: string };
    assert.equal((await call("DELETE", `/policies/${id}`)).status, 204);
    const back = await hpa("web", ({ spec }) => spec.minReplicas === 2 && spec.maxReplicas === 4);
    assert.equal(isTouched(back.metadata.annotations), false);
    assert.ok(!world.writes.some((write) => write.includes("deployments/scale")), "an autoscaler has the replicas");
  });

  it("leaves zero to an ElastiService that is being deleted: nobody would wake its target any more", async () => {
    const { world, prometheus, call } = await start();
    prometheus.value = 12;
    await world.app("web");
    await world.elastiService("web", { routing: { graceSeconds: 2 } });
    await world.until("web", ({ status }) => status?.phase === "Serving");
    const { scale_up_rules: _, ...bare } = policy;
    const made = await call("POST", "/policies", {
      ...bare,
      target_type: "elastiservice",
      min_replicas: 0,
      scale_to_zero: true,
      cooldown_seconds: 0,
      scale_down_rules: [{ ...rule, operator: "lt", scale_by: -1 }],
    });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    await world.client.delete(resources.elastiServices, "default", "web");
    await world.until("web", ({ metadata }) => metadata.deletionTimestamp !== undefined);
    prometheus.value = 1;
    const until = AbortSignal.timeout(8_000);
    const { id } = made.body.policy as { id: string };
    let entries = "";
    while (!entries.includes("waiting for the target")) {
      until.throwIfAborted();
      entries = JSON.stringify((await call("GET", `/policies/${id}/decisions`)).body.decisions);
    }
    const web = await world.client.get<Deployment>(resources.deployments, "default", "web");
    assert.equal(web.spec.replicas, 1, entries);
    assert.ok(!world.writes.some((write) => write.includes("deployments/scale")), String(world.writes));
  });

  it("knows the target types, metrics and cooldown of its settings, and refuses others with a list", async () => {
    const { world, prometheus, call, deployment } = await start({
      ELASTI_SCALING_TARGET_TYPES: '{"cdc-worker":{"executor":"scale","api_version":"apps/v1","kind":"Deployment"}}',
      ELASTI_SCALING_METRICS: '{"backlog":{"source":"prometheus","query":"lag"}}',
      ELASTI_SCALING_DEFAULT_COOLDOWN: "77",
    });
    await world.app("web");
    prometheus.value = 12;
    const { cooldown_seconds: _, ...rest } = policy;
    const refused = await call("POST", "/policies", {
      ...rest,
      target_type: "trino",
      scale_up_rules: [{ ...rule, metric: "lags" }],
    });
    assert.equal(refused.status, 400);
    assert.match(JSON.stringify(refused.body), /cdc-worker/);
    assert.match(JSON.stringify(refused.body), /backlog/);
    const made = await call("POST", "/policies", {
      ...rest,
      target_type: "cdc-worker",
      scale_up_rules: [{ ...rule, metric: "backlog" }],
    });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    assert.equal((made.body.policy as { cooldown_seconds: number }).cooldown_seconds, 77);
    await deployment("web", ({ spec }) => spec.replicas === 3);
    assert.ok(prometheus.queries.includes("lag"));
  });

  it("asks the server of the triggers where it has none of its own", async () => {
    const { world, prometheus, call, deployment } = await start({}, "PROMETHEUS_TRIGGER_SERVER_ADDRESS");
    await world.app("web");
    prometheus.value = 12;
    assert.equal((await call("POST", "/policies", policy)).status, 201);
    await deployment("web", ({ spec }) => spec.replicas === 3);
  });

  it("lets nothing sleep as long as it cannot know what policies ask for", async () => {
    const { world } = await start({
      DATABASE_URL: "postgres://elasti:elasti@127.0.0.1:1/elasti",
      ELASTI_SCALING_SQLITE_FILE: "",
    });
    await world.app("web", { replicas: 1 });
    await world.elastiService("web");
    const { status } = await world.until("web", (es) =>
      (es.status?.conditions ?? []).some(({ reason }) => reason === "PoliciesUnknown"),
    );
    assert.equal(status?.phase, "Serving");
  });

  it("knows what policies ask for once all have been evaluated", async () => {
    const { world } = await start();
    await world.app("web", { replicas: 1 });
    await world.elastiService("web");
    const { status } = await world.until("web", (es) =>
      (es.status?.conditions ?? []).some(({ type, reason }) => type === "Idle" && reason !== "PoliciesUnknown"),
    );
    assert.equal(status?.phase, "Serving");
  });

  it("answers nobody whom it does not know", async () => {
    const { world } = await start({ ELASTI_SCALING_TOKEN: "" });
    const response = await fetch(`${world.url}/api/v1/scaling/policies`);
    assert.equal(response.status, 401);
    await response.body?.cancel();
  });
});

describe("an operator without a policy engine", () => {
  it("serves no API of policies", async () => {
    const { world, call } = await start({ ELASTI_SCALING_ENABLED: "false", ELASTI_SCALING_SQLITE_FILE: "" });
    assert.equal((await call("GET", "/policies")).status, 404);
    assert.equal((await fetch(`${world.url}/healthz`)).status, 200);
  });
});
