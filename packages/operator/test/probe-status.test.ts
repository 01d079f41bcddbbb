import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ProbeStatus } from "@elasti/api";
import type { Container, PodSpec, PodTemplate, Probe } from "@elasti/kube";
import { probeStatusOf } from "../src/controller/probe-status.ts";

const app = (fields: Partial<Container> = {}): Container => ({
  name: "app",
  ports: [
    { name: "http", containerPort: 8080 },
    { name: "admin", containerPort: 9090 },
  ],
  ...fields,
});
const template = (
  container: Container,
  spec: Partial<PodSpec> = {},
  metadata?: PodTemplate["metadata"],
): PodTemplate => ({
  ...(metadata === undefined ? {} : { metadata }),
  spec: { containers: [container], ...spec },
});
const http: Probe = { httpGet: { path: "/ready", port: 8080 } };
const ready: ProbeStatus = { wait: "Ready" };
const httpCheck = { type: "http", port: 8080, path: "/ready", scheme: "HTTP", timeoutSeconds: 1 } as const;

describe("probeStatusOf", () => {
  const readinessTable: [name: string, probe: Probe, expected: ProbeStatus][] = [
    ["http", http, { wait: "Probe", readiness: httpCheck }],
    [
      "http with everything",
      {
        httpGet: {
          path: "x?y=1",
          port: "admin",
          scheme: "HTTPS",
          httpHeaders: [{ name: "Host", value: "web.example" }],
        },
        timeoutSeconds: 4,
        initialDelaySeconds: 30,
        periodSeconds: 60,
      },
      {
        wait: "Probe",
        readiness: {
          type: "http",
          port: 9090,
          path: "/x?y=1",
          scheme: "HTTPS",
          headers: [{ name: "Host", value: "web.example" }],
          timeoutSeconds: 4,
        },
      },
    ],
    ["http without a path", { httpGet: { port: "http" } }, { wait: "Probe", readiness: { ...httpCheck, path: "/" } }],
    [
      "http on a number as text",
      { httpGet: { path: "/ready", port: "8080" } },
      { wait: "Probe", readiness: httpCheck },
    ],
    ["http on an unknown name", { httpGet: { port: "nothing" } }, ready],
    ["http on no real port", { httpGet: { port: 0 } }, ready],
    ["http with a host of its author", { httpGet: { port: 8080, host: "10.0.0.1" } }, ready],
    [
      "http with an empty host",
      { httpGet: { path: "/ready", port: 8080, host: "" } },
      { wait: "Probe", readiness: httpCheck },
    ],
    [
      "http with a secret header",
      { httpGet: { port: 8080, httpHeaders: [{ name: "AUTHORIZATION", value: "Bearer x" }] } },
      ready,
    ],
    ["http with an unknown scheme", { httpGet: { port: 8080, scheme: "H3" } }, ready],
    [
      "tcp",
      { tcpSocket: { port: "http" } },
      { wait: "Probe", readiness: { type: "tcp", port: 8080, timeoutSeconds: 1 } },
    ],
    ["tcp with a host of its author", { tcpSocket: { port: 8080, host: "db" } }, ready],
    ["tcp on an unknown name", { tcpSocket: { port: "nothing" } }, ready],
    ["grpc", { grpc: { port: 50 } }, { wait: "Probe", readiness: { type: "grpc", port: 50, timeoutSeconds: 1 } }],
    [
      "grpc of a service",
      { grpc: { port: 50, service: "shop" }, timeoutSeconds: 0 },
      { wait: "Probe", readiness: { type: "grpc", port: 50, service: "shop", timeoutSeconds: 1 } },
    ],
    ["exec", { exec: { command: ["true"] } }, ready],
    ["more than one success", { ...http, successThreshold: 2 }, ready],
    ["one success", { ...http, successThreshold: 1 }, { wait: "Probe", readiness: httpCheck }],
    ["none of the kinds", {}, ready],
  ];
  for (const [name, readinessProbe, expected] of readinessTable) {
    it(`readiness: ${name}`, () => assert.deepEqual(probeStatusOf(template(app({ readinessProbe }))), expected));
  }

  const podTable: [name: string, template: PodTemplate | undefined, expected: ProbeStatus][] = [
    ["no template", undefined, ready],
    ["no probes", template(app()), { wait: "Connect" }],
    ["only a liveness probe", template(app({ livenessProbe: http })), { wait: "Connect" }],
    [
      "readiness and startup",
      template(app({ readinessProbe: http, startupProbe: { tcpSocket: { port: 9090 } } })),
      { wait: "Probe", readiness: httpCheck, startup: { type: "tcp", port: 9090, timeoutSeconds: 1 } },
    ],
    ["startup alone", template(app({ startupProbe: http })), { wait: "Probe", startup: httpCheck }],
    [
      "a startup probe that runs a command",
      template(app({ readinessProbe: http, startupProbe: { exec: { command: ["a"] } } })),
      ready,
    ],
    ["readiness gates", template(app({ readinessProbe: http }), { readinessGates: [{ conditionType: "x/y" }] }), ready],
    [
      "no readiness gates",
      template(app({ readinessProbe: http }), { readinessGates: [] }),
      { wait: "Probe", readiness: httpCheck },
    ],
    [
      "two containers, one probed",
      template(app(), { containers: [app(), { name: "b", readinessProbe: http }] }),
      { wait: "Probe", readiness: httpCheck },
    ],
    [
      "two probed containers",
      template(app(), { containers: [app({ readinessProbe: http }), { name: "b", readinessProbe: http }] }),
      ready,
    ],
    [
      "a probed sidecar beside",
      template(app({ readinessProbe: http }), {
        initContainers: [{ name: "s", restartPolicy: "Always", startupProbe: http }],
      }),
      ready,
    ],
    [
      "an init container that ends",
      template(app({ readinessProbe: http }), { initContainers: [{ name: "istio-init", readinessProbe: http }] }),
      { wait: "Probe", readiness: httpCheck },
    ],
    [
      "istio as container",
      template(app(), { containers: [app({ readinessProbe: http }), { name: "istio-proxy" }] }),
      ready,
    ],
    ["linkerd as container", template(app(), { containers: [app(), { name: "linkerd-proxy" }] }), ready],
    [
      "istio as sidecar",
      template(app(), { initContainers: [{ name: "istio-proxy", restartPolicy: "Always" }] }),
      ready,
    ],
    [
      "linkerd as sidecar",
      template(app({ readinessProbe: http }), { initContainers: [{ name: "linkerd-proxy", restartPolicy: "Always" }] }),
      ready,
    ],
    ["istio by label", template(app(), {}, { labels: { "sidecar.istio.io/inject": "true" } }), ready],
    ["linkerd by annotation", template(app(), {}, { annotations: { "linkerd.io/inject": "enabled" } }), ready],
    [
      "istio switched off",
      template(app(), {}, { labels: { "sidecar.istio.io/inject": "false" } }),
      { wait: "Connect" },
    ],
  ];
  for (const [name, pod, expected] of podTable) {
    it(`pod: ${name}`, () => assert.deepEqual(probeStatusOf(pod), expected));
  }

  it("knows meshes that the namespace switches on, unless the pod says otherwise", () => {
    const namespace = [{ "linkerd.io/inject": "enabled" }];
    assert.deepEqual(probeStatusOf(template(app()), namespace), ready);
    const off = template(app(), {}, { annotations: { "linkerd.io/inject": "disabled" } });
    assert.deepEqual(probeStatusOf(off, namespace), { wait: "Connect" });
  });
});
