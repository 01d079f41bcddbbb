import { type Static, type TObject, type TSchema, Type } from "typebox";
import type { Caller } from "../service/access.ts";

/** What a handler gets: everything has been checked against the schemas of its operation. */
export interface OperationContext<P, Q, B> {
  readonly caller: Caller;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** Of the request, by lower-case name. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Aborts when the caller leaves. */
  readonly signal: AbortSignal;
}

export interface OperationAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Left out: the answer has no body. */
  readonly body?: unknown;
}

/** One route: what serves it and what documents it. */
export interface Operation {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Below the prefix, as in `/policies/:id`. */
  readonly path: string;
  /** operationId of the document. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly params: TObject;
  readonly query: TObject;
  /** Left out: a body is not read. */
  readonly body?: TSchema;
  /** A body for who tries it; without one its document says what a schema allows, which is more than anybody wants. */
  readonly example?: object;
  /** Whether it may be left out; then the handler gets `{}`. */
  readonly bodyOptional: boolean;
  /** The service says what is wrong with it, together with what a schema cannot say. */
  readonly bodyCheckedByService: boolean;
  /** Headers of requests that are looked at. */
  readonly conditional: readonly ("If-Match" | "If-None-Match")[];
  /** By status; no schema: no body. */
  readonly answers: Readonly<Record<number, { readonly description: string; readonly schema?: TSchema }>>;
  /** Statuses of problem documents that are particular to it. */
  readonly problems: readonly number[];
  handle(context: OperationContext<unknown, unknown, unknown>): Promise<OperationAnswer>;
}

type Given = "bodyOptional" | "bodyCheckedByService" | "conditional" | "problems";

/** Ties the types of a handler to the schemas of its operation. */
export function operation<P extends TObject, Q extends TObject, B extends TSchema>(
  declared: Omit<Operation, Given | "params" | "query" | "body" | "handle"> &
    Partial<Pick<Operation, Given>> & {
      readonly params?: P;
      readonly query?: Q;
      readonly body?: B;
      handle(context: OperationContext<Static<P>, Static<Q>, Static<B>>): Promise<OperationAnswer>;
    },
): Operation {
  return {
    bodyOptional: false,
    bodyCheckedByService: false,
    conditional: [],
    problems: [],
    ...declared,
    params: declared.params ?? nothing,
    query: declared.query ?? nothing,
    // the plugin has checked all three before
    handle: (context) => declared.handle(context as OperationContext<Static<P>, Static<Q>, Static<B>>),
  };
}

const nothing: TObject = Type.Object({}, { additionalProperties: false });
