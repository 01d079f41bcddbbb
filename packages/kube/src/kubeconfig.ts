import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type Clock, errorText, systemClock } from "@elasti/core";
import { newClusters, newContexts, newUsers, type User } from "@kubernetes/client-node/dist/config_types.js";
import type { Certificates, Cluster } from "./cluster.ts";
import { kubeErrors } from "./errors.ts";
import { RenewedFile } from "./token-source.ts";

// Only the leaf modules of @kubernetes/client-node are imported: its index and its config.js pull in every API type (+79 MB
// RSS, 0.2 to 0.4 s), config_types.js costs 2 MB. Its YAML reader (+27 MB) is loaded only for a kubeconfig that is not JSON.

/** Where a pod finds its API server, its token and the CA. */
export interface InCluster {
  readonly host: string;
  readonly port: string;
  /** Directory of the service account's files. */
  readonly directory?: string;
}

const serviceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";

/** What the environment of a process says about running inside a cluster, or undefined outside of one. */
export function inClusterOf(env: Readonly<Record<string, string | undefined>>): InCluster | undefined {
  const host = env.KUBERNETES_SERVICE_HOST;
  const port = env.KUBERNETES_SERVICE_PORT;
  return host === undefined || host === "" || port === undefined || port === "" ? undefined : { host, port };
}

export interface LoadClusterOptions {
  /** Wins over `inCluster`; without either, `~/.kube/config`. */
  kubeconfigPath?: string | undefined;
  /** Context of the kubeconfig; its current one where left out. */
  context?: string | undefined;
  inCluster?: InCluster | undefined;
  clock?: Clock;
}

/**
 * Reads where the API server is and how to authenticate.
 * @throws ELASTI_KUBE_BAD_KUBECONFIG that says what is missing or not supported
 */
export async function loadCluster(options: LoadClusterOptions = {}): Promise<Cluster> {
  const { kubeconfigPath, context, inCluster, clock = systemClock } = options;
  if (kubeconfigPath === undefined && inCluster !== undefined) return await loadInCluster(inCluster, clock);
  const path = kubeconfigPath ?? join(homedir(), ".kube", "config");
  const text = await read(path, "kubeconfig");
  try {
    return await clusterOf(await parse(text), dirname(path), context, clock);
  } catch (error) {
    throw bad(`kubeconfig ${path}: ${errorText(error)}`, error);
  }
}

async function loadInCluster(where: InCluster, clock: Clock): Promise<Cluster> {
  const { host, port, directory = serviceAccountDirectory } = where;
  const token = new RenewedFile(join(directory, "token"), "token", clock);
  const ca = new RenewedFile(join(directory, "ca.crt"), "CA of the cluster:", clock);
  await token.text();
  const namespace = await readFile(join(directory, "namespace"), "utf8").catch(() => undefined);
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    ca: await ca.text(),
    certificates: async () => ({ ca: await ca.text() }),
    refused: () => refuse([token, ca]),
    namespace: namespace?.trim(),
    token: () => token.text(),
  };
}

const refuse = (files: readonly (RenewedFile | undefined)[]): void => {
  for (const file of files) file?.refused();
};

interface Parsed {
  readonly clusters?: unknown;
  readonly contexts?: unknown;
  readonly users?: { name?: string; user?: { tokenFile?: string } }[];
  readonly "current-context"?: string;
}

async function parse(text: string): Promise<Parsed> {
  if (text.trimStart().startsWith("{")) return JSON.parse(text) as Parsed;
  const { loadYaml } = await import("@kubernetes/client-node/dist/yaml.js");
  return loadYaml<Parsed>(text);
}

async function clusterOf(parsed: Parsed, directory: string, named: string | undefined, clock: Clock): Promise<Cluster> {
  const contextName = named ?? parsed["current-context"];
  if (contextName === undefined || contextName === "") throw new Error("no current-context");
  const contexts = newContexts(parsed.contexts);
  const context = contexts.find(({ name }) => name === contextName);
  if (context === undefined) {
    throw new Error(`no context "${contextName}": it has ${contexts.map(({ name }) => name).join(", ") || "none"}`);
  }
  const cluster = newClusters(parsed.clusters).find(({ name }) => name === context.cluster);
  if (cluster === undefined)
    throw new Error(`context "${contextName}" names the cluster "${context.cluster}", not there`);
  if (cluster.proxyUrl !== undefined) throw new Error("proxy-url is not supported");
  const user = newUsers(parsed.users).find(({ name }) => name === context.user);
  const credentials = user === undefined ? noCredentials : await credentialsOf(user, parsed, directory, clock);
  const { files, ...known } = credentials;
  const caFile = renewed(cluster.caData, cluster.caFile, directory, "certificate authority", clock);
  const ca = await pem(cluster.caData, caFile);
  return {
    server: cluster.server,
    ca,
    ...(caFile === undefined && files.cert === undefined && files.key === undefined
      ? {}
      : {
          certificates: async (): Promise<Certificates> => ({
            ca: caFile === undefined ? ca : await caFile.text(),
            cert: files.cert === undefined ? known.cert : await files.cert.text(),
            key: files.key === undefined ? known.key : await files.key.text(),
          }),
        }),
    refused: () => refuse([caFile, files.cert, files.key, files.token]),
    skipTLSVerify: cluster.skipTLSVerify,
    serverName: cluster.tlsServerName,
    namespace: context.namespace,
    ...known,
  };
}

interface Credentials extends Pick<Cluster, "cert" | "key" | "token"> {
  /** Those that are in files. */
  readonly files: { readonly cert?: RenewedFile; readonly key?: RenewedFile; readonly token?: RenewedFile };
}

const noCredentials: Credentials = { token: async () => undefined, files: {} };

async function credentialsOf(user: User, parsed: Parsed, directory: string, clock: Clock): Promise<Credentials> {
  const certFile = renewed(user.certData, user.certFile, directory, "client certificate", clock);
  const keyFile = renewed(user.keyData, user.keyFile, directory, "client key", clock);
  const cert = await pem(user.certData, certFile);
  const key = await pem(user.keyData, keyFile);
  const files = {
    ...(certFile === undefined ? {} : { cert: certFile }),
    ...(keyFile === undefined ? {} : { key: keyFile }),
  };
  if (user.exec !== undefined && user.exec !== null) return { cert, key, files, ...(await execCredentials(user)) };
  if (user.authProvider !== undefined && user.authProvider !== null) {
    throw new Error(`user "${user.name}": auth-provider is not supported, use exec`);
  }
  if (user.username !== undefined && user.username !== null) {
    throw new Error(`user "${user.name}": Kubernetes has no password authentication any more`);
  }
  const tokenFile = parsed.users?.find(({ name }) => name === user.name)?.user?.tokenFile;
  if (tokenFile !== undefined) {
    const token = new RenewedFile(resolve(directory, tokenFile), "token", clock);
    return { cert, key, files: { ...files, token }, token: () => token.text() };
  }
  return { cert, key, files, token: async () => user.token };
}

/** Credentials that a program prints; it is run again when what it printed has expired. */
async function execCredentials(user: User): Promise<Pick<Cluster, "cert" | "key" | "token">> {
  const { ExecAuth } = await import("@kubernetes/client-node/dist/exec_auth.js");
  const exec = new ExecAuth();
  const ask = async () => {
    const applied: { headers?: Record<string, string>; cert?: string; key?: string } = {};
    await exec.applyAuthentication(user, applied as Parameters<typeof exec.applyAuthentication>[1]);
    return applied;
  };
  const { cert, key } = await ask();
  return {
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    token: async () => (await ask()).headers?.Authorization?.replace(/^Bearer /, ""),
  };
}

/** The file that a PEM text comes from, where it is not in the kubeconfig itself. */
function renewed(
  data: string | undefined,
  file: string | undefined,
  directory: string,
  what: string,
  clock: Clock,
): RenewedFile | undefined {
  const inline = data !== undefined && data !== null;
  return inline || file === undefined || file === null
    ? undefined
    : new RenewedFile(resolve(directory, file), what, clock);
}

async function pem(data: string | undefined, file: RenewedFile | undefined): Promise<string | undefined> {
  if (data !== undefined && data !== null) return Buffer.from(data, "base64").toString("utf8");
  return await file?.text();
}

async function read(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw bad(`${what} cannot be read: ${errorText(error)}`, error);
  }
}

function bad(message: string, cause: unknown): Error {
  return kubeErrors.ELASTI_KUBE_BAD_KUBECONFIG(message, { cause });
}
