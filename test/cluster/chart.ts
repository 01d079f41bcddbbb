import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@elasti/core";
import {
  createKubeClient,
  isNotFound,
  type KubeClient,
  type KubeObject,
  loadCluster,
  Reflector,
  type Resource,
  resources,
} from "@elasti/kube";
import { parse, stringify } from "yaml";
import type { Installer } from "../e2e/world.ts";
import { elastiImages } from "./elasti-images.ts";
import { chartFolder, Helm } from "./helm.ts";

export type Values = Readonly<Record<string, unknown>>;

/** Settings that let a whole cycle pass in about a second, as the values of the chart have them. */
export const fastValues = {
  operator: {
    settings: {
      pollingInterval: "300ms",
      scrapeInterval: "200ms",
      rescale: "2s",
      leaseDuration: "3s",
      leaseRenewDeadline: "2500ms",
      leaseRetry: "250ms",
      kubeTimeout: "2500ms",
    },
  },
  resolver: { settleSeconds: 3, longestHoldSeconds: 280 },
} as const;

/** Labels of a namespace in which Kubernetes refuses every pod that wants more than the restricted level of pod security. */
export const restricted = {
  "pod-security.kubernetes.io/enforce": "restricted",
  "pod-security.kubernetes.io/enforce-version": "latest",
};

const secretResource: Resource = { group: "", version: "v1", plural: "secrets", kind: "Secret", namespaced: true };

/** What a release has in common with others of the same test. */
export interface ReleaseOptions {
  readonly namespace: string;
  /** Later ones over earlier ones. */
  readonly values: Values | readonly Values[];
  /** Labels of the namespace, as for pod security. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Secrets that the values name, by name: each with its keys. */
  readonly secrets?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** The chart of this repository on a cluster, with images built of its sources. */
export class Release implements Installer {
  readonly name = "elasti";
  readonly namespace: string;
  readonly helm: Helm;
  readonly #options: ReleaseOptions;

  constructor(options: ReleaseOptions) {
    this.#options = options;
    this.namespace = options.namespace;
    const { ELASTI_TEST_HELM: program, ELASTI_TEST_KUBECONFIG: kubeconfig } = process.env;
    if (program === undefined) throw new Error("ELASTI_TEST_HELM names no helm: run this by npm run test:cluster");
    this.helm = new Helm(program, kubeconfig);
  }

  async install(): Promise<void> {
    const { namespace, labels = {}, secrets = {} } = this.#options;
    await createNamespace(namespace, labels);
    for (const [name, stringData] of Object.entries(secrets))
      await asAdministrator((client) =>
        client.create(secretResource, {
          apiVersion: "v1",
          kind: "Secret",
          metadata: { name, namespace },
          stringData,
        } as KubeObject),
      );
    await this.#apply("install", chartFolder, {});
  }

  /** Hands its values to somebody who calls helm himself, as arguments. */
  async withItsValues<T>(use: (args: string[]) => Promise<T>): Promise<T> {
    return await withValues([await imageValues(), this.#options.values].flat(), use);
  }

  /** @param more values over those of the release @param chart folder of the chart */
  async upgrade(more: Values = {}, chart: string = chartFolder): Promise<void> {
    await this.#apply("upgrade", chart, more);
  }

  async rollback(): Promise<void> {
    await this.helm.run("rollback", this.name, "--namespace", this.namespace, "--wait", "--timeout=120s");
  }

  /** Idempotent. */
  async uninstall(): Promise<void> {
    const args = ["--namespace", this.namespace, "--ignore-not-found", "--wait", "--timeout=180s"];
    await this.helm.run("uninstall", this.name, ...args);
  }

  /** All objects of the release, those of its hooks too. */
  async objects(): Promise<KubeObject[]> {
    const place = [this.name, "--namespace", this.namespace];
    const texts = [await this.helm.run("get", "manifest", ...place), await this.helm.run("get", "hooks", ...place)];
    return texts.flatMap(documents);
  }

  async #apply(verb: "install" | "upgrade", chart: string, more: Values): Promise<void> {
    const args = [verb, this.name, chart, "--namespace", this.namespace, "--wait", "--timeout=120s"];
    const images = await imageValues();
    await withValues([images, this.#options.values, more].flat(), (files) => this.helm.run(...args, ...files));
  }
}

/** Does something as the administrator of the cluster of the tests. */
async function asAdministrator(act: (client: KubeClient) => Promise<unknown>): Promise<void> {
  const cluster = await loadCluster({ kubeconfigPath: process.env.ELASTI_TEST_KUBECONFIG ?? "" });
  const client = createKubeClient({ cluster });
  try {
    await act(client);
  } finally {
    await client.close();
  }
}

/** Makes a namespace. */
export async function createNamespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
  const metadata = { name, labels: { ...labels } };
  await asAdministrator((client) =>
    client.create(resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata }),
  );
}

/** Takes away the definition that another test left, of which no object is left: the next release makes its own. */
export async function removeDefinition(name: string): Promise<void> {
  await asAdministrator(async (client) => {
    const { customResourceDefinitions: crds } = resources;
    if (await isThere(client.delete(crds, undefined, name))) await gone(client, crds, name, 30_000);
  });
}

/** Resolves once a namespace is gone that something else has deleted. */
export async function namespaceGone(name: string): Promise<void> {
  await asAdministrator((client) => gone(client, resources.namespaces, name, 120_000));
}

async function gone(client: KubeClient, resource: Resource, name: string, timeoutMs: number): Promise<void> {
  const fieldSelector = `metadata.name=${name}`;
  const watch = new Reflector({ client, clock: systemClock, logger: silentLogger, resource, fieldSelector });
  try {
    await watch.start();
    await watch.store.until((store) => (store.size === 0 ? true : undefined), AbortSignal.timeout(timeoutMs));
  } finally {
    await watch.close();
  }
}

/** The objects of a manifest. */
export function documents(text: string): KubeObject[] {
  return text
    .split(/^---$/m)
    .map((part) => parse(part) as KubeObject | null)
    .filter((object) => object !== null);
}

/** Hands values to helm as files, later ones over earlier ones. */
export async function withValues<T>(all: readonly Values[], use: (args: string[]) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "elasti-values-"));
  try {
    const files = await Promise.all(
      all.map(async (values, index) => {
        const file = join(folder, `${index}.json`);
        await writeFile(file, JSON.stringify(values));
        return `--values=${file}`;
      }),
    );
    return await use(files);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * A copy of the chart that passes for the one before: the same templates under a lower version, which the labels of its pods show, so
 * that an upgrade from it replaces every pod.
 */
export async function asPreviousChart<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const parent = await mkdtemp(join(tmpdir(), "elasti-chart-"));
  const folder = join(parent, "elasti");
  try {
    await cp(chartFolder, folder, { recursive: true });
    const file = join(folder, "Chart.yaml");
    const about = parse(await readFile(file, "utf8")) as Record<string, unknown>;
    await writeFile(file, stringify({ ...about, version: "0.0.1" }));
    return await use(folder);
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

async function imageValues(): Promise<Values> {
  const images = await elastiImages();
  const of = (reference: string) => {
    const [repository, tag] = reference.split(":");
    return { repository, tag };
  };
  return { image: { operator: of(images.operator), resolver: of(images.resolver) } };
}

/** Whether an object is there. */
export async function isThere(look: Promise<unknown>): Promise<boolean> {
  try {
    await look;
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
