import assert from "node:assert/strict";
import { silentLogger, systemClock } from "@elasti/core";
import {
  type ConfigMap,
  errorOfAnswer,
  isGone,
  type KubeObject,
  Reflector,
  type Resource,
  RestMapper,
  resources,
  type WatchEvent,
} from "@elasti/kube";
import { configMap, install, pod, scalable } from "./objects.ts";
import { type Contract, isReal, on } from "./server.ts";

/** Collects events until `count` have come, bookmarks left out. */
async function take<T extends KubeObject>(
  { client, namespace, signal }: Contract,
  options: { resourceVersion?: string; labelSelector?: string; timeoutSeconds?: number; bookmarks?: boolean },
  count: number,
): Promise<WatchEvent<T>[]> {
  const { bookmarks = false, ...query } = options;
  const end = new AbortController();
  const events: WatchEvent<T>[] = [];
  for await (const event of client.watch<T>(resources.configMaps, {
    namespace,
    ...query,
    signal: AbortSignal.any([signal, end.signal]),
  })) {
    if (event.type === "BOOKMARK" && !bookmarks) continue;
    events.push(event);
    if (events.length >= count) end.abort();
  }
  return events;
}

const told = (events: readonly WatchEvent<KubeObject>[]) =>
  events.map(({ type, object }) => `${type} ${object.metadata.name}`);

on("both", "a watch from a list's resourceVersion tells every change after it, once and in order", async (contract) => {
  const { client, namespace } = contract;
  await client.create(resources.configMaps, configMap(namespace, "before"));
  const { metadata } = await client.list(resources.configMaps, { namespace });
  await client.create(resources.configMaps, configMap(namespace, "a"));
  const changed = await client.patch(resources.configMaps, namespace, "a", "merge", { data: { key: "1" } });
  await client.delete(resources.configMaps, namespace, "a");
  await client.create(resources.configMaps, configMap(namespace, "b"));
  const { resourceVersion } = metadata;
  const events = await take<ConfigMap>(contract, { resourceVersion }, 4);
  assert.deepEqual(told(events), ["ADDED a", "MODIFIED a", "DELETED a", "ADDED b"]);
  assert.deepEqual([events[1]!.object.data, events[1]!.object.kind], [{ key: "1" }, "ConfigMap"]);
  const deleted = events[2]!.object.metadata.resourceVersion!;
  assert.ok(BigInt(deleted) > BigInt(changed.metadata.resourceVersion!), "a deletion has a version of its own");
  const later = await take(contract, { resourceVersion: deleted }, 1);
  assert.deepEqual(told(later), ["ADDED b"]);
});

on(
  "both",
  "an object that ceases to match a selector is DELETED for its watchers, and ADDED again later",
  async (contract) => {
    const { client, namespace } = contract;
    const { metadata } = await client.list(resources.configMaps, { namespace });
    await client.create(resources.configMaps, configMap(namespace, "a"));
    for (const label of ["yes", "no", "yes"])
      await client.patch(resources.configMaps, namespace, "a", "merge", { metadata: { labels: { on: label } } });
    const { resourceVersion } = metadata;
    const events = await take(contract, { resourceVersion, labelSelector: "on=yes" }, 3);
    assert.deepEqual(told(events), ["ADDED a", "DELETED a", "ADDED a"]);
  },
);

on("both", "a watch ends in good order when its time is over", async (contract) => {
  const { client, namespace } = contract;
  const { metadata } = await client.list(resources.configMaps, { namespace });
  await client.create(resources.configMaps, configMap(namespace, "a"));
  const { resourceVersion } = metadata;
  const events = await take(contract, { resourceVersion, timeoutSeconds: 2, bookmarks: true }, 100);
  assert.equal(told(events)[0], "ADDED a");
  // bookmarks may come, and say no older version than what came before
  const versions = events.map(({ object }) => BigInt(object.metadata.resourceVersion!));
  assert.deepEqual(
    versions,
    versions.toSorted((a, b) => (a < b ? -1 : 1)),
  );
});

on("both", "a watch from a version that is too old is an ERROR event of 410", async (contract) => {
  const { client, namespace, signal } = contract;
  const old = await client.create(resources.configMaps, configMap(namespace, "a"));
  let resource: Resource = resources.configMaps;
  if (isReal) {
    // the real server remembers what came since its cache of a kind began: of a new kind that is not long ago
    const widgets = scalable(namespace);
    await install(contract, widgets);
    resource = widgets.resource;
  }
  // the embedded one remembers a number of changes
  for (let n = 0; !isReal && n < 2_100; n += 1)
    await client.patch(resources.configMaps, namespace, "a", "merge", { data: { n: String(n) } });
  const { resourceVersion } = old.metadata;
  const watching = client.watch(resource, { namespace, resourceVersion: resourceVersion!, signal });
  await assert.rejects(
    async () => {
      for await (const { type } of watching) if (type !== "BOOKMARK") break;
    },
    (error: unknown) => {
      assert.ok(isGone(error), String(error));
      assert.match(String(error), /too old resource version/);
      return true;
    },
  );
});

on("both", "a reflector is whole again after 410, and follows", async (contract) => {
  const { client, namespace, signal } = contract;
  await client.create(resources.configMaps, configMap(namespace, "a"));
  let expired = 0;
  const faulty = {
    ...client,
    list: client.list.bind(client),
    watch: <T extends KubeObject>(...[resource, options]: Parameters<typeof client.watch>) => {
      expired += 1;
      if (expired === 1) throw errorOfAnswer({ verb: "watch", path: "/", resource }, 410, undefined);
      return client.watch<T>(resource, options);
    },
  } as typeof client;
  const reflector = new Reflector<ConfigMap>({
    client: faulty,
    resource: resources.configMaps,
    namespace,
    logger: silentLogger,
    clock: systemClock,
  });
  contract.cleanup(() => reflector.close());
  await reflector.start();
  await client.create(resources.configMaps, configMap(namespace, "b"));
  await reflector.store.until((store) => store.get(namespace, "b"), signal);
  await client.delete(resources.configMaps, namespace, "a");
  await reflector.store.until((store) => (store.get(namespace, "a") === undefined ? true : undefined), signal);
  assert.ok(expired >= 2);
});

on("both", "a list comes in pages of one version", async ({ client, namespace }) => {
  const names = ["a", "b", "c", "d", "e"];
  for (const name of names) await client.create(resources.configMaps, configMap(namespace, name));
  const labelSelector = "!kubernetes.io/none";
  const fieldSelector = "metadata.name!=kube-root-ca.crt";
  const seen: string[] = [];
  let next: string | undefined;
  const versions = new Set<string>();
  do {
    const page = await client.list(resources.configMaps, {
      namespace,
      labelSelector,
      fieldSelector,
      limit: 2,
      ...(next === undefined ? {} : { continue: next }),
    });
    // written between two pages: not in this list
    if (seen.length === 0) await client.create(resources.configMaps, configMap(namespace, "late"));
    seen.push(...page.items.map(({ metadata }) => metadata.name));
    versions.add(page.metadata.resourceVersion);
    next = page.metadata.continue;
  } while (next !== undefined && next !== "");
  assert.deepEqual(seen, names);
  assert.equal(versions.size, 1);
});

on("both", "a list of a version to come is refused as too large", async ({ send, namespace }) => {
  const { code, body } = await send("GET", `/api/v1/namespaces/${namespace}/configmaps?resourceVersion=9999999999`);
  assert.equal(code, 504);
  assert.match(body.message ?? "", /Too large resource version: 9999999999, current: /);
});

on("both", "a list of nothing has no items, and the client gives none", async ({ client, namespace }) => {
  assert.deepEqual((await client.list(resources.pods, { namespace })).items, []);
});

on("both", "pods are found by their node and their phase", async ({ client, namespace }) => {
  await client.create(resources.pods, pod(namespace, "a", { app: "web" }));
  const found = async (fieldSelector: string) =>
    (await client.list(resources.pods, { namespace, fieldSelector })).items.map(({ metadata }) => metadata.name);
  assert.deepEqual(await found("spec.nodeName=nowhere"), ["a"]);
  assert.deepEqual(await found("spec.nodeName=elsewhere"), []);
  assert.deepEqual(await found("status.phase!=Running"), ["a"]);
});

on("both", "discovery names kinds and their scale subresources", async (contract) => {
  const mapper = new RestMapper({ client: contract.client, clock: systemClock, missIntervalMs: 50 });
  assert.equal((await mapper.mapScalable({ apiVersion: "apps/v1", kind: "deployments" })).plural, "deployments");
  assert.equal((await mapper.mapScalable({ apiVersion: "apps/v1", kind: "StatefulSet" })).plural, "statefulsets");
  await assert.rejects(mapper.mapScalable({ apiVersion: "v1", kind: "ConfigMap" }), { code: "ELASTI_KUBE_NO_SCALE" });
  await assert.rejects(mapper.map({ apiVersion: "nothing.example/v1", kind: "Thing" }), {
    code: "ELASTI_KUBE_NO_KIND",
  });
  const widgets = scalable(contract.namespace);
  const reference = { apiVersion: widgets.apiVersion, kind: "Widget" };
  await assert.rejects(mapper.map(reference), { code: "ELASTI_KUBE_NO_KIND" });
  await install(contract, widgets);
  const fresh = new RestMapper({ client: contract.client, clock: systemClock });
  assert.deepEqual(await fresh.mapScalable(reference), widgets.resource);
});
