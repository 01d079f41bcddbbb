import type { Socket } from "node:net";
import type { Clock } from "@elasti/core";
import Client from "undici/lib/dispatcher/client.js";
import type { PodTarget } from "../contracts.ts";
import { ContinueFilter } from "./continue-filter.ts";
import { dial } from "./dial.ts";

export interface ConnectionOptions {
  readonly clock: Clock;
  /** Most connections to one pod; a request beyond is not sent there. */
  readonly maxPerPod?: number;
  readonly connectTimeoutMs?: number;
  /** Idle connections are closed after this: below the 2 s of gunicorn, the shortest of the common servers. */
  readonly keepAliveMs?: number;
  /** Largest head of an answer. */
  readonly maxHeaderBytes?: number;
}

/** Every connection to the pod is in use. */
export class PodBusy extends Error {
  override readonly name = "PodBusy";
}

/** The connection ended while it was idle: what was handed to it was never sent. */
class ConnectionGone extends Error {
  readonly code = "ELASTI_CONNECTION_GONE";
}

/** One connection to a pod under one undici client, which never dials by itself. */
export class PodConnection {
  readonly client: Client;
  readonly socket: Socket;
  readonly continues: ContinueFilter;
  readonly pod: PodTarget;
  /** Exchanges begun on it. */
  uses = 0;
  /** The error that ended it. */
  failure: Error | undefined;

  constructor(pod: PodTarget, socket: Socket, options: { keepAliveMs: number; maxHeaderBytes: number }) {
    this.pod = pod;
    this.socket = socket;
    this.continues = new ContinueFilter(socket);
    // heard before the engine hears it; and between two exchanges an unheard error would end the process
    socket.on("error", (error) => {
      this.failure = error;
    });
    let given = false;
    // the host shows only where a client sends no Host of its own (HTTP/1.0)
    const host = pod.address.includes(":") ? `[${pod.address}]` : pod.address;
    this.client = new Client(`http://${host}:${pod.port}`, {
      connect: (_options, callback) => {
        const first = !given;
        given = true;
        // the client does not notice an answer that comes while it asks
        queueMicrotask(() => {
          if (first) callback(null, socket);
          else callback(new ConnectionGone("the connection has ended"), null);
        });
      },
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: options.keepAliveMs,
      keepAliveMaxTimeout: options.keepAliveMs,
      keepAliveTimeoutThreshold: 500,
      maxHeaderSize: options.maxHeaderBytes,
    });
  }
}

interface PodEntry {
  /** Last used at the end: the newest is the least likely to be closed by the pod at this moment. */
  readonly idle: PodConnection[];
  readonly all: Set<PodConnection>;
  connecting: number;
}

/**
 * Connections to pods: one request at a time on each, bounded per pod, reused while young. They are dialled here and not by
 * the engine, so that a refused connect is known before the request is touched, and a reused connection is known as such.
 */
export class Connections {
  readonly #clock: Clock;
  readonly #maxPerPod: number;
  readonly #connectTimeoutMs: number;
  readonly #settings: { keepAliveMs: number; maxHeaderBytes: number };
  readonly #pods = new Map<PodTarget, PodEntry>();
  readonly #closing = new AbortController();

  constructor(options: ConnectionOptions) {
    this.#clock = options.clock;
    this.#maxPerPod = options.maxPerPod ?? 1_024;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 1_000;
    this.#settings = { keepAliveMs: options.keepAliveMs ?? 1_500, maxHeaderBytes: options.maxHeaderBytes ?? 64 * 1024 };
  }

  /** Pods with an open connection. */
  get pods(): number {
    return this.#pods.size;
  }

  /** An idle connection, or undefined. */
  idle(pod: PodTarget): PodConnection | undefined {
    const entry = this.#pods.get(pod);
    if (entry === undefined) return undefined;
    for (;;) {
      const connection = entry.idle.pop();
      if (connection === undefined || !connection.socket.destroyed) return connection;
    }
  }

  /** A new connection. Rejects with PodBusy at the bound, the error of the connect, or the signal's reason. */
  async dial(pod: PodTarget, signal?: AbortSignal): Promise<PodConnection> {
    this.#closing.signal.throwIfAborted();
    let entry = this.#pods.get(pod);
    if (entry === undefined) {
      entry = { idle: [], all: new Set(), connecting: 0 };
      this.#pods.set(pod, entry);
    }
    if (entry.all.size + entry.connecting >= this.#maxPerPod)
      throw new PodBusy(`all ${this.#maxPerPod} connections to ${pod.address}:${pod.port} are in use`);
    const home = entry;
    home.connecting += 1;
    let socket: Socket;
    try {
      socket = await dial({
        address: pod.address,
        port: pod.port,
        timeoutMs: this.#connectTimeoutMs,
        clock: this.#clock,
        signal: signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]),
      });
    } catch (error) {
      home.connecting -= 1;
      this.#forgetEmpty(pod, home);
      throw error;
    }
    home.connecting -= 1;
    const connection = new PodConnection(pod, socket, this.#settings);
    home.all.add(connection);
    socket.once("close", () => {
      home.all.delete(connection);
      const at = home.idle.indexOf(connection);
      if (at >= 0) home.idle.splice(at, 1);
      this.#forgetEmpty(pod, home);
    });
    return connection;
  }

  /** An exchange is over in good order; the connection may serve another one if the engine keeps it open. */
  release(connection: PodConnection): void {
    const entry = this.#pods.get(connection.pod);
    if (entry === undefined || !entry.all.has(connection) || connection.socket.destroyed) return;
    if (this.#closing.signal.aborted) connection.socket.destroy();
    else entry.idle.push(connection);
  }

  #forgetEmpty(pod: PodTarget, entry: PodEntry): void {
    if (entry.all.size === 0 && entry.connecting === 0 && this.#pods.get(pod) === entry) this.#pods.delete(pod);
  }

  /** Cuts every connection. */
  async close(): Promise<void> {
    if (!this.#closing.signal.aborted) this.#closing.abort(new Error("the forwarder is closed"));
    const ends: Promise<void>[] = [];
    for (const entry of this.#pods.values()) for (const connection of entry.all) ends.push(connection.client.destroy());
    for (const entry of this.#pods.values()) for (const { socket } of entry.all) socket.destroy();
    await Promise.all(ends);
  }
}
