import { Pool } from "undici";
import { policyName } from "./load.ts";

export interface Reads {
  readonly ms: readonly number[];
  /** Told to come back later: the database was not reached in time. */
  readonly refused: number;
  /** What was wrong with answers. */
  readonly wrong: readonly string[];
}

/** Items of a page. */
const PAGE = 50;

export interface ReaderOptions {
  readonly url: string;
  readonly token: string;
  /** Ids of policies by their names. */
  readonly ids: ReadonlyMap<string, string>;
  /** Policies that may be asked about. */
  readonly policies: number;
  readonly perSecond: number;
}

/** Asks the API at a steady pace what people ask it, whether or not the answer before has come. */
export class Reader {
  readonly #options: ReaderOptions;
  readonly #pool: Pool;
  readonly #timer: NodeJS.Timeout;
  readonly #path: string;
  #ms: number[] = [];
  #wrong: string[] = [];
  #refused = 0;
  #sent = 0;
  #pending = new Set<Promise<void>>();

  constructor(options: ReaderOptions) {
    const { origin, pathname } = new URL(options.url);
    this.#options = options;
    this.#path = pathname;
    this.#pool = new Pool(origin, { connections: 8, pipelining: 1 });
    this.#timer = setInterval(() => {
      const read = this.#read().finally(() => this.#pending.delete(read));
      this.#pending.add(read);
    }, 1_000 / options.perSecond);
  }

  /** What has been read since it was asked last. */
  take(): Reads {
    const taken = { ms: this.#ms, wrong: this.#wrong, refused: this.#refused };
    this.#ms = [];
    this.#refused = 0;
    this.#wrong = [];
    return taken;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#pending);
    await this.#pool.close();
  }

  async #read(): Promise<void> {
    const { ids, policies, token } = this.#options;
    const nth = this.#sent++;
    const id = ids.get(policyName((nth * 131) % policies)) ?? "";
    const path = [`/policies?limit=${PAGE}`, `/policies/${id}/state`, `/history?limit=${PAGE}`][nth % 3]!;
    const began = performance.now();
    try {
      const { statusCode, body } = await this.#pool.request({
        method: "GET",
        path: this.#path + path,
        headers: { authorization: `Bearer ${token}` },
      });
      const text = await body.text();
      this.#ms.push(performance.now() - began);
      if (statusCode === 503) {
        this.#refused += 1;
        return;
      }
      const problem = statusCode === 200 ? problemOf(nth % 3, id, JSON.parse(text)) : `${statusCode}: ${text}`;
      if (problem !== undefined) this.#wrong.push(`GET ${path}: ${problem}`);
    } catch (error) {
      this.#wrong.push(`GET ${path}: ${String(error)}`);
    }
  }
}

function problemOf(kind: number, id: string, answer: unknown): string | undefined {
  const { policies, history, policy_id: policyId } = answer as Record<string, unknown>;
  if (kind === 1) return policyId === id ? undefined : `is about ${String(policyId)}`;
  const items = kind === 0 ? policies : history;
  return Array.isArray(items) && items.length === PAGE ? undefined : `has not ${PAGE} items`;
}
