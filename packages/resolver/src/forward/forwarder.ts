import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "@elasti/core";
import type { Forwarder, ForwardOptions, ForwardOutcome, PodTarget } from "../contracts.ts";
import { type ConnectionOptions, Connections } from "./connections.ts";
import { Http1 } from "./http1.ts";
import { Upgrades } from "./upgrade.ts";

export interface ForwarderOptions extends ConnectionOptions {
  readonly clock: Clock;
}

/** The one door through which requests reach pods; each protocol has its engine behind it. */
export class PodForwarder implements Forwarder {
  readonly #connections: Connections;
  readonly #http1: Http1;
  readonly #upgrades: Upgrades;

  constructor(options: ForwarderOptions) {
    this.#connections = new Connections(options);
    this.#http1 = new Http1(this.#connections, options.clock);
    this.#upgrades = new Upgrades({ clock: options.clock, connectTimeoutMs: options.connectTimeoutMs ?? 1_000 });
  }

  http(
    request: IncomingMessage,
    response: ServerResponse,
    pod: PodTarget,
    options: ForwardOptions,
  ): Promise<ForwardOutcome> {
    return this.#http1.forward(request, response, pod, options);
  }

  upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    pod: PodTarget,
    options: ForwardOptions,
  ): Promise<ForwardOutcome> {
    return this.#upgrades.forward(request, socket, head, pod, options);
  }

  /** Pods with an open connection. */
  get connectedPods(): number {
    return this.#connections.pods;
  }

  /** Cuts what is open; whoever drains does it before. */
  async close(): Promise<void> {
    this.#upgrades.close();
    this.#http1.close();
    await this.#connections.close();
  }
}
