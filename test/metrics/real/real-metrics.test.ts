import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "@elasti/core";
import { type Deployment, type Pod, resources } from "@elasti/kube";
import { images } from "../../cluster/images.ts";
import { request } from "../../e2e/client.ts";
import { fastOperator, OPERATOR, startWorld, type World } from "../../e2e/world.ts";
import { cores, describeMetrics, type MetricsGround } from "../contract.ts";
import { MetricsServer } from "./metrics-server.ts";

const token = "token-of-this-installation";
/** Computes with so many cores, and no more: little enough for a machine that is busy itself. */
const burn = (share: number) => `
  setInterval(() => {
    const [from, until] = [process.cpuUsage(), performance.now() + 180];
    const used = ({ user, system } = process.cpuUsage(from)) => user + system;
    while (used() < ${share * 200_000} && performance.now() < until);
  }, 200);
`;
const idle = "setInterval(() => {}, 60_000)";

let world: World;
let metrics: MetricsServer;
before(async () => {
  world = await startWorld({
    operators: 1,
    resolvers: 1,
    operatorEnv: {
      ...fastOperator,
      ELASTI_SCALING_ENABLED: "true",
      ELASTI_SCALING_SQLITE_FILE: "/tmp/policies.db",
      ELASTI_SCALING_EVALUATION_INTERVAL: "1s",
      ELASTI_SCALING_TOKEN: token,
    },
  });
});
after(async () => {
  await metrics?.close();
  await world?.close();
});

const ground = (): MetricsGround => ({
  client: world.client,
  clock: systemClock,
  async install() {
    metrics = await MetricsServer.start(world.client);
  },
  end: () => metrics.end(),
  begin: () => metrics.begin(),
  run: ({ name, app, ending = [] }) => runPod(name, app, ending),
  async remove(name) {
    await world.client.delete(resources.pods, "default", name, { gracePeriodSeconds: 0 });
    await world.until("gone", resources.pods, "default", name, (pod) => pod === undefined);
  },
  rounds: () => metrics.rounds(),
});

async function runPod(name: string, app: string, ending: readonly string[]): Promise<Pod> {
  const container = (of: string, script: string) => ({
    name: of,
    image: images.node,
    imagePullPolicy: "Never",
    command: ["/usr/local/bin/node", "-e", script],
  });
  const containers = [container("app", burn(cores)), ...ending.map((of) => container(of, ""))];
  const metadata = { name, namespace: "default", labels: { app } };
  const spec = { restartPolicy: "Never", containers };
  await world.client.create<Pod>(resources.pods, { apiVersion: "v1", kind: "Pod", metadata, spec });
  return await world.until<Pod, Pod>("running", resources.pods, "default", name, (pod) => {
    const states = (pod?.status?.containerStatuses ?? []).map(({ state = {} }) => Object.keys(state)[0]);
    const wanted = ["running", ...ending.map(() => "terminated")];
    return states.toSorted().join() === wanted.join() && pod?.status?.phase === "Running" ? pod : undefined;
  });
}

// by the same rules as its double
describeMetrics("metrics-server", ground);

interface Condition {
  readonly value?: number | null;
  readonly unknown?: string;
}
interface Decision {
  readonly action: string;
  readonly reason: string;
  readonly held_back: { readonly by: string; readonly message: string } | null;
  readonly rules: readonly { readonly condition: Condition }[];
}
interface Entry {
  readonly outcome: string;
  readonly reason: string;
  readonly new_replicas: number | null;
}

describe("policies on what pods use, by a real metrics-server", () => {
  const policies = new Map<string, string>();
  before(async () => {
    await Promise.all([deploy("busy", burn(0.3)), deploy("quiet", idle)]);
    for (const name of ["busy", "quiet"]) policies.set(name, await made(name));
  });
  async function deploy(name: string, script: string): Promise<void> {
    await world.app({
      name,
      replicas: 1,
      readinessProbe: false,
      edit: ({ deployment }) => {
        for (const container of deployment.spec.template.spec.containers) {
          container.command = [process.execPath, "-e", script];
          Object.assign(container, { resources: { requests: { cpu: "500m", memory: "64Mi" } } });
        }
      },
    });
  }
  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const [pod] = await world.pods(OPERATOR);
    const { status, text } = await request({
      host: pod?.status?.podIP ?? "",
      port: 8013,
      path: `/api/v1/scaling${path}`,
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    assert.ok(status < 300, `${method} ${path}: ${status} ${text}`);
    return JSON.parse(text) as T;
  }
  /** One that asks for a replica more while a pod computes with more than a third of what it requests, and for one less while with next to nothing. */
  async function made(name: string): Promise<string> {
    const cpu = { source: "resource", resource: "cpu" };
    const { policy } = await call<{ policy: { id: string } }>("POST", "/policies", {
      name,
      target_type: "workload",
      target_ref: { namespace: "default", name },
      max_replicas: 2,
      cooldown_seconds: 1,
      scale_up_rules: [{ metric: cpu, operator: "gt", threshold: 33, scale_by: 1 }],
      scale_down_rules: [{ metric: cpu, operator: "lt", threshold: 1, scale_by: -1 }],
    });
    return policy.id;
  }
  async function evaluated(name: string, fits: (decision: Decision) => boolean): Promise<Decision> {
    const signal = AbortSignal.timeout(60_000);
    for (;;) {
      const path = `/policies/${policies.get(name)}/evaluate`;
      const { decision } = await call<{ decision: Decision }>("POST", path, {});
      if (fits(decision)) return decision;
      if (signal.aborted) throw new Error(`${name} is still decided as ${JSON.stringify(decision)}`);
      await pause(250);
    }
  }
  const first = ({ rules }: Decision): Condition => rules[0]?.condition ?? {};
  const isKnown = (decision: Decision) => typeof first(decision).value === "number";
  const isUnknown = (decision: Decision) => first(decision).unknown !== undefined;
  /** Entries that fit, once there are some. */
  async function history(
    name: string,
    kind: "history" | "decisions",
    fits: (entry: Entry) => boolean,
  ): Promise<Entry[]> {
    const signal = AbortSignal.timeout(20_000);
    for (;;) {
      const answer = await call<Record<string, Entry[]>>("GET", `/policies/${policies.get(name)}/${kind}`);
      const found = (answer[kind] ?? []).filter(fits);
      if (found.length > 0) return found;
      signal.throwIfAborted();
      await pause(100);
    }
  }
  const replicasOf = async (name: string) =>
    (await world.client.get<Deployment>(resources.deployments, "default", name)).spec.replicas;
  const becomes = (name: string, wanted: number) =>
    world.until<Deployment, true>(
      `${wanted} replicas`,
      resources.deployments,
      "default",
      name,
      (object) => object?.spec.replicas === wanted,
    );

  it("are decided by what metrics-server answers, and change nothing before it does", async () => {
    const decision = await evaluated("quiet", isKnown);
    const { value } = first(decision);
    assert.ok(typeof value === "number" && value >= 0 && value < 33, JSON.stringify(decision));
    assert.equal(await replicasOf("quiet"), 1);
  });

  it("scale up a Deployment whose pod computes", async () => {
    await becomes("busy", 2);
    const [action] = await history("busy", "history", ({ outcome }) => outcome === "executed");
    assert.equal(action?.new_replicas, 2);
    assert.match(action.reason, /^1 -> 2: a rule \(cpu utilization > 33, is [\d.]+\) wants 2/);
    const { value } = first(await evaluated("busy", isKnown));
    // 60 percent of what it requests where nobody else wants the machine, and no more than that and what Node.js itself needs
    assert.ok(typeof value === "number" && value > 33 && value < 90, `${value} percent`);
    assert.equal(await replicasOf("quiet"), 1);
  });

  it("change nothing while it is away, and say so", async () => {
    await metrics.end();
    const { action, held_back: held } = await evaluated("busy", isUnknown);
    assert.deepEqual([action, held?.by], ["none", "unknown"]);
    assert.match(held?.message ?? "", /PodMetricsUnavailable: .*service unavailable; unknown data changes nothing$/);
    const said = ({ outcome, reason }: Entry) => outcome === "held_back" && reason.includes("PodMetricsUnavailable");
    for (const name of ["busy", "quiet"]) assert.equal((await history(name, "decisions", said)).length, 1);
    assert.deepEqual([await replicasOf("busy"), await replicasOf("quiet")], [2, 1]);
  });

  it("go on when it is back", async () => {
    await metrics.begin();
    const decision = await evaluated("busy", isKnown);
    assert.equal(decision.held_back?.by, "bounds", decision.reason);
    assert.equal(await replicasOf("busy"), 2);
  });
});
