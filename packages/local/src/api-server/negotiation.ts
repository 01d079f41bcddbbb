import type { IncomingMessage } from "node:http";
import { decodeProtobuf } from "./protobuf.ts";
import { badRequest, bodyTooLarge, notAcceptable, unsupportedMediaType } from "./status-error.ts";

export const protobufType = "application/vnd.kubernetes.protobuf";

/** The form in which objects are asked for. */
export type Form = "plain" | "table" | "partial";

/** The first form of the Accept header that is served. Throws 406 when none is. */
export function acceptedForm(accept: string | undefined): Form {
  if (accept === undefined || accept === "") return "plain";
  for (const range of accept.split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim());
    if (!["application/json", "application/*", "*/*"].includes(type)) continue;
    const as = parameters.find((parameter) => parameter.startsWith("as="))?.slice(3);
    if (as === undefined) return "plain";
    if (as === "Table") return "table";
    if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return "partial";
  }
  throw notAcceptable();
}

export function mediaType(request: IncomingMessage): string {
  return (request.headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase();
}

/** The JSON body of a request; undefined when it is empty. Throws 413, 415 or 400. */
export async function readBody(
  request: IncomingMessage,
  accepted: readonly string[],
  maxBytes: number,
): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
  }
  if (size > maxBytes) throw bodyTooLarge(maxBytes);
  if (size === 0) return undefined;
  const type = mediaType(request);
  if (type !== "" && !accepted.includes(type)) throw unsupportedMediaType(accepted);
  if (type === protobufType) {
    const object = decodeProtobuf(Buffer.concat(chunks));
    if (object === undefined) throw unsupportedMediaType(accepted.filter((one) => one !== protobufType));
    return object;
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch (error) {
    throw badRequest(`error decoding request body: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The field manager of a write: the query's, else the program name of the User-Agent. */
export function fieldManager(request: IncomingMessage, query: URLSearchParams): string {
  const asked = query.get("fieldManager");
  if (asked !== null && asked !== "") return asked;
  return (request.headers["user-agent"] ?? "unknown").split("/")[0]!.slice(0, 128) || "unknown";
}
