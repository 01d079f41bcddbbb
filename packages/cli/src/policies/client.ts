import { readFile } from "node:fs/promises";
import { errorCode, errorText, type Problem } from "@elasti/core";
import type { HistoryEntry, NewPolicy, Policy } from "@elasti/policies";
import request from "undici/lib/api/api-request.js";
import Agent from "undici/lib/dispatcher/agent.js";
import type { ServerOptions } from "./options.ts";

/** A policy as the API answers it. */
export type AnsweredPolicy = NewPolicy & Pick<Policy, "id" | "version" | "created_at" | "updated_at">;

/** What went wrong, in words for whoever typed the command. */
export class PoliciesFailure extends Error {
  /** Of a refusal. */
  readonly problem: Problem | undefined;

  constructor(message: string, problem?: Problem) {
    super(message);
    this.problem = problem;
  }
}

const timeoutMs = 30_000;
const pageSize = 500;
/** More than a page of the largest policies. */
const maxAnswerBytes = 256 * 1024 * 1024;

/** The API of the policies. Every method throws a PoliciesFailure that says what to do about it. */
export class PoliciesClient {
  readonly #base: string;
  readonly #token: string | undefined;
  readonly #agent: Agent;
  readonly #signal: AbortSignal;

  private constructor(base: string, token: string | undefined, agent: Agent, signal: AbortSignal) {
    this.#base = base;
    this.#token = token;
    this.#agent = agent;
    this.#signal = signal;
  }

  static async open(options: ServerOptions, signal: AbortSignal): Promise<PoliciesClient> {
    const token = options.tokenFile === undefined ? options.token : (await read(options.tokenFile, "token")).trim();
    const ca = options.caFile === undefined ? undefined : await read(options.caFile, "certificates");
    const agent = new Agent({ connections: 4, connect: { timeout: 10_000, ...(ca === undefined ? {} : { ca }) } });
    return new PoliciesClient(`${options.server.replace(/\/+$/, "")}/api/v1/scaling`, token, agent, signal);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** What a body would be kept as. */
  async check(body: unknown): Promise<NewPolicy> {
    return (await this.#ask<{ policy: NewPolicy }>("POST", "/policies/check", body)).policy;
  }

  async byName(name: string): Promise<AnsweredPolicy | undefined> {
    const query = new URLSearchParams({ name, limit: "1" });
    return (await this.#ask<{ policies: AnsweredPolicy[] }>("GET", `/policies?${query}`)).policies[0];
  }

  async all(namespace?: string): Promise<AnsweredPolicy[]> {
    const found: AnsweredPolicy[] = [];
    let after: string | null = null;
    do {
      const query = new URLSearchParams({ limit: `${pageSize}`, ...(namespace === undefined ? {} : { namespace }) });
      if (after !== null) query.set("after", after);
      const page: { policies: AnsweredPolicy[]; next: string | null } = await this.#ask("GET", `/policies?${query}`);
      found.push(...page.policies);
      after = page.next;
    } while (after !== null);
    return found;
  }

  async create(body: NewPolicy): Promise<void> {
    await this.#ask("POST", "/policies", body);
  }

  /** Changes the version that was looked at, and no other. */
  async replace({ id, version }: AnsweredPolicy, body: NewPolicy): Promise<void> {
    await this.#ask("PUT", `/policies/${id}`, body, { "if-match": `"${version}"` });
  }

  async delete({ id }: AnsweredPolicy): Promise<void> {
    await this.#ask("DELETE", `/policies/${id}`);
  }

  /** Newest first. */
  async history(filter: Readonly<Record<string, string>>): Promise<readonly HistoryEntry[]> {
    const query = new URLSearchParams(filter);
    return (await this.#ask<{ history: HistoryEntry[] }>("GET", `/history?${query}`)).history;
  }

  async #ask<T>(method: "GET" | "POST" | "PUT" | "DELETE", path: string, body?: unknown, headers = {}): Promise<T> {
    const { status, text } = await this.#send(method, path, body, headers);
    if (status === 204) return undefined as T;
    const answer = parsed(text);
    if (status >= 200 && status < 300 && answer !== undefined) return answer as T;
    throw refusal(status, answer, this.#base);
  }

  async #send(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const url = new URL(this.#base + path);
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(timeoutMs)]);
    try {
      const answer = await request.call(this.#agent, {
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        signal,
        headers: {
          accept: "application/json",
          ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      let text = "";
      answer.body.setEncoding("utf8");
      for await (const chunk of answer.body as AsyncIterable<string>) {
        text += chunk;
        if (text.length > maxAnswerBytes) throw new Error("the answer is too large");
      }
      return { status: answer.statusCode, text };
    } catch (error) {
      this.#signal.throwIfAborted();
      const why = signal.aborted
        ? `no answer within ${timeoutMs / 1_000} s`
        : [errorCode(error), errorText(error)].filter(Boolean).join(": ");
      throw new PoliciesFailure(
        `${url.origin} cannot be reached (${why}): expected the operator there, for instance by kubectl port-forward, or another --server`,
      );
    }
  }
}

async function read(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new PoliciesFailure(`the ${what} cannot be read: ${errorText(error)}`);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a refusal means to whoever typed the command. */
function refusal(status: number, answer: unknown, base: string): PoliciesFailure {
  const problem = isProblem(answer) ? answer : undefined;
  const said =
    problem === undefined
      ? `it answered ${status}`
      : `${problem.title}${problem.detail === undefined ? "" : `: ${problem.detail}`}`;
  if (status === 401) return new PoliciesFailure(`${said}; give a token with --token or --token-file`, problem);
  if (problem === undefined) {
    return new PoliciesFailure(
      `${base} is not the API of the policies: ${said}. Is ELASTI_SCALING_ENABLED set at the operator?`,
    );
  }
  if (problem.reason === "ELASTI_POLICY_CHANGED") {
    return new PoliciesFailure(`${said}; somebody else has changed it meanwhile: look at it and apply again`, problem);
  }
  return new PoliciesFailure(said, problem);
}

const isProblem = (answer: unknown): answer is Problem =>
  typeof answer === "object" && answer !== null && "title" in answer && "status" in answer;
