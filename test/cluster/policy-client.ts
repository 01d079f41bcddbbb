import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { Pod } from "@elasti/kube";
import { type Answer, request } from "../e2e/client.ts";
import { OPERATOR, type World } from "../e2e/world.ts";

/** An entry of history, as far as it is looked at. */
export interface Entry {
  readonly kind: "action" | "decision";
  readonly outcome: string;
  readonly new_replicas: number | null;
}

/** What is asked for, once it is as asked. */
export async function until<T>(look: () => Promise<T>, fits: (value: T) => boolean): Promise<T> {
  const signal = AbortSignal.timeout(30_000);
  for (;;) {
    const value = await look();
    if (fits(value)) return value;
    if (signal.aborted) throw new Error(`not as asked in 30 s: ${JSON.stringify(value)}`);
    await pause(50);
  }
}

/** The API of the policies, as somebody with a token asks it of whichever replica answers. */
export class PolicyClient {
  readonly #world: World;
  readonly #token: string;

  constructor(world: World, token: string) {
    this.#world = world;
    this.#token = token.trim();
  }

  async ask(method: string, path: string, body?: unknown): Promise<Answer> {
    const signal = AbortSignal.timeout(30_000);
    for (;;) {
      for (const pod of await this.#world.pods(OPERATOR)) {
        const answer = await this.#askOf(pod, method, path, body).catch((error: NodeJS.ErrnoException) => {
          // it was killed, or is about to start
          if (error.code !== "ECONNRESET" && error.code !== "ECONNREFUSED") throw error;
          return undefined;
        });
        if (answer !== undefined) return answer;
      }
      signal.throwIfAborted();
      await pause(50);
    }
  }

  /** @throws an AssertionError for anything but success */
  async call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await this.ask(method, path, body);
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.text === "" ? {} : (JSON.parse(answer.text) as Record<string, unknown>);
  }

  /** Makes a policy of a workload of that name, unless more says otherwise. @returns its id */
  async policy(name: string, more: Record<string, unknown> = {}): Promise<string> {
    const { policy } = await this.call("POST", "/policies", {
      name,
      target_type: "workload",
      target_ref: { namespace: "default", name },
      cooldown_seconds: 3_600,
      ...more,
    });
    return (policy as { id: string }).id;
  }

  /** Entries of a policy, once there are such. */
  async entries(
    id: string,
    kind: "history" | "decisions",
    fits: (entries: readonly Entry[]) => boolean,
  ): Promise<readonly Entry[]> {
    return await until(async () => (await this.call("GET", `/policies/${id}/${kind}`))[kind] as Entry[], fits);
  }

  #askOf({ status }: Pod, method: string, path: string, body: unknown): Promise<Answer> {
    return request({
      host: status?.podIP ?? "",
      port: 8013,
      path: `/api/v1/scaling${path}`,
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }
}
