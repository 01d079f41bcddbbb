import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { API_VERSION, type ElastiService, elastiServiceCrd, KIND, paths } from "@elasti/api";
import { createKubeClient, type KubeClient, type KubeObject, resources } from "@elasti/kube";
import { type ApiServer, startApiServer } from "@elasti/local";

const program = join(import.meta.dirname, "..", "..", "packages", "operator", "bin", "elasti-operator.mjs");
const account = "system:serviceaccount:elasti:elasti-operator";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** One operator process from before there is a cluster to after it has become another; it must never end by itself. */
describe("an operator whose cluster cannot be used", () => {
  let folder: string;
  let apiPort: number;
  let port: number;
  let operator: ChildProcess;
  let output = "";
  let door: http.Server | undefined;
  /** The token that the door knows, and how often it saw another. */
  let accepted = "first";
  let refused = 0;
  let api: ApiServer | undefined;
  let client: KubeClient | undefined;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "elasti-unreachable-"));
    apiPort = await freePort();
    port = await freePort();
    await writeFile(join(folder, "token"), "first");
    const kubeconfig = {
      "current-context": "x",
      clusters: [{ name: "x", cluster: { server: `http://127.0.0.1:${apiPort}` } }],
      contexts: [{ name: "x", context: { cluster: "x", user: "x" } }],
      users: [{ name: "x", user: { tokenFile: "token" } }],
    };
    await writeFile(join(folder, "config"), JSON.stringify(kubeconfig));
    operator = spawn(process.execPath, [program], {
      env: {
        POD_NAME: "operator-0",
        POD_NAMESPACE: "elasti",
        KUBECONFIG: join(folder, "config"),
        ELASTI_BIND_ADDRESS: "127.0.0.1",
        ELASTI_OPERATOR_PORT: String(port),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [operator.stdout, operator.stderr])
      stream?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  });
  after(async () => {
    const ended = operator.exitCode === null ? once(operator, "close") : undefined;
    operator.kill("SIGKILL");
    await ended;
    await client?.close();
    door?.closeAllConnections();
    door?.close();
    await api?.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** What /readyz answers, once it fits. */
  async function readiness(fits: (status: number, text: string) => boolean): Promise<string> {
    let last = "nothing";
    for (const end = Date.now() + 45_000; Date.now() < end; await pause(100)) {
      assert.equal(operator.exitCode, null, output);
      const answer = await fetch(`http://127.0.0.1:${port}${paths.ready}`).catch(() => undefined);
      if (answer === undefined) continue;
      last = await answer.text();
      if (fits(answer.status, last)) return last;
    }
    throw new Error(`/readyz last said ${last}\n${output}`);
  }

  /** Serves on the port of the kubeconfig, behind a door that knows one token at a time. */
  async function serve(): Promise<void> {
    api = await startApiServer({ tokens: { inside: account } });
    client = createKubeClient({ cluster: { server: api.url, token: async () => "inside" } });
    await client.create(resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "elasti" } });
    const target = new URL(api.url);
    door = http.createServer((request, response) => {
      if (request.headers.authorization !== `Bearer ${accepted}`) {
        refused += 1;
        const status = { kind: "Status", apiVersion: "v1", status: "Failure", code: 401, message: "Unauthorized" };
        response.writeHead(401, { "content-type": "application/json" }).end(JSON.stringify(status));
        return;
      }
      const { method, url, headers } = request;
      const upstream = http.request({
        host: target.hostname,
        port: target.port,
        method,
        path: url,
        headers: { ...headers, authorization: "Bearer inside" },
      });
      upstream.on("response", (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders();
        answer.on("error", () => response.destroy()).pipe(response);
      });
      upstream.on("error", () => response.destroy());
      response.on("close", () => upstream.destroy());
      request.pipe(upstream);
    });
    await new Promise<void>((resolve) => door?.listen(apiPort, "127.0.0.1", resolve));
  }

  /** An ElastiService that the operator has seen and written to. */
  async function looksAfter(name: string): Promise<void> {
    await client!.create(resources.elastiServices, {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: { name, namespace: "default" },
      spec: { service: name, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name } },
    } as KubeObject);
    for (const end = Date.now() + 45_000; Date.now() < end; await pause(100)) {
      const es = await client!.get<ElastiService & KubeObject>(resources.elastiServices, "default", name);
      if (es.status?.phase === "Degraded") return;
    }
    throw new Error(`nobody looks after ${name}\n${output}`);
  }

  it("waits for one that does not answer: not ready, clear, and without a stream of attempts", async () => {
    const said = await readiness((status, text) => status === 503 && text.includes("ECONNREFUSED"));
    assert.match(
      said,
      /elastiServices not listed yet: list elastiservices\.elasti\.truefoundry\.com: connect ECONNREFUSED/,
    );
    assert.match(output, /"error":"list services: connect ECONNREFUSED/);
    const before = output.length;
    await pause(2_000);
    const lines = output.slice(before).split("\n").length;
    assert.ok(lines < 60, `${lines} lines in two seconds`);
    assert.equal(operator.exitCode, null);
  });

  it("says which kind a cluster does not serve, and begins when it is installed", async () => {
    await serve();
    const said = await readiness((status, text) => status === 503 && text.includes("does not serve"));
    assert.match(
      said,
      /elastiServices not listed yet: .* \(the API server does not serve this kind: is it installed\?\)/,
    );
    await client!.create(resources.customResourceDefinitions, elastiServiceCrd() as unknown as KubeObject);
    await readiness((status) => status === 200);
    await looksAfter("early");
  });

  it("goes on with a token that was renewed on disk", async () => {
    accepted = "second";
    // the watches come back with the token that has expired
    door?.closeAllConnections();
    for (const end = Date.now() + 20_000; refused === 0 && Date.now() < end; ) await pause(50);
    assert.notEqual(refused, 0);
    assert.equal(operator.exitCode, null);
    await writeFile(join(folder, "token"), "second");
    await looksAfter("late");
    await readiness((status) => status === 200);
  });
});
