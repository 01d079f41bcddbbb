import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { createServer } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { ElastiError } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import {
  createKubeClient,
  type Deployment,
  isAlreadyExists,
  isConflict,
  isNotFound,
  isOutcomeUnknown,
  isTimeout,
  type KubeClient,
  type KubeObject,
  resources,
} from "../src/index.ts";
import { answer, configMap, line, listOf, openWatch, ScriptedServer, status } from "./scripted-server.ts";

let server: ScriptedServer;
let client: KubeClient;

beforeEach(async () => {
  server = await new ScriptedServer().start();
  client = server.client();
});

afterEach(async () => {
  await client.close();
  await server.close();
});

function failure(promise: Promise<unknown>): Promise<ElastiError> {
  return promise.then(
    () => assert.fail("did not fail"),
    (error: unknown) => {
      assert.ok(error instanceof ElastiError, String(error));
      return error;
    },
  );
}

test("speaks the paths, content types and preconditions of the API", async () => {
  server.script = (_asked, response) => answer(response, 200, configMap("a", "1"));
  const { configMaps, deployments, namespaces } = resources;
  await client.get(configMaps, "default", "a");
  await client.get(deployments, "default", "a b", { subresource: "scale" });
  await client.get(namespaces, undefined, "default");
  await client.create(configMaps, configMap("a", "1"), { fieldManager: "elasti" });
  await client.replace(configMaps, configMap("a", "1"), { subresource: "status" });
  await client.patch(deployments, "default", "a", "merge", { spec: {} });
  await client.patch(deployments, "default", "a", "json", []);
  await client.patch(
    deployments,
    "default",
    "a",
    "apply",
    {},
    { fieldManager: "m", force: true, subresource: "scale" },
  );
  await client.delete(configMaps, "default", "a", { resourceVersion: "7", uid: "u", propagationPolicy: "Background" });
  await client.raw("GET", "/version?x=1");
  assert.deepEqual(
    server.asked.map(({ method, url, headers }) => [method, url.pathname + url.search, headers["content-type"]]),
    [
      ["GET", "/api/v1/namespaces/default/configmaps/a", undefined],
      ["GET", "/apis/apps/v1/namespaces/default/deployments/a%20b/scale", undefined],
      ["GET", "/api/v1/namespaces/default", undefined],
      ["POST", "/api/v1/namespaces/default/configmaps?fieldManager=elasti", "application/json"],
      ["PUT", "/api/v1/namespaces/default/configmaps/a/status", "application/json"],
      ["PATCH", "/apis/apps/v1/namespaces/default/deployments/a", "application/merge-patch+json"],
      ["PATCH", "/apis/apps/v1/namespaces/default/deployments/a", "application/json-patch+json"],
      [
        "PATCH",
        "/apis/apps/v1/namespaces/default/deployments/a/scale?fieldManager=m&force=true",
        "application/apply-patch+yaml",
      ],
      ["DELETE", "/api/v1/namespaces/default/configmaps/a", "application/json"],
      ["GET", "/version?x=1", undefined],
    ],
  );
  assert.deepEqual(server.asked[8]!.body, {
    apiVersion: "v1",
    kind: "DeleteOptions",
    propagationPolicy: "Background",
    preconditions: { uid: "u", resourceVersion: "7" },
  });
  assert.equal(server.asked[0]!.headers.authorization, "Bearer secret-token");
});

test("refuses an empty name, which would address the whole collection", async () => {
  assert.throws(() => client.get(resources.configMaps, "default", ""), TypeError);
  await assert.rejects(client.delete(resources.configMaps, "default", ""), TypeError);
});

test("uses a few kept-alive connections for many calls", async () => {
  server.script = (_asked, response) => answer(response, 200, configMap("a", "1"));
  for (let i = 0; i < 20; i++) await client.get(resources.configMaps, "default", "a");
  assert.ok(server.connections <= 2, String(server.connections));
  await Promise.all(Array.from({ length: 100 }, () => client.get(resources.configMaps, "default", "a")));
  assert.ok(server.connections <= 16, String(server.connections));
});

test("gives list items the kind that the API server leaves out, and an empty list for null", async () => {
  server.script = (_asked, response) => answer(response, 200, listOf("5", [{ metadata: { name: "a" } }]));
  const list = await client.list<Deployment>(resources.deployments, { labelSelector: "a=b", limit: 2 });
  assert.equal(list.items[0]!.kind, "Deployment");
  assert.equal(list.items[0]!.apiVersion, "apps/v1");
  assert.equal(server.asked[0]!.url.search, "?labelSelector=a%3Db&limit=2");
  server.script = (_asked, response) => answer(response, 200, listOf("5", null));
  assert.deepEqual((await client.list(resources.deployments)).items, []);
});

const answers: [number, unknown, string][] = [
  [404, status(404, "NotFound", "no"), "ELASTI_KUBE_NOT_FOUND"],
  [404, "404 page not found", "ELASTI_KUBE_NOT_FOUND"],
  [409, status(409, "Conflict", "changed"), "ELASTI_KUBE_CONFLICT"],
  [409, status(409, "AlreadyExists", "there"), "ELASTI_KUBE_ALREADY_EXISTS"],
  [410, status(410, "Expired", "old"), "ELASTI_KUBE_GONE"],
  [401, status(401, "Unauthorized", "who"), "ELASTI_KUBE_UNAUTHORIZED"],
  [400, status(400, "BadRequest", "what"), "ELASTI_KUBE_BAD_REQUEST"],
  [500, status(500, "InternalError", "etcd"), "ELASTI_KUBE_UNAVAILABLE"],
  [503, "no upstream", "ELASTI_KUBE_UNAVAILABLE"],
  [200, "<html>", "ELASTI_KUBE_BAD_RESPONSE"],
];

for (const [code, body, expected] of answers) {
  test(`turns ${code} ${JSON.stringify(body).slice(0, 60)} into ${expected}`, async () => {
    server.script = (_asked, response) => answer(response, code, body);
    const error = await failure(client.get(resources.configMaps, "default", "a"));
    assert.equal(error.code, expected);
    assert.match(error.message, /configmaps/);
  });
}

test("says which fields are invalid, what is forbidden and how long to wait", async () => {
  const causes = [{ field: "spec.replicas", message: "must not be negative", reason: "FieldValueInvalid" }];
  server.script = (_asked, response) => answer(response, 422, status(422, "Invalid", "bad", { causes }));
  const invalid = await failure(client.create(resources.configMaps, configMap("a", "1")));
  assert.equal(invalid.code, "ELASTI_KUBE_INVALID");
  assert.deepEqual(invalid.details.errors, [{ field: "spec.replicas", message: "must not be negative" }]);

  server.script = (_asked, response) => answer(response, 403, status(403, "Forbidden", "no RBAC"));
  const forbidden = await failure(
    client.patch(resources.deployments, "default", "web", "merge", {}, { subresource: "scale" }),
  );
  assert.equal(forbidden.message, "not allowed to patch deployments.apps/scale default/web: no RBAC");

  server.script = (_asked, response) => answer(response, 429, "slow", { "retry-after": "3" });
  const busy = await failure(client.get(resources.configMaps, "default", "a"));
  assert.equal(busy.code, "ELASTI_KUBE_TOO_MANY_REQUESTS");
  assert.equal(busy.details.retryAfterMs, 3_000);
  assert.equal(isOutcomeUnknown(busy), false);
});

test("predicates tell conflict from already-exists", async () => {
  server.script = (_asked, response) => answer(response, 409, status(409, "Conflict", "x"));
  const error = await failure(client.get(resources.configMaps, "default", "a"));
  assert.deepEqual([isConflict(error), isAlreadyExists(error), isNotFound(error)], [true, false, false]);
});

test("knows that a refused connection sent nothing, and that a cut one may have", async () => {
  const listener = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => listener.once("listening", resolve));
  const { port } = listener.address() as { port: number };
  await new Promise((resolve) => listener.close(resolve));
  const nobody = createKubeClient({ cluster: { server: `http://127.0.0.1:${port}`, token: async () => undefined } });
  const refused = await failure(nobody.create(resources.configMaps, configMap("a", "1")));
  await nobody.close();
  assert.equal(refused.code, "ELASTI_KUBE_UNAVAILABLE");
  assert.equal(isOutcomeUnknown(refused), false);

  server.script = (asked) => void asked.socket.destroy();
  const cut = await failure(client.create(resources.configMaps, configMap("a", "1")));
  assert.equal(cut.code, "ELASTI_KUBE_UNAVAILABLE");
  assert.equal(isOutcomeUnknown(cut), true);
  assert.equal(server.asked.length, 1, "a write is never sent twice");
});

test("asks a read once more when its kept-alive connection closes under it", async () => {
  server.script = (asked, response) => {
    if (server.asked.length === 2) asked.socket.destroy();
    else answer(response, 200, configMap("a", "1"));
  };
  await client.get(resources.configMaps, "default", "a");
  await client.get(resources.configMaps, "default", "a");
  assert.equal(server.asked.length, 3);
});

test("times out on its own clock, outcome unknown once it was sent", async () => {
  const clock = new ManualClock();
  await client.close();
  client = server.client({ clock, requestTimeoutMs: 5_000 });
  server.script = () => {};
  const arrived = server.next();
  const call = failure(client.create(resources.configMaps, configMap("a", "1")));
  await arrived;
  await clock.advance(5_000);
  const error = await call;
  assert.ok(isTimeout(error));
  assert.ok(isOutcomeUnknown(error));
  assert.equal(clock.pendingTimers, 0);

  const short = failure(client.create(resources.configMaps, configMap("a", "1"), { timeoutMs: 100 }));
  await clock.advance(100);
  assert.ok(isTimeout(await short));
});

test("rejects with the reason of the caller's abort", async () => {
  server.script = () => {};
  const abort = new AbortController();
  const arrived = server.next();
  const call = client.get(resources.configMaps, "default", "a", { signal: abort.signal });
  await arrived;
  const reason = new Error("not needed any more");
  abort.abort(reason);
  await assert.rejects(call, reason);
  await assert.rejects(client.get(resources.configMaps, "default", "a", { signal: abort.signal }), reason);
});

test("open watches do not starve calls", async () => {
  await client.close();
  client = server.client({ maxConnections: 1 });
  server.script = (asked, response) =>
    asked.url.searchParams.has("watch") ? openWatch(response) : answer(response, 200, configMap("a", "1"));
  const abort = new AbortController();
  const watches = Array.from({ length: 5 }, async () => {
    for await (const _ of client.watch(resources.configMaps, { signal: abort.signal }))
      assert.fail("no event was sent");
  });
  await client.get(resources.configMaps, "default", "a");
  abort.abort();
  await Promise.all(watches);
});

test("delivers watch events over any chunking, and ends with the server", async () => {
  const text = Buffer.from(line("ADDED", configMap("ä-€-😀", "1")) + line("BOOKMARK", configMap("", "2")));
  server.script = (_asked, response) => {
    openWatch(response);
    let at = 0;
    const step = () => {
      if (at >= text.length) return void response.end();
      response.write(text.subarray(at, at + 7));
      at += 7;
      setImmediate(step);
    };
    step();
  };
  const seen: string[] = [];
  const signal = new AbortController().signal;
  for await (const event of client.watch<KubeObject>(resources.configMaps, { resourceVersion: "9", signal })) {
    seen.push(`${event.type} ${event.object.metadata.name} ${event.object.metadata.resourceVersion}`);
  }
  assert.deepEqual(seen, ["ADDED ä-€-😀 1", "BOOKMARK  2"]);
  assert.equal(server.asked[0]!.url.search, "?watch=true&allowWatchBookmarks=true&resourceVersion=9");
});

test("a slow consumer pauses the watch's socket and loses nothing", async () => {
  const total = 3_000;
  let drains = 0;
  server.script = async (_asked, response) => {
    openWatch(response);
    for (let i = 0; i < total; i++) {
      const more = response.write(
        line("ADDED", configMap(`a${i}`, String(i), { annotations: { x: "x".repeat(2_000) } })),
      );
      if (!more) {
        drains += 1;
        await new Promise((resolve) => response.once("drain", resolve));
      }
    }
    response.end();
  };
  let expected = 0;
  const signal = new AbortController().signal;
  for await (const event of client.watch<KubeObject>(resources.configMaps, { signal })) {
    assert.equal(event.object.metadata.name, `a${expected}`);
    expected += 1;
    if (expected % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(expected, total);
  assert.ok(drains > 0);
});

const watchEnds: [string, (response: ServerResponse) => void, string][] = [
  ["410 as an answer", (response) => answer(response, 410, status(410, "Expired", "old")), "ELASTI_KUBE_GONE"],
  [
    "410 as an event",
    (response) => {
      openWatch(response);
      response.write(line("ERROR", status(410, "Expired", "old")));
    },
    "ELASTI_KUBE_GONE",
  ],
  [
    "a cut socket",
    (response) => {
      openWatch(response);
      response.write(line("ADDED", configMap("a", "1")), () => response.socket!.destroy());
    },
    "ELASTI_KUBE_UNAVAILABLE",
  ],
  [
    "nonsense",
    (response) => {
      openWatch(response);
      response.write("{nonsense\n");
    },
    "ELASTI_KUBE_BAD_RESPONSE",
  ],
];

for (const [name, end, expected] of watchEnds) {
  test(`a watch reports ${name} as ${expected}`, async () => {
    server.script = (_asked, response) => end(response);
    const error = await failure(
      (async () => {
        for await (const _ of client.watch(resources.configMaps, { signal: new AbortController().signal }));
      })(),
    );
    assert.equal(error.code, expected);
  });
}

test("leaving a watch closes its socket, and close() ends what is open", async () => {
  server.script = (_asked, response) => {
    openWatch(response);
    response.write(line("ADDED", configMap("a", "1")));
  };
  const arrived = server.next();
  for await (const _ of client.watch(resources.configMaps, { signal: new AbortController().signal })) break;
  const { socket } = await arrived;
  if (!socket.destroyed) await new Promise((resolve) => socket.once("close", resolve));

  const stream = client.watch(resources.configMaps, { signal: new AbortController().signal })[Symbol.asyncIterator]();
  await stream.next();
  const pending = failure(stream.next());
  await client.close();
  assert.equal((await pending).code, "ELASTI_KUBE_CLOSED");
  assert.equal((await failure(client.get(resources.configMaps, "default", "a"))).code, "ELASTI_KUBE_CLOSED");
});

test("tries a token that was renewed at once, and one that was not no more than once", async () => {
  let current = "expired";
  let refusals = 0;
  const renewing = server.client({
    cluster: {
      ...server.cluster,
      token: async () => current,
      refused: () => {
        refusals += 1;
        if (refusals === 2) current = "renewed";
      },
    },
  });
  server.script = ({ headers }, response) =>
    headers.authorization === "Bearer renewed"
      ? answer(response, 200, configMap("a", "1"))
      : answer(response, 401, status(401, "Unauthorized", "Unauthorized"));
  try {
    const create = () => renewing.create(resources.configMaps, configMap("a", "1"));
    assert.equal((await failure(create())).code, "ELASTI_KUBE_UNAUTHORIZED");
    assert.equal(server.asked.length, 1);
    assert.equal((await create()).metadata.name, "a");
    assert.deepEqual(
      server.asked.map(({ headers }) => headers.authorization),
      ["Bearer expired", "Bearer expired", "Bearer renewed"],
    );
  } finally {
    await renewing.close();
  }
});
