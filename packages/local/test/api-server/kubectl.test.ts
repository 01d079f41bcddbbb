import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, type TestContext, test } from "node:test";
import { elastiServiceCrd } from "@elasti/api";
import { deployment, pods, service, startApi, token } from "./support.ts";

const missing = "missing program: kubectl (Debian package kubernetes-client)";
const installed = spawnSync("kubectl", ["version", "--client"], { stdio: "ignore" }).error === undefined;

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A server and the kubectl that is set to it. */
async function start(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), "elasti-kubectl-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const api = await startApi(t);
  const kubeconfig = join(directory, "kubeconfig");
  await writeFile(kubeconfig, api.server.kubeconfig(token));
  const env = { ...process.env, KUBECONFIG: kubeconfig, HOME: directory, KUBECACHEDIR: join(directory, "cache") };
  const run = (...args: string[]) =>
    new Promise<Result>((resolve) => {
      execFile("kubectl", args, { env, timeout: 20_000 }, (error, out, err) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err });
      });
    });
  const ok = async (...args: string[]) => {
    const { code, out, err } = await run(...args);
    assert.equal(code, 0, `kubectl ${args.join(" ")}: ${err}`);
    return out;
  };
  const file = async (name: string, ...objects: object[]) => {
    const path = join(directory, name);
    await writeFile(path, JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
    return path;
  };
  return { api, env, run, ok, file };
}

const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
const elastiService = {
  apiVersion: "elasti.truefoundry.com/v1alpha1",
  kind: "ElastiService",
  metadata: { name: "web" },
  spec: { service: "web", scaleTargetRef },
};

describe("kubectl", { skip: installed || process.env.CI === "true" ? false : missing }, () => {
  before(() => assert.equal(installed, true, missing));

  test("creates, gets, scales and deletes a Deployment", async (t) => {
    const { ok, file } = await start(t);
    const manifest = await file("web.json", deployment("web"), service("web"));
    assert.equal(await ok("create", "-f", manifest), "deployment.apps/web created\nservice/web created\n");
    assert.match(await ok("get", "deploy"), /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0\/1 +0 +0 +\d+s\n$/);
    assert.match(
      await ok("get", "deploy", "web", "-o", "wide"),
      /CONTAINERS +IMAGES +SELECTOR\n.* app +app:1 +app=web\n$/,
    );
    assert.match(await ok("get", "svc,deploy"), /service\/web +ClusterIP +127\.250\.0\.2 +<none> +80\/TCP/);
    assert.equal(await ok("scale", "deploy/web", "--replicas=0"), "deployment.apps/web scaled\n");
    assert.equal(await ok("get", "deploy", "web", "-o", "jsonpath={.spec.replicas} {.metadata.generation}"), "0 2");
    assert.match(await ok("get", "deploy", "web", "-o", "yaml"), /\n {2}replicas: 0\n/);
    assert.equal((JSON.parse(await ok("get", "deploy", "-o", "json")) as { items: unknown[] }).items.length, 1);
    assert.match(await ok("describe", "deploy", "web"), /Replicas: +0 desired/);
    assert.match(await ok("describe", "svc", "web"), /IP: +127\.250\.0\.2\n/);
    assert.equal(await ok("delete", "deploy", "web"), 'deployment.apps "web" deleted\n');
    assert.match(await ok("delete", "-f", manifest, "--ignore-not-found"), /service "web" deleted/);
  });

  test("scale --current-replicas is a precondition", async (t) => {
    const { ok, run, file } = await start(t);
    await ok("create", "-f", await file("web.json", deployment("web")));
    await ok("scale", "deploy/web", "--current-replicas=1", "--replicas=2");
    const { code, err } = await run("scale", "deploy/web", "--current-replicas=1", "--replicas=3");
    assert.equal(code, 1);
    assert.match(err, /Expected replicas to be 1, was 2/);
  });

  test("apply, patch, annotate and label work without flags", async (t) => {
    const { ok, file } = await start(t);
    const manifest = await file("web.json", deployment("web"));
    assert.equal(await ok("apply", "-f", manifest), "deployment.apps/web created\n");
    assert.equal(await ok("apply", "-f", manifest), "deployment.apps/web unchanged\n");
    assert.match(await ok("annotate", "deploy", "web", "a=b"), /deployment.apps\/web annotate/);
    assert.equal(await ok("label", "deploy", "web", "a=b"), "deployment.apps/web labeled\n");
    assert.match(await ok("patch", "deploy", "web", "--type=merge", "-p", '{"spec":{"replicas":4}}'), /patched/);
    assert.match(
      await ok("patch", "deploy", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":5}]'),
      /patched/,
    );
    assert.equal(await ok("get", "deploy", "-l", "a=b", "-o", "jsonpath={.items[*].spec.replicas}"), "5");
  });

  test("ElastiServices: apply, columns, describe, refusals, delete", async (t) => {
    const { ok, run, file } = await start(t);
    await ok("apply", "-f", await file("crd.json", elastiServiceCrd()));
    await ok("wait", "--for=condition=Established", "crd/elastiservices.elasti.truefoundry.com", "--timeout=5s");
    const manifest = await file("es.json", elastiService);
    assert.match(await ok("apply", "-f", manifest), /elastiservice.elasti.truefoundry.com\/web created/);
    assert.match(await ok("get", "es"), /^NAME +SERVICE +MODE +PHASE +READY +LAST-WAKE +AGE\nweb +web +\d+s\n$/);
    assert.match(await ok("describe", "es", "web"), /Scale Target Ref:\n {4}API Version: +apps\/v1\n/);
    const unknown = { ...elastiService, metadata: { name: "u" }, spec: { ...elastiService.spec, foo: 1 } };
    const strict = await run("create", "-f", await file("unknown.json", unknown));
    assert.match(strict.err, /unknown field "spec.foo"/);
    const bad = { ...elastiService, metadata: { name: "b" }, spec: { ...elastiService.spec, minTargetReplicas: "x" } };
    const invalid = await run("create", "-f", await file("bad.json", bad));
    assert.match(invalid.err, /The ElastiService "b" is invalid: spec.minTargetReplicas: Invalid value: "string"/);
    assert.match(await ok("delete", "es", "web"), /"web" deleted/);
  });

  test("get -w prints every change as a row", async (t) => {
    const { api, env, ok, file } = await start(t);
    await ok("create", "-f", await file("web.json", deployment("web")));
    const child = spawn("kubectl", ["get", "deploy", "-w", "--no-headers"], { env });
    t.after(() => child.kill());
    const lines = Promise.withResolvers<string[]>();
    let text = "";
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (chunk: string) => {
      text += chunk;
      const rows = text.trimEnd().split("\n");
      if (rows.length === 1) {
        void api.merge("/apis/apps/v1/namespaces/default/deployments/web/scale", { spec: { replicas: 7 } });
      } else lines.resolve(rows);
    });
    child.on("exit", () => lines.resolve(text.split("\n")));
    const rows = await lines.promise;
    assert.match(rows[0]!, /^web +0\/1 /);
    assert.match(rows[1]!, /^web +0\/7 /);
  });

  test("pods and events: describe finds an object's events, deletion waits for the pod to go", async (t) => {
    const { api, ok } = await start(t);
    const created = await api.ok("POST", pods, {
      metadata: { name: "p" },
      spec: { nodeName: "node-1", containers: [{ name: "app", image: "app:1" }] },
    });
    const { uid } = created.metadata;
    const time = new Date().toISOString();
    await api.ok("POST", "/api/v1/namespaces/default/events", {
      metadata: { name: "p.1" },
      involvedObject: { apiVersion: "v1", kind: "Pod", namespace: "default", name: "p", uid },
      reason: "Started",
      message: "container started",
      type: "Normal",
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
      source: { component: "kubelet" },
    });
    assert.match(await ok("describe", "pod", "p"), /Normal +Started +\d+s +kubelet +container started/);
    assert.match(
      await ok("get", "events"),
      /LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n\d+s +Normal +Started +pod\/p +container started\n/,
    );
    assert.match(await ok("get", "pods", "-o", "wide"), /^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE/);
    const deleting = ok("delete", "pod", "p");
    const watch = await api.watch(`${pods}?watch=true`);
    let event = await watch.next();
    while (event?.object.metadata.deletionTimestamp === undefined) event = await watch.next();
    watch.close();
    assert.match(await ok("get", "pods"), /p +0\/1 +Terminating/);
    await api.ok("DELETE", `${pods}/p?gracePeriodSeconds=0`);
    assert.equal(await deleting, 'pod "p" deleted\n');
  });

  test("namespaces and kinds are created and listed", async (t) => {
    const { ok, file } = await start(t);
    assert.match(await ok("create", "ns", "shop"), /namespace\/shop created/);
    assert.match(await ok("create", "service", "clusterip", "web", "--tcp=80:8080"), /service\/web created/);
    assert.equal(
      await ok("get", "svc", "web", "-o", "jsonpath={.spec.ports[0]}"),
      '{"name":"80-8080","port":80,"protocol":"TCP","targetPort":8080}',
    );
    assert.match(await ok("create", "configmap", "c", "--from-literal=a=b"), /configmap\/c created/);
    assert.equal(await ok("get", "cm", "c", "-o", "jsonpath={.data.a}"), "b");
    const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "m" }, data: { a: "b" } };
    await ok("create", "-n", "shop", "-f", await file("map.json", map));
    assert.match(await ok("get", "cm", "-A"), /NAMESPACE +NAME +DATA +AGE\ndefault +c +1 +\d+s\nshop +m +1 /);
    assert.match(await ok("delete", "ns", "shop"), /namespace "shop" deleted/);
    assert.match(await ok("api-resources", "--api-group=apps"), /deployments +deploy +apps\/v1 +true +Deployment/);
  });
});
