import type { IncomingMessage, ServerResponse } from "node:http";
import { errorText, type Logger } from "@elasti/core";
import { discoveryDocument, versionInfo } from "./discovery.ts";
import type { KindsRegistry } from "./kinds-registry.ts";
import { openApiDocument } from "./openapi.ts";
import { parseResourcePath } from "./request-path.ts";
import type { ResourceHandler } from "./resource-handler.ts";
import { sendJson, sendText } from "./response.ts";
import { internalError, StatusError, unauthorized } from "./status-error.ts";

const healthPaths = new Set(["/healthz", "/readyz", "/livez"]);

/** From an HTTP request to its answer: authentication, then health, version, discovery, OpenAPI or objects. */
export class HttpHandler {
  readonly #kinds: KindsRegistry;
  readonly #resources: ResourceHandler;
  readonly #tokens: ReadonlyMap<string, string>;
  readonly #logger: Logger;

  constructor(options: {
    kinds: KindsRegistry;
    resources: ResourceHandler;
    tokens: ReadonlyMap<string, string>;
    logger: Logger;
  }) {
    this.#kinds = options.kinds;
    this.#resources = options.resources;
    this.#tokens = options.tokens;
    this.#logger = options.logger;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response);
    } catch (error) {
      this.#fail(error, request, response);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname: fullPath, searchParams } = new URL(request.url ?? "/", "http://local");
    const { token, pathname } = splitToken(fullPath);
    const root = pathname.split("/").slice(0, 2).join("/");
    if (healthPaths.has(root)) return sendText(response, 200, "ok", "text/plain; charset=utf-8");
    this.#authenticate(request, token);
    if (pathname === "/version") return sendJson(response, 200, versionInfo);
    const path = parseResourcePath(pathname);
    if (path !== undefined) {
      if (await this.#resources.handle(path, searchParams, request, response)) return;
    } else if (root === "/openapi") {
      const document = openApiDocument(this.#kinds, pathname, request.headers.accept);
      if (document !== undefined) return sendText(response, 200, document.body, document.type);
    } else if (root === "/api" || root === "/apis") {
      const trimmed = pathname.endsWith("/") ? pathname.slice(0, -1) : pathname;
      const document = discoveryDocument(this.#kinds, trimmed, request.headers.host ?? "");
      if (document !== undefined) return sendJson(response, 200, document);
    }
    sendText(response, 404, "404 page not found\n", "text/plain; charset=utf-8");
  }

  #authenticate(request: IncomingMessage, pathToken: string | undefined): void {
    const token = pathToken ?? /^Bearer (.+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (token === undefined || !this.#tokens.has(token)) throw unauthorized();
  }

  #fail(error: unknown, request: IncomingMessage, response: ServerResponse): void {
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    if (error instanceof StatusError) {
      const { retryAfterSeconds } = error.body.details ?? {};
      if (retryAfterSeconds !== undefined) response.setHeader("Retry-After", retryAfterSeconds);
      sendJson(response, error.code, error.body);
    } else {
      // without the query and without a token that stands in the path
      const path = splitToken((request.url ?? "").split("?")[0]!).pathname;
      this.#logger.error({ method: request.method, path, error: errorText(error) }, "request failed");
      sendJson(response, 500, internalError(errorText(error)).body);
    }
  }
}

/**
 * kubectl sends no bearer token over plain HTTP, but it keeps the path of its server's address: `/token/<token>/...` is a
 * request with that token.
 */
function splitToken(path: string): { token: string | undefined; pathname: string } {
  const match = /^\/token\/([^/]+)(\/.*)?$/.exec(path);
  return match === null ? { token: undefined, pathname: path } : { token: match[1], pathname: match[2] ?? "/" };
}
