import type { Logger } from "@elasti/core";
import { ElastiError, errorText } from "@elasti/core";
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import { policyErrors } from "../errors.ts";
import type { Caller, Callers } from "../service/access.ts";
import type { PolicyServices } from "../service/services.ts";
import { docsPage } from "./docs-page.ts";
import { openApiDocument } from "./document.ts";
import { MAX_BODY_BYTES, refuseUnusable } from "./json-body.ts";
import type { Operation, OperationAnswer } from "./operation.ts";
import { POLICY_API, policyApi } from "./operations.ts";
import { readBody, readParameters } from "./read-input.ts";
import { errorOfRefusal, problemReply } from "./replies.ts";

export interface PolicyRoutesDeps {
  readonly services: PolicyServices;
  /** Who asks; without a token that it knows nothing is answered. */
  readonly callers: Callers;
  readonly logger: Logger;
  /** Where the files of swagger-ui-dist are; left out: there is no page to try the API on. */
  readonly docsFolder?: string;
  /** Requests at work at once; more are told to come back. */
  readonly maxAtWork?: number;
}

/** How long a body may take to arrive is the server's to say; what a request may take besides is bounded by its service. */
const defaultAtWork = 256;

/** The routes of the policy API, to be registered under `POLICY_API`. */
export function policyRoutes(deps: PolicyRoutesDeps): FastifyPluginAsync {
  const operations = policyApi(deps.services);
  return async (app) => {
    acceptJson(app);
    const matchers = operations.map(({ method, path }) => ({ method, pattern: patternOf(path) }));
    app.setNotFoundHandler((request, reply) => {
      const path = pathOf(request).slice(app.prefix.length);
      const methods = matchers.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
      return fail(reply, refusalOf(request, methods), deps.logger);
    });
    app.setErrorHandler((error, _request, reply) => fail(reply, error, deps.logger));
    const work = new Work(deps);
    for (const operation of operations) {
      app.route({
        method: operation.method,
        url: operation.path,
        bodyLimit: MAX_BODY_BYTES,
        onRequest: (request) => work.identify(request),
        handler: (request, reply) => work.serve(operation, request, reply),
      });
    }
    const document = JSON.stringify(openApiDocument(operations, app.prefix));
    app.get("/openapi.json", (_request, reply) =>
      reply.headers({ "content-type": "application/json", "x-content-type-options": "nosniff" }).send(document),
    );
    if (deps.docsFolder !== undefined) await app.register(docsPage(deps.docsFolder));
  };
}

/** Reads JSON and nothing else. */
function acceptJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, text, done) => {
    if (text === "") done(null, undefined);
    else parse(request, text as string, done);
  });
}

/** Requests, from who asks to what is answered. */
class Work {
  readonly #deps: PolicyRoutesDeps;
  readonly #maxAtWork: number;
  readonly #callers = new WeakMap<FastifyRequest, Caller>();
  #atWork = 0;

  constructor(deps: PolicyRoutesDeps) {
    this.#deps = deps;
    this.#maxAtWork = deps.maxAtWork ?? defaultAtWork;
  }

  /** Before a body is read: who is not known does not get one byte of it looked at. */
  async identify(request: FastifyRequest): Promise<void> {
    this.#callers.set(request, await this.#deps.callers.identify(request.headers.authorization));
  }

  async serve(operation: Operation, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (this.#atWork >= this.#maxAtWork) {
      throw policyErrors.ELASTI_POLICY_BUSY(`${this.#maxAtWork} requests are at work`);
    }
    this.#atWork += 1;
    try {
      return send(reply, await this.#answer(operation, request, leaving(reply)));
    } finally {
      this.#atWork -= 1;
    }
  }

  #answer(operation: Operation, request: FastifyRequest, signal: AbortSignal): Promise<OperationAnswer> {
    const caller = this.#callers.get(request);
    if (caller === undefined) throw new Error("a request came past the hook that says who asks");
    return operation.handle({
      caller,
      params: readParameters(operation.params, request.params),
      query: readParameters(operation.query, request.query),
      body: bodyOf(operation, request.body),
      headers: request.headers,
      signal,
    });
  }
}

/** Aborts when the caller leaves. (The signal of fastify's request does so too once a body has been read.) */
function leaving(reply: FastifyReply): AbortSignal {
  const left = new AbortController();
  reply.raw.once("close", () => left.abort());
  return left.signal;
}

function bodyOf(operation: Operation, given: unknown): unknown {
  if (operation.body === undefined) return undefined;
  const body = given === undefined && operation.bodyOptional ? {} : given;
  if (body === undefined) {
    throw policyErrors.ELASTI_POLICY_REQUEST_INVALID("a body is required, with content-type: application/json");
  }
  refuseUnusable(body);
  return operation.bodyCheckedByService ? body : readBody(operation.body, body);
}

function send(reply: FastifyReply, { status, headers, body }: OperationAnswer): FastifyReply {
  reply.code(status).headers({ "cache-control": "private, no-cache", "x-content-type-options": "nosniff", ...headers });
  if (body === undefined) return reply.send();
  return reply.type("application/json").serializer(JSON.stringify).send(body);
}

function fail(reply: FastifyReply, error: unknown, logger: Logger): FastifyReply {
  const mapped = errorOfRefusal(error);
  const path = pathOf(reply.request);
  const answer = problemReply(mapped, path);
  // whoever left gets no answer, and is no failure of ours
  if (answer.status >= 500 && !reply.raw.destroyed) {
    const reason = mapped instanceof ElastiError ? mapped.code : "internal";
    logger.error({ path, reason, error: errorText(mapped) }, "request failed");
  }
  return reply.code(answer.status).headers(answer.headers).serializer(JSON.stringify).send(answer.body);
}

function refusalOf(request: FastifyRequest, methods: readonly string[]): ElastiError {
  if (methods.length === 0) return policyErrors.ELASTI_POLICY_NO_SUCH_PATH(`${pathOf(request)} is not served here`);
  const allow = [...methods, ...(methods.includes("GET") ? ["HEAD"] : [])].join(", ");
  return policyErrors.ELASTI_POLICY_METHOD_NOT_ALLOWED(`${request.method} is not allowed: expected ${allow}`, {
    details: { allow },
  });
}

const pathOf = (request: FastifyRequest): string => request.url.split("?", 1)[0] ?? "";

/** Matches the paths of a route such as `/policies/:id`. */
const patternOf = (path: string): RegExp => new RegExp(`^${path.replaceAll(/:[a-z]+/g, "[^/]+")}$`);

export { POLICY_API };
