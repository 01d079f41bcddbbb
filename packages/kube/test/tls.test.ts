import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { ManualClock } from "@elasti/core/testing";
import { type Cluster, createKubeClient, loadCluster, resources } from "../src/index.ts";
import { configMap } from "./scripted-server.ts";

/** A self-signed pair for kubernetes.test and 127.0.0.1, made for this test alone. */
const key = pem(
  "PRIVATE KEY",
  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwga7Kt5yvENM+Z/EiEwSGdDdTpKhDRsNJ4IQM0QtXquhRANCAATitTA9ilqBHKAQ+o8iO4X8deLxIh6nEPz3eMw+ywKpx2SyjN891UXh1QHDbX4jSj+j/Aes6NFXb2Bdu5DZPrPo",
);
const cert = pem(
  "CERTIFICATE",
  "MIIBcDCCARegAwIBAgIBATAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAtlbGFzdGktdGVzdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFjEUMBIGA1UEAwwLZWxhc3RpLXRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATitTA9ilqBHKAQ+o8iO4X8deLxIh6nEPz3eMw+ywKpx2SyjN891UXh1QHDbX4jSj+j/Aes6NFXb2Bdu5DZPrPoo1QwUjAPBgNVHRMBAf8EBTADAQH/MCAGA1UdEQQZMBeCD2t1YmVybmV0ZXMudGVzdIcEfwAAATAdBgNVHQ4EFgQUwlRycCJRnIyYrBIIyNFiCXLdvHwwCgYIKoZIzj0EAwIDRwAwRAIgGuIlCnpJZ3tVRPCUDE/I/Md3KAAL1lcQ9P9rL9i9PuMCICDeVHjV8AZrVJUeEasKxpUekvcN7uWMdrWT91zHKK8J",
);

/** Another such pair, for a server whose certificate is renewed. */
const newKey = pem(
  "PRIVATE KEY",
  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5MaM7kb2mJkwwExt5yW6R2K8A4Yt734IXMEiAFvDo7WhRANCAASkPzKtRvLL8StrBYQ1VzRAp7gK8Ny2lFowl1ZhsD16EmNWbFqj2AGXOwk0XFVAoYZkryuCskJQFI+kCgP3FoUg",
);
const newCert = pem(
  "CERTIFICATE",
  "MIIBqTCCAU+gAwIBAgIUDj+mHMFF75SKGfb2+RHuFiMnxkQwCgYIKoZIzj0EAwIwGDEWMBQGA1UEAwwNZWxhc3RpLXRlc3QtMjAgFw0yNjExMjExMTQ3NDFaGA8yMTI2MTAyODExNDc0MVowGDEWMBQGA1UEAwwNZWxhc3RpLXRlc3QtMjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKQ/Mq1G8svxK2sFhDVXNECnuArw3LaUWjCXVmGwPXoSY1ZsWqPYAZc7CTRcVUChhmSvK4KyQlAUj6QKA/cWhSCjdTBzMB0GA1UdDgQWBBQCGYrQkMBUjOIMvSKLo0cT9lrB1jAfBgNVHSMEGDAWgBQCGYrQkMBUjOIMvSKLo0cT9lrB1jAgBgNVHREEGTAXgg9rdWJlcm5ldGVzLnRlc3SHBH8AAAEwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiB11KI4wicctmDtRZclQnAWg6tOk/gcy/znfLDI46YregIhAP68Yp1xLT5F4R6odXGKr4Q6Ie7XFH5poP0vT9cR78xC",
);

function pem(label: string, base64: string): string {
  return `-----BEGIN ${label}-----\n${base64.match(/.{1,64}/g)!.join("\n")}\n-----END ${label}-----\n`;
}

let server: Server;
let port: number;
const peers: (string | undefined)[] = [];

before(async () => {
  server = createServer({ key, cert, ca: cert, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    peers.push((request.socket as TLSSocket).getPeerCertificate().subject?.CN?.toString());
    response.end(JSON.stringify(configMap("a", "1")));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});

after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function get(cluster: Partial<Cluster>): Promise<string> {
  const client = createKubeClient({
    cluster: { server: `https://127.0.0.1:${port}`, token: async () => "t", ...cluster },
  });
  try {
    return (await client.get(resources.configMaps, "default", "a")).metadata.name;
  } finally {
    await client.close();
  }
}

test("trusts the cluster's CA and shows the client certificate", async () => {
  assert.equal(await get({ ca: cert, cert, key }), "a");
  assert.equal(peers.at(-1), "elasti-test");
});

test("checks the certificate against the server name that is given", async () => {
  assert.equal(await get({ ca: cert, serverName: "kubernetes.test" }), "a");
  await assert.rejects(get({ ca: cert, serverName: "other.test" }), {
    code: "ELASTI_KUBE_UNAVAILABLE",
    message: /other/,
  });
});

test("refuses an unknown CA, unless told to skip the check", async () => {
  await assert.rejects(get({}), {
    code: "ELASTI_KUBE_UNAVAILABLE",
    details: { sent: false, reason: "DEPTH_ZERO_SELF_SIGNED_CERT" },
  });
  assert.equal(await get({ skipTLSVerify: true }), "a");
});

test("reads a CA that was renewed on disk when the server's certificate is another", async () => {
  const directory = await mkdtemp(join(tmpdir(), "elasti-tls-"));
  const caFile = join(directory, "ca.crt");
  await writeFile(caFile, cert);
  await writeFile(join(directory, "token"), "t");
  const path = join(directory, "config");
  const kubeconfig = {
    "current-context": "x",
    clusters: [{ name: "x", cluster: { server: `https://127.0.0.1:${port}`, "certificate-authority": "ca.crt" } }],
    contexts: [{ name: "x", context: { cluster: "x", user: "x" } }],
    users: [{ name: "x", user: { tokenFile: "token" } }],
  };
  await writeFile(path, JSON.stringify(kubeconfig));
  const clock = new ManualClock();
  const client = createKubeClient({ cluster: await loadCluster({ kubeconfigPath: path, clock }) });
  const ask = async () => (await client.get(resources.configMaps, "default", "a")).metadata.name;
  try {
    assert.equal(await ask(), "a");
    server.setSecureContext({ key: newKey, cert: newCert });
    server.closeAllConnections();
    await assert.rejects(ask(), { code: "ELASTI_KUBE_UNAVAILABLE", message: /certificate/ });
    await writeFile(caFile, newCert);
    // a minute is not over: the refusal alone leads to another look
    await clock.advance(1_000);
    assert.equal(await ask(), "a");
  } finally {
    await client.close();
    server.setSecureContext({ key, cert, ca: cert });
    await rm(directory, { recursive: true });
  }
});

test("fails the call, and nothing else, while a client certificate and its key do not belong together", async () => {
  let pair = { cert: newCert, key };
  const client = createKubeClient({
    cluster: {
      server: `https://127.0.0.1:${port}`,
      token: async () => undefined,
      certificates: async () => ({ ca: cert, ...pair }),
    },
  });
  const ask = async () => (await client.get(resources.configMaps, "default", "a")).metadata.name;
  try {
    await assert.rejects(ask(), { code: "ELASTI_KUBE_UNAVAILABLE", message: /key values mismatch/ });
    pair = { cert: "half of a fi", key };
    await assert.rejects(ask(), { code: "ELASTI_KUBE_UNAVAILABLE", message: /no start line/ });
    pair = { cert, key };
    assert.equal(await ask(), "a");
  } finally {
    await client.close();
  }
});

test("speaks HTTP/1.1 with a server that would rather have HTTP/2, as API servers would", async () => {
  const versions: string[] = [];
  const both = createSecureServer({ key, cert, allowHTTP1: true }, (request, response) => {
    versions.push(request.httpVersion);
    response.end(JSON.stringify(configMap("a", "1")));
  });
  await new Promise<void>((resolve) => both.listen(0, "127.0.0.1", resolve));
  try {
    const { port: at } = both.address() as AddressInfo;
    assert.equal(await get({ ca: cert, server: `https://127.0.0.1:${at}` }), "a");
    assert.deepEqual(versions, ["1.1"]);
  } finally {
    await new Promise((resolve) => both.close(resolve));
  }
});
