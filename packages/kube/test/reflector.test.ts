import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { type KubeClient, type KubeObject, Reflector, type ReflectorOptions, resources } from "../src/index.ts";
import {
  answer,
  configMap,
  isList,
  isWatch,
  line,
  listOf,
  openWatch,
  ScriptedServer,
  status,
} from "./scripted-server.ts";

let server: ScriptedServer;
let client: KubeClient;
let clock: ManualClock;
let reflector: Reflector<KubeObject>;
let watches: ServerResponse[];
let listed: unknown;
const seen: string[] = [];

function reflect(options: Partial<ReflectorOptions<KubeObject>> = {}): Reflector<KubeObject> {
  reflector = new Reflector({ client, resource: resources.configMaps, logger: silentLogger, clock, ...options });
  reflector.store.on("change", ({ type, object }) => {
    seen.push(`${type} ${object.metadata.name}@${object.metadata.resourceVersion}`);
  });
  return reflector;
}

/** Resolves when the store has told `text`. */
async function told(text: string): Promise<void> {
  await reflector.store.until(() => (seen.includes(text) ? true : undefined));
}

beforeEach(async () => {
  server = await new ScriptedServer().start();
  clock = new ManualClock();
  client = server.client({ clock });
  watches = [];
  seen.length = 0;
  listed = listOf("10", [configMap("a", "1"), configMap("b", "2")]);
  server.script = (asked, response) => {
    if (!isWatch(asked)) return answer(response, 200, listed);
    openWatch(response);
    watches.push(response);
  };
});

afterEach(async () => {
  await reflector.close();
  await client.close();
  assert.equal(clock.pendingTimers, 0, "no timer is left");
  await server.close();
});

test("lists, then follows every change from there", async () => {
  const arrived = server.next(isWatch);
  await reflect({ namespace: "default", labelSelector: "x=y" }).start();
  assert.equal(reflector.synced, true);
  const watch = await arrived;
  assert.equal(watch.url.pathname, "/api/v1/namespaces/default/configmaps");
  assert.equal(watch.url.searchParams.get("resourceVersion"), "10");
  assert.equal(watch.url.searchParams.get("labelSelector"), "x=y");
  assert.equal(server.asked[0]!.url.searchParams.get("limit"), "500");
  watches[0]!.write(line("ADDED", configMap("c", "11")) + line("MODIFIED", configMap("a", "12")));
  watches[0]!.write(line("DELETED", configMap("b", "13")));
  await told("deleted b@13");
  assert.deepEqual(seen, ["added a@1", "added b@2", "added c@11", "modified a@12", "deleted b@13"]);
  assert.equal(reflector.store.get("default", "a")!.metadata.resourceVersion, "12");
  assert.equal(reflector.store.get("default", "b"), undefined);
});

test("pages through a long list, and starts over when the continue token is too old", async () => {
  const pages: (string | null)[] = [];
  server.script = (asked, response) => {
    if (isWatch(asked)) return openWatch(response);
    const token = asked.url.searchParams.get("continue");
    pages.push(`${asked.url.searchParams.get("limit")} ${token}`);
    if (token === "old") return answer(response, 410, status(410, "Expired", "too old"));
    if (token === "two") return answer(response, 200, listOf("10", [configMap("b", "2")], "old"));
    if (asked.url.searchParams.has("limit")) return answer(response, 200, listOf("10", [configMap("a", "1")], "two"));
    answer(response, 200, listOf("11", [configMap("a", "1"), configMap("b", "2"), configMap("c", "3")]));
  };
  await reflect({ pageSize: 1 }).start();
  assert.deepEqual(pages, ["1 null", "1 two", "1 old", "null null"]);
  assert.deepEqual(seen, ["added a@1", "added b@2", "added c@3"]);
});

test("a watch that the server ends goes on from the last bookmark, without a list", async () => {
  let arrived = server.next(isWatch);
  await reflect().start();
  await arrived;
  arrived = server.next(isWatch);
  watches[0]!.end(line("BOOKMARK", configMap("", "40")));
  assert.equal((await arrived).url.searchParams.get("resourceVersion"), "40");
  assert.equal(server.asked.filter(isList).length, 1);
});

test("a cut socket leads to a watch from the last event after a short pause", async () => {
  let arrived = server.next(isWatch);
  await reflect().start();
  await arrived;
  watches[0]!.write(line("ADDED", configMap("c", "11")));
  await told("added c@11");
  arrived = server.next(isWatch);
  watches[0]!.socket!.destroy();
  const again = await drive(arrived);
  assert.equal(again.url.searchParams.get("resourceVersion"), "11");
  assert.equal(server.asked.filter(isList).length, 1);
});

test("410 in the middle leads to a list at once, whose differences are told", async () => {
  const arrived = server.next(isWatch);
  await reflect().start();
  await arrived;
  listed = listOf("50", [configMap("b", "2"), configMap("c", "45"), configMap("a", "46", { uid: "another" })]);
  watches[0]!.write(line("ERROR", status(410, "Expired", "too old resource version")));
  await told("added a@46");
  assert.deepEqual(seen, ["added a@1", "added b@2", "added c@45", "deleted a@1", "added a@46"]);
});

test("a relist deletes what is no longer there", async () => {
  const arrived = server.next(isWatch);
  await reflect().start();
  await arrived;
  listed = listOf("50", []);
  watches[0]!.write(line("ERROR", status(410, "Gone", "old")));
  await told("deleted b@2");
  assert.equal(reflector.store.size, 0);
});

test("a server that answers every watch with 410 is not asked in a tight loop", async () => {
  server.script = (asked, response) => {
    if (!isWatch(asked)) return answer(response, 200, listed);
    answer(response, 410, status(410, "Expired", "old"));
  };
  await reflect().start();
  await clock.advance(0);
  await reached(() => clock.pendingTimers > 0);
  await clock.advance(10_000);
  assert.ok(server.asked.length < 40, `${server.asked.length} requests in 10 s`);
});

test("silence without events or bookmarks leads to a new watch", async () => {
  let arrived = server.next(isWatch);
  await reflect({ silenceMs: 90_000 }).start();
  await arrived;
  watches[0]!.write(line("BOOKMARK", configMap("", "20")) + line("ADDED", configMap("c", "21")));
  await told("added c@21");
  arrived = server.next(isWatch);
  await clock.advance(89_000);
  assert.equal(watches.length, 1);
  await clock.advance(1_000);
  assert.equal((await arrived).url.searchParams.get("resourceVersion"), "21");
});

test("start() waits through failures of the first list, with growing pauses", async () => {
  let failures = 3;
  const times: number[] = [];
  server.script = (asked, response) => {
    if (isWatch(asked)) return openWatch(response);
    times.push(clock.now());
    if (failures-- > 0) return answer(response, 503, status(503, "ServiceUnavailable", "starting"));
    answer(response, 200, listed);
  };
  const synced = reflect({ random: () => 1 }).start();
  await drive(synced);
  assert.equal(times.length, 4);
  assert.ok(times[3]! - times[2]! > times[1]! - times[0]!, JSON.stringify(times));
  assert.equal(reflector.lastError, undefined);
});

test("a server that asks to come back in a year is asked again in a minute", async () => {
  const times: number[] = [];
  server.script = (asked, response) => {
    if (isWatch(asked)) return openWatch(response);
    times.push(clock.now());
    if (times.length > 1) return answer(response, 200, listed);
    answer(response, 429, status(429, "TooManyRequests", "busy"), { "retry-after": "31536000" });
  };
  const synced = reflect().start();
  await reached(() => clock.pendingTimers === 1 && reflector.lastError !== undefined);
  await clock.advance(60_000);
  await synced;
  assert.equal(times[1]! - times[0]!, 60_000);
});

test("close() before the first list rejects start()", async () => {
  server.script = () => {};
  const arrived = server.next();
  const started = assert.rejects(reflect().start(), { code: "ELASTI_KUBE_CLOSED" });
  await arrived;
  await reflector.close();
  await started;
});

test("keeps objects frozen and without managedFields, and files them in indexes", async () => {
  const labelled = (name: string, version: string, service: string) =>
    configMap(name, version, { labels: { service }, managedFields: [{ manager: "x" }] });
  listed = listOf("10", [labelled("a", "1", "web"), labelled("b", "2", "web"), labelled("c", "3", "api")]);
  const arrived = server.next(isWatch);
  await reflect({ indexers: { service: (object) => [object.metadata.labels!.service!] } }).start();
  await arrived;
  const names = (key: string) => reflector.store.byIndex("service", key).map((object) => object.metadata.name);
  assert.deepEqual(names("web"), ["a", "b"]);
  const kept = reflector.store.get("default", "a")!;
  assert.equal(kept.metadata.managedFields, undefined);
  assert.throws(() => {
    kept.metadata.labels!.service = "other";
  }, TypeError);
  watches[0]!.write(line("MODIFIED", labelled("a", "11", "api")) + line("DELETED", labelled("b", "12", "web")));
  await told("deleted b@12");
  assert.deepEqual(names("web"), []);
  assert.deepEqual(names("api"), ["c", "a"]);
});

test("a listener that throws harms nobody, and an ended one hears nothing", async () => {
  const heard: string[] = [];
  reflect();
  reflector.store.on("change", () => {
    throw new Error("broken listener");
  });
  const end = reflector.store.on("change", () => heard.push("ended"));
  end();
  await reflector.start();
  assert.deepEqual(seen, ["added a@1", "added b@2"]);
  assert.equal(heard.length, 0);
  reflector.store.on("change", ({ object }) => void heard.push(object.metadata.name), { replay: true });
  assert.deepEqual(heard, ["a", "b"]);
});

test("of several namespaces one that may not be listed is left out, and is there as soon as it may be", async () => {
  const inside = (namespace: string): KubeObject => {
    const object = configMap("a", "1") as KubeObject;
    return { ...object, metadata: { ...object.metadata, namespace } };
  };
  let gone = true;
  server.script = (asked, response) => {
    const namespace = asked.url.pathname.split("/")[4] ?? "";
    if (isWatch(asked)) return openWatch(response);
    if (namespace === "two" && gone) return answer(response, 403, status(403, "Forbidden", "no Role"));
    answer(response, 200, listOf("10", [inside(namespace)]));
  };
  const namespaces = ["one", "two"];
  const names = () => reflector.store.list().map(({ metadata }) => metadata.namespace);
  await reflect({ namespaces, leaveOutForbidden: true }).start();
  assert.ok(reflector.synced);
  assert.equal(reflector.lastError, undefined);
  assert.deepEqual(names(), ["one"]);
  gone = false;
  const came = reflector.store.until(() => (reflector.store.size === 2 ? true : undefined));
  await drive(came);
  assert.deepEqual(names().toSorted(), namespaces);
  assert.ok(reflector.synced);
});

test("without another namespace that can be listed a forbidden one is waited for", async () => {
  server.script = (_asked, response) => answer(response, 403, status(403, "Forbidden", "no Role"));
  await reflect({ namespaces: ["one", "two"], leaveOutForbidden: true }).start();
  assert.equal(reflector.synced, false);
});

/** Moves the clock in small steps until `promise` settles. */
async function drive<T>(promise: Promise<T>): Promise<T> {
  let settled = false;
  const done = promise.finally(() => {
    settled = true;
  });
  done.catch(() => {});
  while (!settled) await clock.advance(10);
  return done;
}

async function reached(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("several namespaces are watched each by itself, and a new list of one leaves the others as they are", async () => {
  const inside = (namespace: string, name: string): KubeObject => {
    const object = configMap(name, "1") as KubeObject;
    return { ...object, metadata: { ...object.metadata, namespace } };
  };
  const lists = new Map([
    ["one", listOf("10", [inside("one", "a")])],
    ["two", listOf("10", [inside("two", "b")])],
  ]);
  const open = new Map<string, ServerResponse>();
  server.script = (asked, response) => {
    const namespace = asked.url.pathname.split("/")[4] ?? "";
    if (!isWatch(asked)) return answer(response, 200, lists.get(namespace));
    openWatch(response);
    open.set(namespace, response);
  };
  const watched = server.next((asked) => isWatch(asked) && asked.url.pathname.includes("/one/"));
  await reflect({ namespaces: ["one", "two", "one"] }).start();
  assert.ok(reflector.synced);
  const paths = server.asked.filter(isList).map(({ url }) => url.pathname);
  assert.deepEqual(paths.sort(), ["/api/v1/namespaces/one/configmaps", "/api/v1/namespaces/two/configmaps"]);
  await watched;
  lists.set("one", listOf("20", []));
  open.get("one")!.write(line("ERROR", status(410, "Expired", "too old resource version")));
  await told("deleted a@1");
  assert.deepEqual(
    reflector.store.list().map(({ metadata }) => metadata.name),
    ["b"],
  );
});
