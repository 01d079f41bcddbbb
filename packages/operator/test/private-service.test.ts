import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ElastiService, PARK_KEY, PARK_VALUE, privateServiceName } from "@elasti/api";
import type { Service } from "@elasti/kube";
import {
  deletePrivateService,
  desiredPrivateService,
  ensurePrivateService,
  needsRecreate,
  privateServiceMatches,
} from "../src/controller/private-service.ts";
import { MemoryKube } from "./kit/kube.ts";

const es: ElastiService = {
  apiVersion: "elasti.truefoundry.com/v1alpha1",
  kind: "ElastiService",
  metadata: { name: "web-es", namespace: "shop", uid: "uid-es" },
  spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
};
const ports = [
  { name: "http", port: 80, targetPort: "http", nodePort: 30_000, appProtocol: "http" },
  { name: "admin", port: 90 },
];
const publicService: Service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: {
    name: "web",
    namespace: "shop",
    labels: { "argocd.argoproj.io/instance": "shop", team: "a" },
    annotations: { "prometheus.io/scrape": "true" },
  },
  spec: { type: "NodePort", clusterIP: "10.96.0.7", selector: { app: "web", [PARK_KEY]: PARK_VALUE }, ports },
};
const name = privateServiceName("web");
const key = `shop/${name}`;
const desired = desiredPrivateService(es, publicService, ports);
const owner = desired.metadata.ownerReferences!;

describe("desiredPrivateService", () => {
  it("carries the live selector and the ports, and nothing else of the user's", () => {
    assert.deepEqual(desired, {
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name,
        namespace: "shop",
        labels: { "elasti.truefoundry.com/service": "web" },
        ownerReferences: [
          {
            apiVersion: "elasti.truefoundry.com/v1alpha1",
            kind: "ElastiService",
            name: "web-es",
            uid: "uid-es",
            controller: true,
          },
        ],
      },
      spec: {
        type: "ClusterIP",
        clusterIP: "None",
        selector: { app: "web" },
        ports: [
          { name: "http", port: 80, targetPort: "http", protocol: "TCP", appProtocol: "http" },
          { name: "admin", port: 90, targetPort: 90, protocol: "TCP" },
        ],
      },
    });
  });
});

describe("ensurePrivateService", () => {
  it("makes it once, and writes nothing while it is right", async () => {
    const kube = new MemoryKube();
    const made = await ensurePrivateService(kube, undefined, desired);
    assert.ok(privateServiceMatches(made, desired));
    const defaulted = structuredClone(made);
    Object.assign(defaulted.spec, { sessionAffinity: "None", internalTrafficPolicy: "Cluster", clusterIPs: ["None"] });
    assert.equal(await ensurePrivateService(kube, defaulted, desired), defaulted);
    assert.deepEqual(kube.writes, [`create services ${key}`]);
  });

  it("corrects selector, ports, label and owner, and keeps what others added", async () => {
    const kube = new MemoryKube();
    const wrong = structuredClone(desired);
    wrong.spec.selector = { app: "old", gone: "1" };
    wrong.spec.ports = [{ name: "http", port: 80 }];
    wrong.metadata.labels = { other: "x", "elasti.truefoundry.com/service": "web" };
    wrong.metadata.ownerReferences = [
      { ...owner[0]!, uid: "uid-of-a-former-one" },
      { apiVersion: "v1", kind: "ConfigMap", name: "c", uid: "uid-c" },
    ];
    const existing = kube.put("services", wrong);
    const written = await ensurePrivateService(kube, existing, desired);
    assert.deepEqual(written.spec.selector, { app: "web" });
    assert.deepEqual(written.metadata.labels, { other: "x", "elasti.truefoundry.com/service": "web" });
    assert.deepEqual(
      written.metadata.ownerReferences?.map(({ uid }) => uid),
      ["uid-c", "uid-es"],
    );
    assert.deepEqual(kube.writes, [`replace services ${key}`]);
  });

  it("recreates KubeElasti's, which has a cluster IP", async () => {
    const kube = new MemoryKube();
    const old = structuredClone(desired);
    old.spec.clusterIP = "10.96.0.99";
    delete old.metadata.labels;
    const existing = kube.put("services", old);
    assert.ok(needsRecreate(existing));
    assert.equal((await ensurePrivateService(kube, existing, desired)).spec.clusterIP, "None");
    assert.deepEqual(kube.writes, [`delete services ${key}`, `create services ${key}`]);
  });

  it("keeps KubeElasti's with its address for as long as it is told to", async () => {
    const kube = new MemoryKube();
    const old = structuredClone(desired);
    old.spec.clusterIP = "10.96.0.99";
    delete old.metadata.labels;
    const kept = await ensurePrivateService(kube, kube.put("services", old), desired, false);
    assert.equal(kept.spec.clusterIP, "10.96.0.99");
    assert.deepEqual(kept.metadata.labels, desired.metadata.labels);
    assert.equal(await ensurePrivateService(kube, kept, desired, false), kept);
    assert.deepEqual(kube.writes, [`replace services ${key}`]);
  });

  it("leaves somebody else's alone", async () => {
    const kube = new MemoryKube();
    const foreign = structuredClone(desired);
    foreign.metadata.ownerReferences = [];
    delete foreign.metadata.labels;
    const existing = kube.put("services", foreign);
    await assert.rejects(ensurePrivateService(kube, existing, desired), { code: "ELASTI_PRIVATE_SERVICE_TAKEN" });
    assert.deepEqual(kube.writes, []);
  });

  it("passes a conflict on", async () => {
    const kube = new MemoryKube();
    const existing = kube.put("services", { ...structuredClone(desired), spec: { clusterIP: "None" } } as Service);
    kube.put("services", existing);
    await assert.rejects(ensurePrivateService(kube, existing, desired), { code: "ELASTI_KUBE_CONFLICT" });
  });

  it("is content when what it deletes is gone already", async () => {
    const kube = new MemoryKube();
    await deletePrivateService(kube, desired);
  });
});
