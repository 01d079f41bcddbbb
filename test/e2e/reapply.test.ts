import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type ElastiServiceSpec, PARK_KEY } from "@elasti/api";
import { resources, type Service } from "@elasti/kube";
import type { PrometheusProcess } from "@elasti/local";
import { Exporter, loadTrigger, missingPrometheus } from "./exporter.ts";
import type { Sleeper } from "./sleeper.ts";
import { hostAddress, OPERATOR, startWorld, type World } from "./world.ts";

/** How a tool brings its manifests to the cluster again and again. */
type Way = "client-side" | "server-side";

/** Between two applications: as often as sleeps are here, as every five seconds would be for sleeps of minutes. */
const everyMs = 700;

describe("a loop that re-applies manifests", { skip: missingPrometheus }, () => {
  let world: World;
  let exporter: Exporter;
  let prometheus: PrometheusProcess;
  before(async () => {
    exporter = await Exporter.start();
    prometheus = await exporter.prometheus();
    const operatorEnv = { ELASTI_PROMETHEUS_ALLOWED_SERVERS: hostAddress };
    world = await startWorld({ operators: 1, resolvers: 2, prometheusUrl: prometheus.url, operatorEnv });
  });
  after(async () => {
    await world?.close();
    await prometheus?.close();
    await exporter?.close();
  });

  async function idle(name: string, spec: Partial<ElastiServiceSpec> = {}): Promise<Sleeper> {
    exporter.set(name, 1);
    const triggers = [loadTrigger(name)];
    const web = await world.sleeper({
      name,
      replicas: 1,
      // without a park nothing proves that clients have left the pods: they go on for a moment, as for any rolling update
      edit({ deployment }) {
        const [container] = deployment.spec.template.spec.containers;
        container!.env = [...(container!.env ?? []), { name: "STOP_DELAY_MS", value: "1000" }];
      },
      spec: { cooldownPeriod: 1, triggers, routing: { graceSeconds: 1 }, ...spec },
    });
    await web.direct();
    exporter.set(name, 0);
    return web;
  }

  /**
   * Applies what a user's manifests say of one object, as `fieldManager`. Server-side with force: whatever others have made of
   * the named fields goes. Client-side: a merge of what the manifest says, which leaves other keys of a map alone.
   */
  function apply(web: Sleeper, way: Way, fieldManager: string, what: "service" | "replicas"): Promise<unknown> {
    const { client } = world;
    const { namespace, name } = web;
    const selector = { app: name };
    const [resource, spec] =
      what === "service"
        ? ([resources.services, { selector }] as const)
        : ([resources.deployments, { replicas: 1 }] as const);
    if (way === "client-side") return client.patch(resource, namespace, name, "merge", { spec }, { fieldManager });
    if (world.embedded === undefined) {
      const apiVersion = resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
      const body = { apiVersion, kind: resource.kind, metadata: { namespace, name }, spec };
      return client.patch(resource, namespace, name, "apply", body, { fieldManager, force: true });
    }
    // the embedded API server applies nothing but scales: the same outcome by a merge
    const merged = what === "service" ? { selector: { ...selector, [PARK_KEY]: null } } : spec;
    return client.patch(resource, namespace, name, "merge", { spec: merged }, { fieldManager });
  }

  /** Runs until it is stopped. */
  function loop(t: TestContext, ...applied: Parameters<typeof apply>): () => Promise<void> {
    const stop = new AbortController();
    const running = (async () => {
      while (!stop.signal.aborted) {
        await apply(...applied);
        await pause(everyMs, undefined, { signal: stop.signal }).catch(() => {});
      }
    })();
    const end = async () => {
      stop.abort();
      await running;
    };
    t.after(end);
    return end;
  }

  /** Counts how often the park key comes to the Service. */
  async function countParks(t: TestContext, web: Sleeper): Promise<{ readonly parks: number; stop(): Promise<void> }> {
    let parks = 0;
    let parked = false;
    const watching = await web.watchService((service: Service) => {
      const now = service.spec.selector?.[PARK_KEY] !== undefined;
      if (now && !parked) parks += 1;
      parked = now;
    });
    t.after(() => watching.close());
    return {
      get parks() {
        return parks;
      },
      stop: () => watching.close(),
    };
  }

  /** Requests, each sent once, at moments spread over some time. @returns what was not answered well */
  async function askFor(web: Sleeper, ms: number): Promise<string[]> {
    const asked: Promise<string[]>[] = [];
    for (const end = Date.now() + ms; Date.now() < end; await pause(20 + Math.random() * 60)) {
      asked.push(
        web.ask().then(
          ({ status }) => (status === 200 ? [] : [`status ${status}`]),
          (error) => [String(error)],
        ),
      );
    }
    return (await Promise.all(asked)).flat();
  }

  describe("of a tool", { concurrency: 4 }, () => {
    it("by force takes the park off at most twice: then it sleeps without one, names the manager, and loses nothing", async (t) => {
      const web = await idle("forced");
      const counted = await countParks(t, web);
      const stop = loop(t, web, "server-side", "argocd-controller", "service");
      const lost: string[] = [];
      let parksOfTwo: number | undefined;
      for (let rest = 3; rest > 0; ) {
        await web.reaches("Asleep", { timeoutMs: 60_000 });
        if (parksOfTwo !== undefined) rest -= 1;
        else if ((await web.es()).status?.parkReverts?.length === 2) parksOfTwo = counted.parks;
        lost.push(...(await askFor(web, 600)));
        await web.reaches("Draining", { timeoutMs: 60_000 });
        await pause(Math.random() * 1_500);
        lost.push(...(await askFor(web, 300)));
      }
      await stop();
      await counted.stop();
      assert.deepEqual(lost, []);
      // a sleep that a request ended before the loop came had a park of its own, and counts for nothing
      assert.equal(counted.parks, parksOfTwo);
      const { message } = await web.condition("SelectorReverted", ({ status }) => status === "True");
      assert.match(
        message,
        /^field manager argocd-controller took off the key .* Service forced, .*mode EndpointSlice/,
      );
      assert.match(message, /jsonPointers: \[\/spec\/selector\/elasti\.truefoundry\.com~1parked\]/);
      const { status } = await web.es();
      assert.deepEqual([status?.routingMode, status?.parkReverts?.length], ["EndpointSlice", 2]);
    });

    it("client-side leaves the park where it is, and the service sleeps as ever", async (t) => {
      const web = await idle("merged");
      const counted = await countParks(t, web);
      const stop = loop(t, web, "client-side", "kubectl-client-side-apply", "service");
      await web.reaches("Asleep", { timeoutMs: 60_000 });
      assert.equal((await web.ask()).status, 200);
      await web.reaches("Asleep", { after: await web.epoch(), timeoutMs: 60_000 });
      await stop();
      await counted.stop();
      assert.ok(counted.parks >= 2, `parked ${counted.parks} times`);
      const { status } = await web.es();
      assert.deepEqual([status?.routingMode, status?.parkReverts], ["SelectorSwap", undefined]);
    });

    for (const way of ["client-side", "server-side"] as const) {
      it(`${way} that raises replicas from zero is left alone after the second time, and named`, async (t) => {
        const web = await idle(`raised-${way}`);
        const stop = loop(t, web, way, "kustomize-controller", "replicas");
        const { message } = await web.condition("Contested", ({ status }) => status === "True", 90_000);
        assert.match(message, /^field manager kustomize-controller raised Deployment raised-\S+ from zero twice/);
        assert.match(message, /leave spec\.replicas out of the manifest that Flux applies/);
        const lost = await askFor(web, 300);
        const awake = await web.reaches("Serving");
        const idleCondition = await web.condition("Idle", ({ reason }) => reason === "Contested");
        assert.equal(idleCondition.status, "False");
        // three times what a sleep takes here
        lost.push(...(await askFor(web, 9_000)));
        await stop();
        assert.deepEqual(lost, []);
        const { status } = await web.es();
        assert.deepEqual([status?.phase, status?.epoch, status?.raises?.length], ["Serving", awake.status?.epoch, 2]);
        assert.equal(await web.replicas(), 1);

        // an edit of the ElastiService ends it
        const edit = { spec: { cooldownPeriod: 2 } };
        await world.client.patch(resources.elastiServices, web.namespace, web.name, "merge", edit);
        await web.sleeps({ timeoutMs: 90_000 });
      });
    }
  });

  it("keeps what it knows of reverts when the operator is another", async (t) => {
    const web = await idle("forgotten");
    const stop = loop(t, web, "server-side", "kustomize-controller", "service");
    let before = (await web.es()).status?.parkReverts;
    while (before?.length !== 2) {
      await web.reaches("Asleep", { timeoutMs: 60_000 });
      assert.equal((await web.ask()).status, 200);
      before = (await web.es()).status?.parkReverts;
    }
    await stop();
    for (const { metadata } of await world.pods(OPERATOR)) {
      await world.kill(metadata.name);
      await world.restarted(OPERATOR, metadata.name);
    }
    const counted = await countParks(t, web);
    assert.equal((await web.ask()).status, 200);
    const epoch = await web.epoch();
    await web.reaches("Asleep", { after: epoch, timeoutMs: 60_000 });
    await counted.stop();
    assert.equal(counted.parks, 0);
    assert.deepEqual((await web.es()).status?.parkReverts, before);
  });
});
