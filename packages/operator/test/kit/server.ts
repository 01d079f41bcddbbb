import type { ServedRoute } from "@elasti/api";
import { Metrics, silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { StaticAuthenticator } from "../../src/elastiserver/auth.ts";
import type { ReadinessCheck } from "../../src/elastiserver/health.ts";
import { ElastiServer, type ElastiServerOptions, type Waker } from "../../src/elastiserver/server.ts";
import { SessionHub, type SessionHubOptions } from "../../src/elastiserver/session-hub.ts";
import { dialSession, TestResolver } from "./resolver.ts";

export const resolverAccount = "system:serviceaccount:elasti:elasti-resolver";
export const tokens = { "resolver-token": resolverAccount, "stranger-token": "system:serviceaccount:shop:default" };

export interface World {
  readonly clock: ManualClock;
  readonly hub: SessionHub;
  readonly server: ElastiServer;
  readonly metrics: Metrics;
  readonly port: number;
  /** A resolver with an open session that has said hello. @param routes what it says before, one line each */
  join(id: string, ports?: number[], routes?: ServedRoute[][]): Promise<TestResolver>;
  close(): Promise<void>;
}

/** An elastiserver with its session hub on a free port. Time stands still; only sockets are real. */
export async function startWorld(
  options: {
    waker?: Waker;
    readiness?: ReadinessCheck[];
    server?: Partial<ElastiServerOptions>;
    hub?: Partial<SessionHubOptions>;
    random?: () => number;
  } = {},
): Promise<World> {
  const clock = new ManualClock();
  const metrics = new Metrics({ clock, cacheMs: 0 });
  const hub = new SessionHub(
    { clock, logger: silentLogger, metrics, random: options.random ?? (() => 0.5) },
    { operator: "operator-0", ...options.hub },
  );
  const waker = options.waker ?? {
    wake: async () => ({ message: "Request received successfully!", outcome: "scaled" as const, replicas: 1 }),
  };
  const server = new ElastiServer(
    {
      waker,
      authenticator: new StaticAuthenticator(tokens, [resolverAccount]),
      sessions: hub,
      metrics,
      logger: silentLogger,
      clock,
      readiness: options.readiness ?? [],
    },
    { host: "127.0.0.1", port: 0, ...options.server },
  );
  await server.start();
  const { port } = server.address;
  return {
    clock,
    hub,
    server,
    metrics,
    port,
    join: async (id, ports, routes = []) => {
      const resolver = await dialSession(port, id, "resolver-token");
      if (!(resolver instanceof TestResolver)) throw new Error(`refused: ${resolver.status} ${resolver.body}`);
      for (const line of routes) resolver.send({ type: "routes", routes: line });
      return resolver.hello(ports);
    },
    close: async () => {
      await server.close();
      hub.close();
      metrics.close();
    },
  };
}
