import type { Deployment, Probe, Service } from "@elasti/kube";
import { sampleAppPath } from "../node/sample-app.ts";

export interface SampleAppOptions {
  readonly name: string;
  /** `default` where left out. */
  readonly namespace?: string;
  /** 0 by default: asleep. */
  readonly replicas?: number;
  /** How long a process works before it listens. */
  readonly startMs?: number;
  readonly readinessPeriodSeconds?: number;
  /** False for a target that is Ready as soon as its container runs. */
  readonly readinessProbe?: boolean;
  /** Port of the Service; above 1023, so that no root is needed. */
  readonly port?: number;
  readonly containerPort?: number;
  readonly terminationGracePeriodSeconds?: number;
}

/** The sample app as a Deployment of local processes and the Service in front of it. */
export function sampleAppManifests(options: SampleAppOptions): { deployment: Deployment; service: Service } {
  const { name, namespace = "default", replicas = 0, startMs = 0, port = 8080, containerPort = 8080 } = options;
  const readinessProbe: Probe = {
    httpGet: { path: "/healthz", port: containerPort },
    periodSeconds: options.readinessPeriodSeconds ?? 1,
  };
  const labels = { app: name };
  const deployment: Deployment = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace, labels },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: options.terminationGracePeriodSeconds ?? 5,
          containers: [
            {
              name: "app",
              image: "elasti-sample-app:local",
              command: [process.execPath, sampleAppPath],
              env: [
                { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
                { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
                { name: "PORT", value: String(containerPort) },
                { name: "START_MS", value: String(startMs) },
              ],
              ports: [{ name: "http", containerPort }],
              ...(options.readinessProbe === false ? {} : { readinessProbe }),
            },
          ],
        },
      },
    },
  };
  const service: Service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace, labels },
    spec: { selector: labels, ports: [{ name: "http", port, targetPort: containerPort, protocol: "TCP" }] },
  };
  return { deployment, service };
}
