import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { inClusterOf, loadCluster } from "../src/index.ts";

let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "elasti-kubeconfig-"));
});

after(async () => {
  await rm(directory, { recursive: true });
});

const kubeconfig = `
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c1
  cluster: {server: "https://127.0.0.1:6443/", certificate-authority-data: ${Buffer.from("CA").toString("base64")}, tls-server-name: kube}
- name: c2
  cluster: {server: "http://127.0.0.1:8001", insecure-skip-tls-verify: true}
contexts:
- name: one
  context: {cluster: c1, user: u1, namespace: team}
- name: two
  context: {cluster: c2, user: u2}
- name: three
  context: {cluster: c2, user: u3}
- name: lost
  context: {cluster: nowhere, user: u3}
users:
- name: u1
  user: {client-certificate: cert.pem, client-key-data: ${Buffer.from("KEY").toString("base64")}}
- name: u2
  user: {tokenFile: token}
- name: u3
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: ${process.execPath}
      args: ["-e", "console.log(JSON.stringify({status:{token:'from-exec'}}))"]
`;

test("reads contexts, certificates, token files and exec programs of a kubeconfig", async () => {
  const path = join(directory, "config");
  await writeFile(path, kubeconfig);
  await writeFile(join(directory, "cert.pem"), "CERT");
  await writeFile(join(directory, "token"), "from-file\n");
  const one = await loadCluster({ kubeconfigPath: path });
  assert.deepEqual(
    [one.server, one.ca, one.cert, one.key, one.serverName, one.namespace],
    ["https://127.0.0.1:6443", "CA", "CERT", "KEY", "kube", "team"],
  );
  assert.equal(await one.token(), undefined);
  const two = await loadCluster({ kubeconfigPath: path, context: "two" });
  assert.deepEqual([two.server, two.skipTLSVerify, await two.token()], ["http://127.0.0.1:8001", true, "from-file"]);
  assert.equal(await (await loadCluster({ kubeconfigPath: path, context: "three" })).token(), "from-exec");
});

test("a kubeconfig in JSON needs no YAML reader", async () => {
  const path = join(directory, "config.json");
  const json = {
    "current-context": "x",
    clusters: [{ name: "x", cluster: { server: "http://127.0.0.1:1" } }],
    contexts: [{ name: "x", context: { cluster: "x", user: "x" } }],
    users: [{ name: "x", user: { token: "t" } }],
  };
  await writeFile(path, JSON.stringify(json));
  assert.equal(await (await loadCluster({ kubeconfigPath: path })).token(), "t");
});

test("says what is wrong with a kubeconfig", async () => {
  const path = join(directory, "config");
  await writeFile(path, kubeconfig);
  const cases: [Parameters<typeof loadCluster>[0], RegExp][] = [
    [{ kubeconfigPath: join(directory, "missing") }, /cannot be read/],
    [{ kubeconfigPath: path, context: "none" }, /no context "none": it has one, two, three, lost/],
    [{ kubeconfigPath: path, context: "lost" }, /the cluster "nowhere"/],
  ];
  for (const [options, message] of cases) {
    await assert.rejects(loadCluster(options), { code: "ELASTI_KUBE_BAD_KUBECONFIG", message });
  }
});

test("in a cluster, the token is read again at most once a minute, and kept when that fails", async () => {
  const clock = new ManualClock();
  const account = join(directory, "serviceaccount");
  await mkdir(account);
  await writeFile(join(account, "ca.crt"), "CA");
  await writeFile(join(account, "namespace"), "elasti\n");
  await writeFile(join(account, "token"), "first\n");
  const cluster = await loadCluster({ inCluster: { host: "fd00::1", port: "443", directory: account }, clock });
  assert.deepEqual([cluster.server, cluster.ca, cluster.namespace], ["https://[fd00::1]:443", "CA", "elasti"]);
  await writeFile(join(account, "token"), "second");
  await clock.advance(59_000);
  assert.equal(await cluster.token(), "first");
  await clock.advance(1_000);
  assert.deepEqual(await Promise.all([cluster.token(), cluster.token()]), ["second", "second"]);
  await writeFile(join(account, "token"), "third");
  cluster.refused?.();
  await clock.advance(999);
  assert.equal(await cluster.token(), "second");
  await clock.advance(1);
  assert.equal(await cluster.token(), "third");
  await writeFile(join(account, "token"), "second");
  await clock.advance(60_000);
  assert.equal(await cluster.token(), "second");
  await rm(join(account, "token"));
  await clock.advance(60_000);
  assert.equal(await cluster.token(), "second");
  await writeFile(join(account, "ca.crt"), "CA 2");
  await clock.advance(60_000);
  assert.deepEqual(await cluster.certificates?.(), { ca: "CA 2" });
  assert.equal(inClusterOf({}), undefined);
  assert.deepEqual(inClusterOf({ KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" }), {
    host: "10.0.0.1",
    port: "443",
  });
});

test("importing this package does not load the generated API types", () => {
  const script = `
    const urls = [];
    (await import("node:module")).registerHooks({
      resolve(specifier, context, next) {
        const resolved = next(specifier, context);
        urls.push(resolved.url);
        return resolved;
      },
    });
    await import("@elasti/kube");
    console.log(JSON.stringify(urls.filter((url) => url.includes("client-node"))));`;
  const node = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });
  assert.equal(node.status, 0, node.stderr);
  const loaded = (JSON.parse(node.stdout) as string[]).map((url) => url.replace(/.*client-node\//, ""));
  assert.deepEqual(loaded, ["dist/config_types.js"]);
});
