import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "@elasti/core";
import { parseDeleteOptions } from "./delete-options.ts";
import { type ApiObject, isJsonObject, type JsonObject, jsonText } from "./json.ts";
import { apiVersionOf, type Kind, type ScaleFields } from "./kind.ts";
import { podKind } from "./kinds/pods.ts";
import type { KindsRegistry } from "./kinds-registry.ts";
import { listObjects, parseSelection } from "./list.ts";
import { acceptedForm, type Form, fieldManager, mediaType, protobufType, readBody } from "./negotiation.ts";
import type { DeleteOptions, Objects, WriteContext } from "./objects.ts";
import { applyPatchType, jsonPatchType, mergePatchType, patched } from "./patch.ts";
import { bindPod } from "./pod-binding.ts";
import type { ResourcePath } from "./request-path.ts";
import { sendJson, sendText } from "./response.ts";
import { patchScale, replaceScale, scaleOf } from "./scale.ts";
import { decodeObject, privateObject } from "./sent-object.ts";
import { badRequest, conflict, methodNotAllowed, type StatusBody, unsupportedMediaType } from "./status-error.ts";
import { type IncludeObject, partialObject, tableEncoder, tableOf } from "./table.ts";
import { plainEncoder, type WatchHub } from "./watch.ts";

/** One request for objects, once its kind is known. */
interface Call {
  readonly kind: Kind;
  readonly path: ResourcePath;
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

type NamedCall = Call & { readonly name: string };

const jsonTypes = ["application/json"];
const objectTypes = ["application/json", protobufType];

/** Answers get, list, watch, create, update, patch, delete and deletecollection for every kind. */
export class ResourceHandler {
  readonly #objects: Objects;
  readonly #kinds: KindsRegistry;
  readonly #watches: WatchHub;
  readonly #clock: Clock;
  readonly #maxBodyBytes: number;

  constructor(options: {
    objects: Objects;
    kinds: KindsRegistry;
    watches: WatchHub;
    clock: Clock;
    maxBodyBytes: number;
  }) {
    this.#objects = options.objects;
    this.#kinds = options.kinds;
    this.#watches = options.watches;
    this.#clock = options.clock;
    this.#maxBodyBytes = options.maxBodyBytes;
  }

  /** False when the path names nothing that is served. Throws StatusErrors. */
  async handle(
    path: ResourcePath,
    query: URLSearchParams,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<boolean> {
    const kind = this.#kinds.find(path.group, path.version, path.plural);
    if (kind === undefined || (!kind.resource.namespaced && path.namespace !== undefined)) return false;
    const call: Call = { kind, path, query, request, response };
    if (path.name === undefined) {
      await this.#onCollection(call);
      return true;
    }
    if (kind.resource.namespaced && path.namespace === undefined) return false;
    const named: NamedCall = { ...call, name: path.name };
    if (path.subresource === undefined) await this.#onObject(named);
    else if (path.subresource === "status" && kind.hasStatus) await this.#onStatus(named);
    else if (path.subresource === "scale" && kind.scale !== undefined) await this.#onScale(named, kind.scale);
    else if (path.subresource === "finalize" && kind.resource.plural === "namespaces") await this.#onFinalize(named);
    else if (path.subresource === "binding" && kind === podKind) await this.#onBinding(named);
    else return false;
    return true;
  }

  async #onCollection(call: Call): Promise<void> {
    const { kind, path, query, request, response } = call;
    if (request.method === "GET") {
      if (query.get("watch") === "true" || query.get("watch") === "1") return this.#watch(call);
      const page = listObjects(this.#objects.store, kind, path.namespace, query);
      const metadata = {
        resourceVersion: page.resourceVersion,
        ...(page.continueToken === undefined ? {} : { continue: page.continueToken }),
        ...(page.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
      };
      return sendText(response, 200, this.#listText(call, page.items, metadata));
    }
    if (request.method === "POST") {
      const object = await this.#sentObject(call);
      const namespace = kind.resource.namespaced ? path.namespace : undefined;
      if (kind.resource.namespaced && namespace === undefined) throw methodNotAllowed();
      const created = this.#objects.create(kind, namespace, object, this.#context(call));
      return this.#sendObject(call, 201, created);
    }
    if (request.method === "DELETE") return this.#deleteCollection(call);
    throw methodNotAllowed();
  }

  #watch(call: Call): void {
    const { kind, path, query, request, response } = call;
    const form = acceptedForm(request.headers.accept);
    const encoders = {
      plain: () => plainEncoder,
      partial: () => (object: ApiObject) => JSON.stringify(partialObject(object)),
      table: () => tableEncoder(kind, includeOf(query), () => this.#clock.now()),
    };
    if (path.name !== undefined) query.set("fieldSelector", `metadata.name=${path.name}`);
    this.#watches.serve(kind, path.namespace, query, response, encoders[form]());
  }

  async #onObject(call: NamedCall): Promise<void> {
    const { kind, path, query, name, request } = call;
    const { namespace } = path;
    switch (request.method) {
      case "GET":
        if (query.get("watch") === "true" || query.get("watch") === "1") return this.#watch(call);
        return this.#sendObject(call, 200, this.#objects.get(kind, namespace, name));
      case "PUT": {
        const sent = await this.#sentObject(call);
        const context = { ...this.#context(call), requireVersion: true };
        if (kind.createOnUpdate && this.#missing(call)) {
          // an update of what is gone, rather than something new
          const { uid = "" } = sent.metadata;
          if (uid !== "") {
            const text = `Precondition failed: UID in precondition: ${uid}, UID in object meta: `;
            throw conflict(kind.resource, name, text);
          }
          sent.metadata.name = name;
          return this.#sendObject(call, 201, this.#objects.create(kind, namespace, unversioned(sent), context));
        }
        return this.#sendObject(
          call,
          200,
          this.#objects.update(kind, namespace, name, () => sent, context),
        );
      }
      case "PATCH": {
        const patch = await this.#sentPatch(call, [jsonPatchType, mergePatchType]);
        const compute = (current: ApiObject) => this.#decode(call, patched(current, mediaType(request), patch));
        return this.#sendObject(call, 200, this.#objects.update(kind, namespace, name, compute, this.#context(call)));
      }
      case "DELETE":
        return this.#delete(call);
      default:
        throw methodNotAllowed();
    }
  }

  async #onStatus(call: NamedCall): Promise<void> {
    const { kind, path, name, request } = call;
    const context = { ...this.#context(call), subresource: "status" as const };
    if (request.method === "GET") return this.#sendObject(call, 200, this.#objects.get(kind, path.namespace, name));
    if (request.method === "PUT") {
      const sent = await this.#sentObject(call);
      const write = { ...context, requireVersion: true };
      return this.#sendObject(
        call,
        200,
        this.#objects.update(kind, path.namespace, name, () => sent, write),
      );
    }
    if (request.method !== "PATCH") throw methodNotAllowed();
    const patch = await this.#sentPatch(call, [jsonPatchType, mergePatchType]);
    const compute = (current: ApiObject) => this.#decode(call, patched(current, mediaType(request), patch));
    return this.#sendObject(call, 200, this.#objects.update(kind, path.namespace, name, compute, context));
  }

  async #onScale(call: NamedCall, scale: ScaleFields): Promise<void> {
    const { path, name, request, response, query } = call;
    const kind = { ...call.kind, scale };
    const { namespace } = path;
    const context = this.#context(call);
    if (request.method === "GET") {
      return sendJson(response, 200, scaleOf(scale, this.#objects.get(call.kind, namespace, name)));
    }
    if (request.method === "PUT") {
      const sent = await readBody(request, jsonTypes, this.#maxBodyBytes);
      if (!isJsonObject(sent)) throw badRequest("the body must be a Scale");
      return sendJson(
        response,
        200,
        replaceScale(this.#objects, call.kind as typeof kind, namespace, name, sent, context),
      );
    }
    if (request.method !== "PATCH") throw methodNotAllowed();
    const patch = await this.#sentPatch(call, [jsonPatchType, mergePatchType, applyPatchType]);
    const type = mediaType(request);
    if (type === applyPatchType && (query.get("fieldManager") ?? "") === "") {
      throw badRequest(
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
      );
    }
    const options = { ...context, force: query.get("force") === "true" };
    const target = call.kind as typeof kind;
    return sendJson(response, 200, patchScale(this.#objects, target, namespace, name, type, patch, options));
  }

  /** PUT of a namespace's `spec.finalizers`, by which its content is declared gone. */
  async #onFinalize(call: NamedCall): Promise<void> {
    if (call.request.method !== "PUT") throw methodNotAllowed();
    const sent = await this.#sentObject(call);
    const current = this.#objects.get(call.kind, undefined, call.name);
    const object = { ...current, spec: sent.spec };
    return this.#sendObject(call, 200, this.#objects.commitOwn(call.kind, object));
  }

  async #onBinding({ path, name, request, response }: NamedCall): Promise<void> {
    if (request.method !== "POST") throw methodNotAllowed();
    const binding = await readBody(request, jsonTypes, this.#maxBodyBytes);
    if (!isJsonObject(binding)) throw badRequest("the body must be a Binding");
    sendJson(response, 201, bindPod(this.#objects, path.namespace, name, binding));
  }

  async #delete(call: NamedCall): Promise<void> {
    const { kind, path, name, response } = call;
    const options = await this.#deleteOptions(call);
    const { object, removed } = this.#objects.delete(kind, path.namespace, name, options);
    if (!removed || kind.returnsDeleted) return this.#sendObject(call, 200, object);
    const { resource } = kind;
    const body: StatusBody = {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Success",
      details: {
        name,
        ...(resource.group === "" ? {} : { group: resource.group }),
        kind: resource.plural,
        uid: object.metadata.uid ?? "",
      },
    };
    return sendJson(response, 200, body);
  }

  async #deleteCollection(call: Call): Promise<void> {
    const { kind, path, query, response } = call;
    const options = await this.#deleteOptions(call);
    const selected = parseSelection(kind, path.namespace, query);
    const page = listObjects(this.#objects.store, kind, path.namespace, new URLSearchParams());
    const items = page.items.filter(selected);
    for (const { metadata } of items) this.#objects.delete(kind, metadata.namespace, metadata.name, options);
    return sendText(response, 200, this.#listText(call, items, { resourceVersion: page.resourceVersion }));
  }

  async #deleteOptions({ query, request }: Call): Promise<DeleteOptions> {
    return parseDeleteOptions(await readBody(request, objectTypes, this.#maxBodyBytes), query);
  }

  #missing({ kind, path, name }: NamedCall): boolean {
    return this.#objects.find(kind, path.namespace, name) === undefined;
  }

  #context({ request, query }: Call): WriteContext {
    return { manager: fieldManager(request, query), dryRun: query.get("dryRun") === "All" };
  }

  async #sentObject(call: Call): Promise<ApiObject> {
    return this.#decode(call, await readBody(call.request, objectTypes, this.#maxBodyBytes));
  }

  #decode({ kind, query, response }: Call, body: unknown): ApiObject {
    const object = privateObject(kind, body);
    const warnings = decodeObject(kind, object, query.get("fieldValidation") ?? "Warn");
    if (warnings.length > 0) {
      response.setHeader(
        "Warning",
        warnings.map((text) => `299 - ${JSON.stringify(text)}`),
      );
    }
    return object;
  }

  async #sentPatch(call: Call, accepted: readonly string[]): Promise<unknown> {
    // a patch without a known type is refused before its body is looked at
    if (!accepted.includes(mediaType(call.request))) throw unsupportedMediaType(accepted);
    const patch = await readBody(call.request, accepted, this.#maxBodyBytes);
    if (patch === undefined) throw badRequest("error decoding patch: the body is empty");
    return patch;
  }

  #sendObject(call: Call, code: number, object: ApiObject): void {
    sendText(call.response, code, this.#objectText(call, object));
  }

  #objectText({ kind, query, request }: Call, object: ApiObject): string {
    const form = acceptedForm(request.headers.accept);
    // only what is stored is frozen; the answer of a dry run is not worth remembering
    if (form === "plain") return Object.isFrozen(object) ? jsonText(object) : JSON.stringify(object);
    if (form === "partial") return JSON.stringify(partialObject(object));
    const { resourceVersion } = object.metadata;
    const options = { nowMs: this.#clock.now(), include: includeOf(query), listMetadata: { resourceVersion } };
    return JSON.stringify(tableOf(kind, [object], options));
  }

  #listText({ kind, query, request }: Call, items: readonly ApiObject[], metadata: object): string {
    const form: Form = acceptedForm(request.headers.accept);
    if (form === "table") {
      const options = { nowMs: this.#clock.now(), include: includeOf(query), listMetadata: metadata };
      return JSON.stringify(tableOf(kind, items, options));
    }
    if (form === "partial") {
      const head: JsonObject = { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata };
      return JSON.stringify({ ...head, items: items.map(partialObject) });
    }
    const head = JSON.stringify({ kind: kind.listKind, apiVersion: apiVersionOf(kind.resource), metadata });
    return `${head.slice(0, -1)},"items":[${items.map(jsonText).join(",")}]}`;
  }
}

function unversioned(object: ApiObject): ApiObject {
  const { resourceVersion: _resourceVersion, ...metadata } = object.metadata;
  object.metadata = metadata;
  return object;
}

function includeOf(query: URLSearchParams): IncludeObject {
  const include = query.get("includeObject");
  return include === "None" || include === "Object" ? include : "Metadata";
}
