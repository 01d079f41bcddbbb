import { isJsonObject, type JsonObject } from "./json.ts";
import { badRequest } from "./status-error.ts";

/**
 * The few Kubernetes protobuf messages that kubectl insists on sending: `kubectl create namespace` and other generators
 * write protobuf to every server. Field numbers are those of the published generated.proto files.
 */
type Field =
  | { readonly name: string; readonly type: "string" | "int" }
  | { readonly name: string; readonly type: "message"; readonly message: Message; readonly list?: boolean }
  | { readonly name: string; readonly type: "map" };
type Message = Readonly<Record<number, Field>>;

const objectMeta: Message = {
  1: { name: "name", type: "string" },
  2: { name: "generateName", type: "string" },
  3: { name: "namespace", type: "string" },
  11: { name: "labels", type: "map" },
  12: { name: "annotations", type: "map" },
};

const intOrString: Message = {
  1: { name: "type", type: "int" },
  2: { name: "intVal", type: "int" },
  3: { name: "strVal", type: "string" },
};

const servicePort: Message = {
  1: { name: "name", type: "string" },
  2: { name: "protocol", type: "string" },
  3: { name: "port", type: "int" },
  4: { name: "targetPort", type: "message", message: intOrString },
  5: { name: "nodePort", type: "int" },
};

const serviceSpec: Message = {
  1: { name: "ports", type: "message", message: servicePort, list: true },
  2: { name: "selector", type: "map" },
  3: { name: "clusterIP", type: "string" },
  4: { name: "type", type: "string" },
  10: { name: "externalName", type: "string" },
};

const metadata: Field = { name: "metadata", type: "message", message: objectMeta };

const kinds: Readonly<Record<string, Message>> = {
  "v1/Namespace": { 1: metadata },
  "v1/ConfigMap": { 1: metadata, 2: { name: "data", type: "map" } },
  "v1/ServiceAccount": { 1: metadata },
  "v1/Service": { 1: metadata, 2: { name: "spec", type: "message", message: serviceSpec } },
};

const deleteOptions: Message = {
  1: { name: "gracePeriodSeconds", type: "int" },
  2: {
    name: "preconditions",
    type: "message",
    message: { 1: { name: "uid", type: "string" }, 2: { name: "resourceVersion", type: "string" } },
  },
  4: { name: "propagationPolicy", type: "string" },
};

/** Reads the wire format: varints and length-delimited fields; the fixed-width ones are skipped. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): number {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) break;
      this.#at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
    throw badRequest("the protobuf body is cut short");
  }

  bytes(length = this.varint()): Buffer {
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) throw badRequest("the protobuf body is cut short");
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  /** The value of a field of the given wire type. */
  value(wireType: number): number | Buffer | undefined {
    if (wireType === 0) return this.varint();
    if (wireType === 2) return this.bytes();
    this.bytes(wireType === 1 ? 8 : 4);
    return undefined;
  }
}

function mapEntry(bytes: Buffer): [string, string] {
  const { key = "", value = "" } = decode(bytes, {
    1: { name: "key", type: "string" },
    2: { name: "value", type: "string" },
  });
  return [String(key), String(value)];
}

function decode(bytes: Buffer, message: Message): JsonObject {
  const object: JsonObject = {};
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    const value = reader.value(tag & 7);
    const field = message[tag >>> 3];
    if (field === undefined || value === undefined) continue;
    const { name } = field;
    if (typeof value === "number") object[name] = value;
    else if (field.type === "string") {
      if (value.length > 0) object[name] = value.toString();
    } else if (field.type === "map") {
      object[name] = { ...(isJsonObject(object[name]) ? object[name] : {}), ...Object.fromEntries([mapEntry(value)]) };
    } else if (field.type === "message") {
      const inner =
        field.message === intOrString ? intOrStringValue(decode(value, intOrString)) : decode(value, field.message);
      if (field.list !== true) object[name] = inner;
      else object[name] = [...(Array.isArray(object[name]) ? object[name] : []), inner];
    }
  }
  return object;
}

function intOrStringValue({ type, intVal, strVal }: JsonObject): unknown {
  return type === 1 ? strVal : (intVal ?? 0);
}

const magic = Buffer.from("k8s\0");
const typeMeta: Message = { 1: { name: "apiVersion", type: "string" }, 2: { name: "kind", type: "string" } };

/** A protobuf body as the JSON object it stands for; undefined for a kind that is not known in this form. Throws 400. */
export function decodeProtobuf(body: Buffer): JsonObject | undefined {
  if (!body.subarray(0, 4).equals(magic)) throw badRequest("the protobuf body does not start with its magic bytes");
  const reader = new Reader(body.subarray(4));
  let meta: JsonObject = {};
  let raw: Buffer = Buffer.alloc(0);
  while (!reader.done) {
    const tag = reader.varint();
    const value = reader.value(tag & 7);
    if (!Buffer.isBuffer(value)) continue;
    if (tag >>> 3 === 1) meta = decode(value, typeMeta);
    else if (tag >>> 3 === 2) raw = value;
  }
  const message = meta.kind === "DeleteOptions" ? deleteOptions : kinds[`${meta.apiVersion}/${meta.kind}`];
  return message === undefined ? undefined : { ...meta, ...decode(raw, message) };
}
