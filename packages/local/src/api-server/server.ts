import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Clock, type Logger, silentLogger, systemClock } from "@elasti/core";
import { AddressPool } from "./address-pool.ts";
import { CustomResources } from "./custom-resources.ts";
import { EventExpiry } from "./event-expiry.ts";
import { GarbageCollector } from "./garbage-collector.ts";
import { HttpHandler } from "./http-handler.ts";
import { builtInKinds, namespaceKind } from "./kinds/index.ts";
import { KindsRegistry } from "./kinds-registry.ts";
import { kubeconfigText } from "./kubeconfig.ts";
import { NamespaceLifecycle } from "./namespace-lifecycle.ts";
import { Objects } from "./objects.ts";
import { ResourceHandler } from "./resource-handler.ts";
import { Store } from "./store.ts";
import { WatchHub } from "./watch.ts";

export interface ApiServerOptions {
  /** Address to listen on; 127.0.0.1 by default, because the server speaks plain HTTP. */
  readonly host?: string;
  /** 0, the default, takes a free port. */
  readonly port?: number;
  /** Bearer token to user name. Every other request is a 401. */
  readonly tokens: Readonly<Record<string, string>>;
  /** IPv4 range of cluster addresses of Services; 127.250.0.0/16 by default. */
  readonly serviceCidr?: string;
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** How many changes are kept for watches that resume; older ones are answered 410. Default 2,000. */
  readonly eventWindow?: number;
  /** Pause between bookmarks of a watch, in ms. Default 1,000. */
  readonly bookmarkIntervalMs?: number;
  /** A watch with more unread bytes than this is cut. Default 16 MiB. */
  readonly maxUnreadWatchBytes?: number;
  /** Events beyond this number push out the oldest ones. Default 5,000; every Event goes after an hour. */
  readonly maxEvents?: number;
  /** Largest request body. Default 3 MiB, as in the real server. */
  readonly maxBodyBytes?: number;
}

export interface ApiServer {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** The objects themselves, for tests that look behind the API. */
  readonly store: Store;
  /** Open watches. */
  readonly watches: WatchHub;
  /** A kubeconfig, as YAML, for one of the tokens. */
  kubeconfig(token: string): string;
  /** Ends watches, connections and background work; idempotent. */
  close(): Promise<void>;
}

const initialNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** Starts an embedded Kubernetes API server. README.md of this package says what it leaves out. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const clock = options.clock ?? systemClock;
  const logger = options.logger ?? silentLogger;
  const host = options.host ?? "127.0.0.1";
  const store = new Store({ window: options.eventWindow ?? 2_000 });
  const kinds = new KindsRegistry(builtInKinds(new AddressPool(options.serviceCidr ?? "127.250.0.0/16")));
  const objects = new Objects({ store, clock, namespaceKind });
  const background = [
    new CustomResources({ store, objects, kinds, logger }),
    new EventExpiry({ store, clock, logger, maxEvents: options.maxEvents ?? 5_000 }),
    new GarbageCollector({ store, objects, kinds, logger }),
    new NamespaceLifecycle({ store, objects, kinds, logger }),
  ];
  for (const name of initialNamespaces) {
    const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
    objects.create(namespaceKind, undefined, namespace, { manager: "kube-apiserver" });
  }
  const watches = new WatchHub({
    store,
    clock,
    logger,
    settings: {
      bookmarkIntervalMs: options.bookmarkIntervalMs ?? 1_000,
      maxUnreadBytes: options.maxUnreadWatchBytes ?? 16 * 1_024 * 1_024,
    },
  });
  const maxBodyBytes = options.maxBodyBytes ?? 3 * 1_024 * 1_024;
  const resources = new ResourceHandler({ objects, kinds, watches, clock, maxBodyBytes });
  const handler = new HttpHandler({ kinds, resources, tokens: new Map(Object.entries(options.tokens)), logger });
  const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    void handler.handle(request, response);
  });
  server.requestTimeout = 60_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
  let closing: Promise<void> | undefined;
  return {
    url,
    store,
    watches,
    kubeconfig: (token) => kubeconfigText(url, token, options.tokens[token] ?? "user"),
    close() {
      closing ??= new Promise<void>((resolve) => {
        watches.close();
        for (const part of background) part.close();
        server.close(() => resolve());
        server.closeAllConnections();
      });
      return closing;
    },
  };
}
