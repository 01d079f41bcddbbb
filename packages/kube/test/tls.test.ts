import assert from "node:assert/strict";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { type Cluster, createKubeClient, resources } from "../src/index.ts";
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
