import { after, before } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { createKubeClient, type KubeClient, type KubeResponse, type Pod, resources } from "@elasti/kube";
import { type ApiServer, startApiServer } from "@elasti/local";
import { cores, describeMetrics, type MetricsGround } from "./contract.ts";
import { MetricsDouble, seconds } from "./metrics-double.ts";

const namespace = "default";
const image = "none";
const clock = new ManualClock(Date.UTC(2026, 0, 1));
const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods`;

let api: ApiServer;
let objects: KubeClient;
let client: KubeClient;
let double: MetricsDouble;
let ground: MetricsGround;

before(async () => {
  api = await startApiServer({ tokens: { secret: "operator" } });
  const cluster = { server: api.url, token: async () => "secret" };
  objects = createKubeClient({ cluster });
  double = new MetricsDouble(objects, { cpu: `${cores * 1e9}n`, memory: "10240Ki" });
  let away: KubeResponse | undefined = { status: 404, body: "404 page not found" };
  client = createKubeClient({
    cluster,
    transport: async (request, next) =>
      request.path === path ? (away ?? (await double.answer(request.query.labelSelector ?? ""))) : await next(request),
  });
  ground = {
    client,
    clock,
    async install() {
      away = undefined;
      await double.look(clock.now());
    },
    async end() {
      away = { status: 503, body: "service unavailable" };
      double.forget();
    },
    async begin() {
      away = undefined;
      await double.look(clock.now());
    },
    async run({ name, app, ending = [] }) {
      await clock.advance(1_000);
      const metadata = { name, namespace, labels: { app } };
      const containers = ["app", ...ending].map((container) => ({ name: container, image }));
      const made = await objects.create<Pod>(resources.pods, {
        apiVersion: "v1",
        kind: "Pod",
        metadata,
        spec: { containers },
      });
      const status: NonNullable<Pod["status"]> = {
        phase: "Running",
        startTime: seconds(clock.now()),
        containerStatuses: containers.map((container) => {
          const runs = container.name === "app";
          const state = { [runs ? "running" : "terminated"]: {} };
          return { name: container.name, ready: runs, restartCount: 0, state };
        }),
      };
      return await objects.replace<Pod>(resources.pods, { ...made, status }, { subresource: "status" });
    },
    async remove(name) {
      await objects.delete(resources.pods, namespace, name, { gracePeriodSeconds: 0 });
    },
    async rounds() {
      for (let looks = 0; looks < 2; looks++) {
        await clock.advance(10_000);
        await double.look(clock.now());
      }
    },
  };
});
after(async () => {
  await client?.close();
  await objects?.close();
  await api?.close();
});

// test/metrics/real holds metrics-server itself to the same
describeMetrics("the double of metrics-server", () => ground);
