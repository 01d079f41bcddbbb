import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { type Any, type Api, configMap, configMaps, pod, pods, startApi } from "./support.ts";

interface List {
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: Any[];
  reason?: string;
  message?: string;
  code?: number;
}

async function fill(api: Api, names: string[]): Promise<void> {
  for (const name of names) await api.ok("POST", configMaps, configMap(name, {}, { labels: { name } }));
}

const namesOf = (list: List) => list.items.map(({ metadata }) => metadata.name);
const list = async (api: Api, query = "", path = configMaps) => (await api.send<List>("GET", `${path}${query}`)).body;

test("pages of a list show one revision", async (t) => {
  const api = await startApi(t);
  await fill(api, ["c", "a", "e", "b", "d"]);
  const first = await list(api, "?limit=2");
  assert.deepEqual(namesOf(first), ["a", "b"]);
  assert.equal(first.metadata.remainingItemCount, 3);
  await api.ok("DELETE", `${configMaps}/c`);
  await fill(api, ["cc"]);
  const second = await list(api, `?limit=2&continue=${first.metadata.continue}`);
  assert.deepEqual(namesOf(second), ["c", "d"]);
  assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
  const third = await list(api, `?limit=2&continue=${second.metadata.continue}`);
  assert.deepEqual(namesOf(third), ["e"]);
  assert.equal(third.metadata.continue, undefined);
  assert.deepEqual(namesOf(await list(api)), ["a", "b", "cc", "d", "e"]);
});

test("an expired continue token is 410 with a token for the rest", async (t) => {
  const api = await startApi(t, { eventWindow: 4 });
  await fill(api, ["a", "b", "c"]);
  const first = await list(api, "?limit=1");
  await fill(api, ["d", "e", "f", "g", "h"]);
  const gone = await list(api, `?limit=1&continue=${first.metadata.continue}`);
  assert.equal(gone.code, 410);
  assert.equal(gone.reason, "Expired");
  const rest = await list(api, `?continue=${gone.metadata.continue}`);
  assert.deepEqual(namesOf(rest), ["b", "c", "d", "e", "f", "g", "h"]);
});

test("resourceVersion and resourceVersionMatch", async (t) => {
  const api = await startApi(t, { eventWindow: 4 });
  await fill(api, ["a"]);
  const { resourceVersion } = (await list(api)).metadata;
  await fill(api, ["b"]);
  assert.deepEqual(namesOf(await list(api, "?resourceVersion=0&limit=1")), ["a", "b"]);
  assert.deepEqual(namesOf(await list(api, `?resourceVersion=${resourceVersion}`)), ["a", "b"]);
  assert.deepEqual(namesOf(await list(api, `?resourceVersion=${resourceVersion}&resourceVersionMatch=Exact`)), ["a"]);
  const future = await list(api, "?resourceVersion=9999");
  assert.equal(future.code, 504);
  assert.match(future.message ?? "", /Too large resource version: 9999, current: /);
  assert.equal((await list(api, "?resourceVersionMatch=Exact")).code, 422);
  assert.equal((await list(api, "?resourceVersion=0&resourceVersionMatch=Exact")).code, 422);
  assert.equal((await list(api, "?resourceVersion=x")).code, 400);
  await fill(api, ["c", "d", "e", "f", "g"]);
  assert.equal((await list(api, `?resourceVersion=${resourceVersion}&resourceVersionMatch=Exact`)).code, 410);
});

const selections: [string, string[]][] = [
  ["?labelSelector=name=a", ["a"]],
  ["?labelSelector=name!=a", ["b", "c"]],
  ["?labelSelector=name in (a,b)", ["a", "b"]],
  ["?labelSelector=name notin (a),name", ["b", "c"]],
  ["?labelSelector=!name", []],
  ["?labelSelector=name,name!=b", ["a", "c"]],
  ["?fieldSelector=metadata.name=b", ["b"]],
  ["?fieldSelector=metadata.name!=b,metadata.namespace=default", ["a", "c"]],
];

test("selectors", async (t) => {
  const api = await startApi(t);
  await fill(api, ["a", "b", "c"]);
  for (const [query, names] of selections) assert.deepEqual(namesOf(await list(api, encodeURI(query))), names, query);
  assert.equal((await list(api, "?fieldSelector=data.k=v")).code, 400);
  assert.equal((await list(api, encodeURI("?labelSelector=a b c"))).code, 400);
  const all = await list(api, encodeURI("?labelSelector=name in (a,b,c)"), "/api/v1/configmaps");
  assert.equal(all.items.length, 3);
});

test("a watch without resourceVersion starts with what is there, one with it with what came after", async (t) => {
  const api = await startApi(t);
  await fill(api, ["a"]);
  const { resourceVersion } = (await list(api)).metadata;
  await fill(api, ["b"]);
  const fresh = await api.watch(`${configMaps}?watch=true`);
  const resumed = await api.watch(`${configMaps}?watch=1&resourceVersion=${resourceVersion}`);
  assert.deepEqual(await fresh.summary(2), ["ADDED a", "ADDED b"]);
  assert.deepEqual(await resumed.summary(1), ["ADDED b"]);
  await api.merge(`${configMaps}/a`, { data: { k: "v" } });
  await api.ok("DELETE", `${configMaps}/b`);
  for (const watch of [fresh, resumed]) {
    assert.deepEqual(await watch.summary(1), ["MODIFIED a"]);
    const deleted = await watch.next();
    assert.equal(deleted?.type, "DELETED");
    assert.equal(deleted?.object.metadata.resourceVersion, String(api.server.store.revision));
    watch.close();
  }
});

test("objects that cease to match are DELETED with their last matching state", async (t) => {
  const api = await startApi(t);
  const watch = await api.watch(`${configMaps}?watch=true&labelSelector=on=yes`);
  const path = `${configMaps}/a`;
  await api.ok("POST", configMaps, configMap("a", { n: "1" }));
  await api.merge(path, { metadata: { labels: { on: "yes" } } });
  await api.merge(path, { data: { n: "2" } });
  const left = await api.merge(path, { metadata: { labels: { on: "no" } }, data: { n: "3" } });
  assert.deepEqual(await watch.summary(2), ["ADDED a", "MODIFIED a"]);
  const deleted = await watch.next();
  assert.equal(deleted?.type, "DELETED");
  assert.deepEqual(deleted?.object.data, { n: "2" });
  assert.equal(deleted?.object.metadata.resourceVersion, left.body.metadata.resourceVersion);
  watch.close();
});

test("watches follow field selectors of pods", async (t) => {
  const api = await startApi(t);
  const watch = await api.watch(`/api/v1/pods?watch=true&fieldSelector=spec.nodeName=node-2,status.phase!=Failed`);
  await api.ok("POST", pods, pod("a"));
  await api.ok("POST", pods, pod("b", { nodeName: "node-2" }));
  await api.merge(`${pods}/b/status`, { status: { phase: "Failed" } });
  assert.deepEqual(await watch.summary(2), ["ADDED b", "DELETED b"]);
  watch.close();
});

test("a watch from a forgotten revision ends with an ERROR event 410", async (t) => {
  const api = await startApi(t, { eventWindow: 3 });
  const { resourceVersion } = (await list(api)).metadata;
  await fill(api, ["a", "b", "c"]);
  const still = await api.watch(`${configMaps}?watch=true&resourceVersion=${resourceVersion}`);
  assert.deepEqual(await still.summary(3), ["ADDED a", "ADDED b", "ADDED c"]);
  still.close();
  await fill(api, ["d"]);
  const watch = await api.watch(`${configMaps}?watch=true&resourceVersion=${resourceVersion}`);
  const event = await watch.next();
  assert.equal(event?.type, "ERROR");
  assert.equal(event?.object.code, 410);
  assert.equal(event?.object.reason, "Expired");
  assert.match(String(event?.object.message), /too old resource version: \d+ \(\d+\)/);
  assert.equal(await watch.next(), undefined);
});

test("bookmarks come in their interval and at the end, on request only", async (t) => {
  const clock = new ManualClock();
  const api = await startApi(t, { clock, bookmarkIntervalMs: 1_000 });
  const watch = await api.watch(`${configMaps}?watch=true&allowWatchBookmarks=true&timeoutSeconds=2`);
  const plain = await api.watch(`${configMaps}?watch=true&timeoutSeconds=2`);
  await clock.advance(1_000);
  const bookmark = await watch.next();
  assert.equal(bookmark?.type, "BOOKMARK");
  assert.equal(bookmark?.object.kind, "ConfigMap");
  assert.equal(bookmark?.object.metadata.resourceVersion, String(api.server.store.revision));
  await fill(api, ["a"]);
  assert.deepEqual(await watch.summary(1), ["ADDED a"]);
  await clock.advance(1_000);
  const last = await watch.next();
  assert.equal(last?.type, "BOOKMARK");
  assert.equal(last?.object.metadata.resourceVersion, String(api.server.store.revision));
  let end = await watch.next();
  while (end !== undefined) {
    assert.equal(end.type, "BOOKMARK");
    end = await watch.next();
  }
  assert.deepEqual(await plain.summary(2), ["ADDED a", "END"]);
  assert.equal(api.server.watches.size, 0);
});

test("sendInitialEvents marks the end of the initial state", async (t) => {
  const api = await startApi(t);
  await fill(api, ["a"]);
  const query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  const watch = await api.watch(`${configMaps}?${query}`);
  assert.deepEqual(await watch.summary(1), ["ADDED a"]);
  const mark = await watch.next();
  assert.equal(mark?.object.metadata.annotations?.["k8s.io/initial-events-end"], "true");
  watch.close();
  assert.equal((await list(api, "?watch=true&sendInitialEvents=true")).code, 422);
});

test("a watcher that does not read is cut", async (t) => {
  const api = await startApi(t, { maxUnreadWatchBytes: 64 * 1_024 });
  const { connect } = await import("node:net");
  const { hostname, port } = new URL(api.server.url);
  const socket = connect(Number(port), hostname);
  t.after(() => socket.destroy());
  socket.on("error", () => undefined);
  socket.pause();
  socket.write(`GET ${configMaps}?watch=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-token\r\n\r\n`);
  while (api.server.watches.size === 0) await new Promise((resolve) => setImmediate(resolve));
  const big = "x".repeat(500_000);
  for (let i = 0; i < 40 && api.server.watches.size > 0; i++) {
    await api.ok("PUT", `${configMaps}/a`, configMap("a", { big, i: String(i) })).catch(async () => {
      await api.ok("POST", configMaps, configMap("a", { big, i: "first" }));
    });
  }
  assert.equal(api.server.watches.size, 0);
});

test("tables carry columns once per watch and rows with metadata", async (t) => {
  const api = await startApi(t);
  await fill(api, ["a"]);
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  const table = (await api.send("GET", configMaps, undefined, { accept })).body as unknown as {
    kind: string;
    columnDefinitions: { name: string }[];
    rows: { cells: unknown[]; object: Any }[];
  };
  assert.equal(table.kind, "Table");
  assert.deepEqual(
    table.columnDefinitions.map(({ name }) => name),
    ["Name", "Data", "Age"],
  );
  assert.equal(table.rows[0]?.cells[0], "a");
  assert.equal(table.rows[0]?.object.kind, "PartialObjectMetadata");
  const watch = await api.watch(`${configMaps}?watch=true`, { accept });
  await fill(api, ["b"]);
  const [first, second] = [await watch.next(), await watch.next()];
  assert.equal(Array.isArray(first?.object.columnDefinitions), true);
  assert.equal(second?.object.columnDefinitions, null);
  watch.close();
});
