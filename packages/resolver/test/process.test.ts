import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { privateServiceName, SERVICE_LABEL, SERVICE_NAME_LABEL } from "@elasti/api";
import { type Lifecycle, Metrics, readConfig, silentLogger, systemClock } from "@elasti/core";
import { createKubeClient, type KubeClient, type KubeObject } from "@elasti/kube";
import { settings } from "../src/config.ts";
import { createResolver } from "../src/process.ts";
import { freePort, RawClient, route, startPod, webService } from "./support/world.ts";

/** An API server with one list and open watches per kind; what a test adds is sent to the watches that fit. */
class SmallApi {
  readonly server: Server;
  readonly #watches: { path: string; selector: string; send: (event: object) => void }[] = [];
  readonly #waiting: (() => void)[] = [];
  services: KubeObject[] = [];
  asked: string[] = [];

  constructor() {
    this.server = createServer((request, response) => {
      const url = new URL(request.url ?? "/", "http://api");
      if (url.searchParams.get("watch") !== null) {
        response.writeHead(200, { "content-type": "application/json" });
        response.flushHeaders();
        this.#watches.push({
          path: url.pathname,
          selector: url.searchParams.get("labelSelector") ?? "",
          send: (event) => response.write(`${JSON.stringify(event)}\n`),
        });
        for (const waiter of this.#waiting.splice(0)) waiter();
        return;
      }
      this.asked.push(url.pathname);
      const items = url.pathname.endsWith("elastiservices") ? this.services : [];
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ apiVersion: "v1", kind: "List", metadata: { resourceVersion: "1" }, items }));
    });
  }

  async start(t: TestContext): Promise<KubeClient> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    const client = createKubeClient({
      cluster: {
        server: `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`,
        token: async () => undefined,
      },
    });
    t.after(async () => {
      await client.close();
      this.server.closeAllConnections();
      this.server.close();
    });
    return client;
  }

  /** Sends an event to the watch on this kind, once there is one. */
  async tell(plural: string, selector: string, event: object): Promise<void> {
    for (;;) {
      const watch = this.#watches.find((open) => open.path.endsWith(plural) && open.selector === selector);
      if (watch !== undefined) return watch.send(event);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

async function start(t: TestContext, services: KubeObject[]) {
  const api = new SmallApi();
  api.services = services;
  const client = await api.start(t);
  const internalPort = await freePort();
  const config = readConfig(settings, {
    POD_NAME: "resolver-1",
    POD_NAMESPACE: "elasti",
    POD_IP: "127.0.0.1",
    ELASTI_BIND_ADDRESS: "127.0.0.1",
    ELASTI_INTERNAL_PORT: String(internalPort),
    ELASTI_HOST_PORT: String(await freePort()),
    ELASTI_TOKEN_FILE: "/does/not/exist",
    ELASTI_SETTLE_TIME: "0",
    ELASTI_DRAIN_SECONDS: "5",
  });
  const lifecycle: Lifecycle = createResolver(config, {
    client,
    clock: systemClock,
    logger: silentLogger,
    metrics: new Metrics(),
  });
  t.after(() => lifecycle.close());
  await lifecycle.start();
  const get = async (path: string) => await fetch(`http://127.0.0.1:${internalPort}${path}`);
  return { api, config, lifecycle, get };
}

const slice = (name: string, port: number) => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: {
    name: `${name}-1`,
    namespace: "default",
    resourceVersion: "3",
    labels: { [SERVICE_NAME_LABEL]: privateServiceName(name), [SERVICE_LABEL]: name },
  },
  addressType: "IPv4",
  endpoints: [
    { addresses: ["127.0.0.1"], conditions: { ready: true }, targetRef: { kind: "Pod", name: "p", uid: "p" } },
  ],
  ports: [{ name: "http", port, protocol: "TCP" }],
});

test("knows phases before it listens, holds, forwards by port and by host, and drains", async (t) => {
  const port = await freePort();
  const asleep = webService({ status: { phase: "Asleep", epoch: 4, podsGone: true, routes: [route(port)] } });
  const { api, config, lifecycle, get } = await start(t, [asleep]);
  assert.equal((await get("/readyz")).status, 200);
  const byPort = new RawClient(port).get("/a", "connection: close\r\n");
  const byHost = new RawClient(config.hostPort).send(
    "GET /b HTTP/1.1\r\nhost: web.default\r\nconnection: close\r\n\r\n",
  );
  while ((await (await get("/queue-status?namespace=default&service=web")).text()) !== '{"queueStatus":1}');
  const pod = await startPod("p", (request, response) => response.end(`<${request.url}>`));
  t.after(() => pod.close());
  await api.tell("endpointslices", SERVICE_LABEL, { type: "ADDED", object: slice("web", pod.target.port) });
  assert.match(await byPort.ends(), /^HTTP\/1.1 200.*<\/a>/s);
  assert.match(await byHost.ends(), /^HTTP\/1.1 200.*<\/b>/s);
  await lifecycle.close();
  assert.equal(await new RawClient(port).ends(), "");
});

test("opens ports of ElastiServices that come and closes those of ones that go", async (t) => {
  const { api } = await start(t, []);
  const port = await freePort();
  const object = webService({ status: { phase: "Serving", epoch: 1, routes: [route(port)] } });
  await api.tell("elastiservices", "", { type: "ADDED", object });
  const pod = await startPod("p", (_request, response) => response.end("ok"));
  t.after(() => pod.close());
  await api.tell("endpointslices", SERVICE_LABEL, { type: "ADDED", object: slice("web", pod.target.port) });
  const ask = () => new RawClient(port).get("/", "connection: close\r\n").ends();
  while ((await ask()) === "");
  assert.match(await ask(), /^HTTP\/1.1 200/);
  await api.tell("elastiservices", "", { type: "DELETED", object });
  while ((await ask()) !== "");
});
