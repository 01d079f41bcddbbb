import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { type ElastiServiceStatus, privateServiceName, SERVICE_LABEL, SERVICE_NAME_LABEL } from "@elasti/api";
import { type Clock, silentLogger, systemClock } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import type { Endpoint, EndpointSlice, KubeClient, KubeList, WatchEvent } from "@elasti/kube";
import { PodDirectory } from "../src/endpoints/pods.ts";
import { ProbeBudget } from "../src/endpoints/probe-budget.ts";
import { ServicePods } from "../src/endpoints/service-pods.ts";
import { deadPod } from "./forward-support.ts";

const endpoint = (uid: string, state: "ready" | "starting" | "terminating" = "ready"): Endpoint => ({
  addresses: ["127.0.0.1"],
  conditions: { ready: state === "ready", terminating: state === "terminating" },
  targetRef: { kind: "Pod", name: uid, uid },
});

const slice = (endpoints: Endpoint[], port = 80, name = "s"): EndpointSlice => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name },
  addressType: "IPv4",
  endpoints,
  ports: [{ name: "", port }],
});

function servicePods(t: TestContext, clock: Clock): ServicePods {
  const pods = new ServicePods({ key: "default/web", clock, budget: new ProbeBudget(clock) });
  t.after(() => pods.close());
  return pods;
}

const uids = (pods: ServicePods): string[] => pods.usable(undefined).map(({ uid }) => uid);
const changed = (pods: ServicePods): Promise<void> =>
  new Promise((resolve) => {
    const stop = pods.onChange(() => {
      stop();
      resolve();
    });
  });

async function listener(t: TestContext, port = 0): Promise<number> {
  const server = createServer((socket) => socket.on("error", () => {}).destroy());
  t.after(() => server.close());
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

describe("pods of a service", () => {
  it("gives frozen snapshots whose objects stay the same while the pod stays", (t) => {
    const pods = servicePods(t, new ManualClock());
    let told = 0;
    pods.onChange(() => told++);
    pods.setPhase("Serving", 1, false);
    pods.setSlices([slice([endpoint("a")])]);
    const [first] = pods.usable(undefined);
    assert.equal(told, 1);
    assert.equal(pods.usable(""), pods.usable(undefined));
    assert.ok(Object.isFrozen(pods.usable(undefined)));
    pods.setSlices([slice([endpoint("a"), endpoint("b")])]);
    assert.equal(told, 2);
    assert.equal(pods.usable(undefined)[0], first);
    pods.setSlices([slice([endpoint("a"), endpoint("b")])]);
    assert.equal(told, 2);
    assert.deepEqual(pods.usable("other"), []);
    pods.setSlices([slice([endpoint("b")])]);
    assert.deepEqual(uids(pods), ["b"]);
  });

  it("tells when a taint lapses, by a timer of its own", async (t) => {
    const clock = new ManualClock();
    const pods = servicePods(t, clock);
    pods.setPhase("Asleep", 4, false);
    pods.setSlices([slice([endpoint("a")])]);
    pods.setPhase("Waking", 5, false);
    assert.deepEqual(uids(pods), []);
    let told = 0;
    pods.onChange(() => told++);
    await clock.advance(1_999);
    assert.equal(told, 0);
    await clock.advance(1);
    assert.equal(told, 1);
    assert.deepEqual(uids(pods), ["a"]);
    assert.equal(clock.pendingTimers, 0);
  });

  it("probes pods that are not ready only while somebody waits", async (t) => {
    const port = await listener(t);
    const pods = servicePods(t, systemClock);
    pods.setPhase("Waking", 1, false);
    pods.setProbe({ wait: "Probe", readiness: { type: "tcp", port, timeoutSeconds: 1 } });
    pods.setSlices([slice([endpoint("a", "starting"), endpoint("b", "terminating")], port)]);
    assert.equal(pods.probing, 0);
    const found = changed(pods);
    pods.setDemand(true);
    assert.equal(pods.probing, 1);
    await found;
    assert.deepEqual(uids(pods), ["a"]);
    pods.setDemand(false);
    assert.deepEqual(uids(pods), ["a"]);
    assert.equal(typeof pods.seenAt(pods.usable(undefined)[0]!), "number");
  });

  it("never probes with Ready as the only criterion, nor while asleep with pods left", (t) => {
    const pods = servicePods(t, new ManualClock());
    pods.setSlices([slice([endpoint("a", "starting")])]);
    pods.setDemand(true);
    pods.setProbe({ wait: "Ready" });
    assert.equal(pods.probing, 0);
    pods.setPhase("Asleep", 1, false);
    pods.setProbe({ wait: "Probe", readiness: { type: "tcp", port: 1, timeoutSeconds: 1 } });
    assert.equal(pods.probing, 0);
  });

  it("takes a refused pod out until it accepts a connection again, whether somebody waits or not", async (t) => {
    const { port } = await deadPod();
    const pods = servicePods(t, systemClock);
    pods.setPhase("Serving", 1, false);
    pods.setProbe({ wait: "Ready" });
    pods.setSlices([slice([endpoint("a")], port)]);
    pods.reportFailure(pods.usable(undefined)[0]!);
    assert.deepEqual(uids(pods), []);
    const back = changed(pods);
    await listener(t, port);
    await back;
    assert.deepEqual(uids(pods), ["a"]);
    assert.equal(pods.probing, 0);
  });

  it("forgets a passed probe when readiness is lost", async (t) => {
    const port = await listener(t);
    const pods = servicePods(t, systemClock);
    pods.setPhase("Waking", 1, false);
    pods.setProbe({ wait: "Probe", readiness: { type: "tcp", port, timeoutSeconds: 1 } });
    pods.setSlices([slice([endpoint("a", "starting")], port)]);
    const found = changed(pods);
    pods.setDemand(true);
    await found;
    pods.setDemand(false);
    pods.setSlices([slice([endpoint("a")], port)]);
    pods.setSlices([slice([endpoint("a", "starting")], port)]);
    assert.deepEqual(uids(pods), []);
  });

  it("without a readiness probe makes those who wait wait for an accepted connection", async (t) => {
    const { port } = await deadPod();
    const pods = servicePods(t, systemClock);
    pods.setPhase("Waking", 1, false);
    pods.setProbe({ wait: "Connect" });
    pods.setDemand(true);
    pods.setSlices([slice([endpoint("a")], port)]);
    assert.deepEqual(uids(pods), []);
    const found = changed(pods);
    await listener(t, port);
    await found;
    assert.deepEqual(uids(pods), ["a"]);
  });

  it("leaves no timer behind", (t) => {
    const clock = new ManualClock();
    const pods = servicePods(t, clock);
    pods.setPhase("Asleep", 1, false);
    pods.setSlices([slice([endpoint("a")])]);
    pods.setPhase("Waking", 2, false);
    assert.equal(clock.pendingTimers, 1);
    pods.close();
    assert.equal(clock.pendingTimers, 0);
    pods.setSlices([]);
    pods.setPhase("Serving", 3, false);
    assert.deepEqual(pods.usable(undefined), []);
  });
});

/** A client whose list and watch give what the test hands in. */
function fakeClient(items: EndpointSlice[]): {
  client: KubeClient;
  asked: unknown[];
  push(event: WatchEvent<EndpointSlice>): void;
} {
  const asked: unknown[] = [];
  const events: WatchEvent<EndpointSlice>[] = [];
  let wake = Promise.withResolvers<void>();
  const client = {
    async list(_resource: unknown, options: { labelSelector?: string }): Promise<KubeList<EndpointSlice>> {
      asked.push(options.labelSelector);
      return { apiVersion: "v1", kind: "List", metadata: { resourceVersion: "1" }, items };
    },
    async *watch(_resource: unknown, options: { signal: AbortSignal }) {
      while (!options.signal.aborted) {
        yield* events.splice(0);
        const aborted = Promise.withResolvers<void>();
        options.signal.addEventListener("abort", () => aborted.resolve(), { once: true });
        await Promise.race([wake.promise, aborted.promise]);
      }
    },
  } as unknown as KubeClient;
  return {
    client,
    asked,
    push(event) {
      events.push(event);
      wake.resolve();
      wake = Promise.withResolvers();
    },
  };
}

describe("pod directory", () => {
  const own = (namespace: string, service: string, endpoints: Endpoint[], resourceVersion: string): EndpointSlice => ({
    ...slice(endpoints),
    metadata: {
      name: `${service}-1`,
      namespace,
      resourceVersion,
      labels: { [SERVICE_LABEL]: service, [SERVICE_NAME_LABEL]: privateServiceName(service) },
    },
  });
  const object = (namespace: string, service: string, uid: string, status: ElastiServiceStatus) => ({
    apiVersion: "elasti.truefoundry.com/v1alpha1",
    kind: "ElastiService",
    metadata: { name: service, namespace, uid },
    spec: { service, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: service } },
    status,
  });

  it("hands the slices of private Services out by namespace and service, over one watch", async (t) => {
    const { client, asked, push } = fakeClient([
      own("a", "web", [endpoint("a1")], "1"),
      own("b", "web", [endpoint("b1")], "1"),
      { ...slice([endpoint("x")]), metadata: { name: "x", namespace: "a", labels: { [SERVICE_NAME_LABEL]: "web" } } },
    ]);
    const clock = new ManualClock();
    const directory = new PodDirectory({ client, clock, logger: silentLogger });
    t.after(() => directory.close());
    await directory.start();
    assert.deepEqual(asked, [SERVICE_LABEL]);
    directory.observe(object("a", "web", "1", { phase: "Serving", epoch: 1 }));
    const a = directory.source("a", "web");
    const b = directory.source("b", "web");
    assert.deepEqual(
      [a, b].map((source) => source.usable(undefined).map(({ uid }) => uid)),
      [["a1"], ["b1"]],
    );
    const change = new Promise<void>((resolve) => a.onChange(resolve));
    push({ type: "MODIFIED", object: own("a", "web", [endpoint("a1"), endpoint("a2")], "2") });
    await change;
    assert.deepEqual(
      a.usable(undefined).map(({ uid }) => uid),
      ["a1", "a2"],
    );
    b.close();
  });

  it("brings phases to sources that exist and to those that come later", async (t) => {
    const { client } = fakeClient([own("a", "web", [endpoint("a1")], "1")]);
    const directory = new PodDirectory({ client, clock: new ManualClock(), logger: silentLogger });
    t.after(() => directory.close());
    await directory.start();
    const asleep = object("a", "web", "1", { phase: "Asleep", epoch: 9 });
    directory.observe(asleep);
    const pods = directory.source("a", "web");
    assert.deepEqual(pods.usable(undefined), []);
    // made anew under the same name: epochs begin again
    directory.observe(object("a", "web", "2", { phase: "Serving", epoch: 1 }));
    assert.equal(pods.usable(undefined).length, 1);
    directory.forget(asleep);
  });
});
