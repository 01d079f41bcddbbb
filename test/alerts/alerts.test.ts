import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { defaultPorts } from "@elasti/api";
import { type Pod, resources } from "@elasti/kube";
import { request } from "../e2e/client.ts";
import { PrometheusStandIn } from "../e2e/crash/prometheus-stand-in.ts";
import { loadTrigger, missingPrometheus } from "../e2e/exporter.ts";
import type { Sleeper } from "../e2e/sleeper.ts";
import { type CallRule, Stop, Stops } from "../e2e/stops.ts";
import { hostAddress, OPERATOR, RESOLVER, startWorld, type World } from "../e2e/world.ts";
import { Monitoring, metricsReference, panelExpressions, rules } from "./monitoring.ts";

const soon = { cooldownPeriod: 1, routing: { graceSeconds: 0 } };
const lagging = ["lag-a", "lag-b", "lag-c"];
const MAX_HOLDS = 10;

/** Panels that show nothing where nothing of the kind has happened. After the faults below all must show something. */
const emptyWhenHealthy: Readonly<Record<string, string>> = {
  "Answers that refuse": "nothing was refused",
  "Calls that were not answered 2xx": "every call may have succeeded",
  "Sessions that ended": "no session has ended",
};

/** Drops every call that fits, as a network that does. */
const dropping =
  (fits: Parameters<Stops["next"]>[1]): CallRule =>
  (call) => {
    if (!fits(call)) return undefined;
    const stop = new Stop("before");
    stop.drop();
    return stop;
  };

describe("the shipped alerts and dashboard, by a real Prometheus", { skip: missingPrometheus }, () => {
  const stops = new Stops();
  const stopsOfOther = new Stops();
  let standIn: PrometheusStandIn;
  let other: PrometheusStandIn;
  let world: World;
  let monitoring: Monitoring;
  before(async () => {
    standIn = await PrometheusStandIn.start(new Stops(), hostAddress);
    other = await PrometheusStandIn.start(stopsOfOther, hostAddress);
    world = await startWorld({
      operators: 2,
      resolvers: 2,
      prometheusUrl: standIn.url,
      stops,
      operatorEnv: { ELASTI_PROMETHEUS_ALLOWED_SERVERS: hostAddress },
      resolverEnv: { ELASTI_MAX_HOLDS: `${MAX_HOLDS}` },
    });
  });
  after(async () => {
    await monitoring?.close();
    stopsOfOther.close();
    await world?.close();
    await standIn?.close();
    await other?.close();
  });

  async function evaluate(mayBeEmpty: ReadonlySet<string>): Promise<void> {
    const wrong: string[] = [];
    for (const { panel, expr } of panelExpressions()) {
      const answer = await monitoring.query(expr);
      if (answer.length === 0 && !mayBeEmpty.has(panel)) wrong.push(`${panel}: nothing from ${expr}`);
      if (answer.some(({ value }) => value < 0)) wrong.push(`${panel}: below zero from ${expr}`);
    }
    assert.deepEqual(wrong, []);
  }

  /** Asks one resolver by its port for host names, so that it is known who holds. */
  const askResolver = (pod: Pod | undefined, service: string, signal?: AbortSignal) =>
    request({
      host: pod?.status?.podIP ?? "",
      port: defaultPorts.resolverHost,
      headers: { host: `${service}.default` },
      timeoutMs: 120_000,
      ...(signal === undefined ? {} : { signal }),
    });

  it("are quiet, and every panel has data, while services sleep and wake", async () => {
    standIn.set("calm", 0);
    const starting = Monitoring.start(world);
    const byQuery = { ...soon, triggers: [loadTrigger("calm")] };
    const cycle = async (web: Sleeper) => {
      const before = await web.epoch();
      assert.equal((await web.ask()).status, 200);
      // beside other suites a sleep may have to be tried again, half a minute later
      await web.sleeps({ after: before, timeoutMs: 120_000 });
    };
    const sleepers = Promise.all([
      world.sleeper({ name: "calm", spec: byQuery }),
      world.sleeper({ name: "by-traffic", spec: soon }),
    ]);
    monitoring = await starting;
    // longer than the longest time that any of them has to last, and often enough that something is seen to rise
    const until = Date.now() + 12_000;
    for (let cycles = 0; cycles < 3 || Date.now() < until; cycles++) await Promise.all((await sleepers).map(cycle));
    assert.deepEqual(await monitoring.fired(), []);
    for (const { expr } of rules) assert.deepEqual(await monitoring.query(expr), [], expr);
    await evaluate(new Set(Object.keys(emptyWhenHealthy)));
  });

  describe("fire when something is wrong, and clear when it is mended:", { concurrency: 6 }, () => {
    const lagOver = Promise.withResolvers<void>();
    before(async () => {
      for (const name of lagging) standIn.set(name, 1);
      const spec = { ...soon, triggers: [] };
      await world.namespace("broken");
      await Promise.all([
        ...lagging.map(async (name) => {
          const web = await world.sleeper({ name, replicas: 1, spec: { ...soon, triggers: [loadTrigger(name)] } });
          await web.direct();
        }),
        world.sleeper({ name: "late", startMs: 60_000, spec: { ...spec, queue: { timeoutSeconds: 1 } } }),
        world.sleeper({ name: "slow", startMs: 60_000, spec }),
        world.sleeper({ name: "asked", spec: { triggers: [loadTrigger("asked", { serverAddress: other.url })] } }),
      ]);
    });

    it("ElastiRequestsRefused: a target that does not start in time", async () => {
      const [resolver] = await world.pods(RESOLVER);
      const answer = await askResolver(resolver, "late");
      assert.equal(answer.headers["elasti-reason"], "ELASTI_HOLD_TIMEOUT");
      const labels = { reason: "ELASTI_HOLD_TIMEOUT", severity: "warning" };
      await monitoring.until("ElastiRequestsRefused", "fires", labels);
      await monitoring.until("ElastiRequestsRefused", "clears", labels);
    });

    it("ElastiHoldsNearLimit: a resolver that holds nine of the ten requests that it may hold", async () => {
      const [resolver] = await world.pods(RESOLVER);
      const leave = new AbortController();
      const held = Array.from({ length: MAX_HOLDS - 1 }, () => askResolver(resolver, "slow", leave.signal));
      const ended = Promise.allSettled(held);
      await monitoring.until("ElastiHoldsNearLimit", "fires", { pod: resolver?.metadata.name ?? "" });
      leave.abort();
      const left = (await ended).map(({ status }) => status);
      assert.deepEqual(new Set(left), new Set(["rejected"]));
      await monitoring.until("ElastiHoldsNearLimit", "clears");
    });

    it("ElastiTriggersFail: a Prometheus that does not answer", async () => {
      const mend = stopsOfOther.add(dropping(() => true));
      await monitoring.until("ElastiTriggersFail", "fires", { result: "PrometheusUnreachable" });
      mend();
      await monitoring.until("ElastiTriggersFail", "clears");
    });

    it("ElastiSleepsUndone: a node that does not follow changes of Services", async () => {
      const lag = world.lag();
      try {
        for (const name of lagging) standIn.set(name, 0);
        await monitoring.until("ElastiSleepsUndone", "fires", { cause: "routing" });
      } finally {
        lag.end();
        lagOver.resolve();
      }
      await monitoring.until("ElastiSleepsUndone", "clears");
    });

    it("ElastiResolverSilent: an operator that resolvers do not find", async () => {
      // a sleep is undone for want of a session too
      await lagOver.promise;
      const select = (value: string | null) =>
        world.client.patch(resources.services, world.system, OPERATOR, "merge", {
          spec: { selector: { nobody: value } },
        });
      await select("here");
      await monitoring.until("ElastiResolverSilent", "fires");
      await select(null);
      await monitoring.until("ElastiResolverSilent", "clears");
    });

    it("ElastiReconcilesFail: writes that the API server does not get", async () => {
      const mend = stops.add(dropping(({ via, path }) => via === "api" && path.includes("/namespaces/broken/")));
      await world.app({ name: "hurt", namespace: "broken" });
      const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "hurt" };
      await world.elastiService("hurt", { service: "hurt", scaleTargetRef }, "broken");
      await monitoring.until("ElastiReconcilesFail", "fires", { namespace: world.system });
      mend();
      // whoever mends it need not wait for the next try
      const change = { metadata: { annotations: { mended: "true" } } };
      await world.client.patch(resources.elastiServices, "broken", "hurt", "merge", change);
      await monitoring.until("ElastiReconcilesFail", "clears");
    });
  });

  it("show in every panel what the faults have left", async () => {
    await evaluate(new Set());
  });

  it("are made of metrics that the reference lists, as running processes serve them", async () => {
    const reference = metricsReference();
    for (const [program, page] of Object.entries(await monitoring.pages())) {
      const served = [...page.matchAll(/^# TYPE (elasti_\w+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`);
      const listed = reference.filter(({ of }) => of === program || of === "both");
      assert.deepEqual(served.toSorted(), listed.map(({ name, type }) => `${name} ${type}`).toSorted());
      for (const { name, labels } of listed) {
        const samples = page.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?(?:\\{(.*)\\})? `, "gm"));
        for (const [, inside = ""] of samples) {
          const names = [...inside.matchAll(/(\w+)="/g)].map((match) => match[1]!).filter((label) => label !== "le");
          assert.deepEqual(names.toSorted(), labels.toSorted(), name);
        }
      }
    }
  });

  it("fire and clear where nobody leads, and where no resolver answers", async () => {
    const mend = stops.add(dropping(({ via, path }) => via === "api" && path.includes("/leases/")));
    const frozen = await world.freeze(RESOLVER);
    try {
      await Promise.all([
        monitoring.until("ElastiNoLeader", "fires", { namespace: world.system, severity: "critical" }),
        monitoring.until("ElastiNoResolver", "fires", { severity: "critical" }),
      ]);
    } finally {
      frozen.thaw();
      mend();
    }
    await Promise.all(["ElastiNoLeader", "ElastiNoResolver"].map((name) => monitoring.until(name, "clears")));
  });

  it("have all fired", async () => {
    const names = rules.map(({ alert }) => alert).sort();
    assert.deepEqual(await monitoring.fired(), names);
  });
});
