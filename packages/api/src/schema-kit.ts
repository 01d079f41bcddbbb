import { type TSchemaOptions, type TUnsafe, Type } from "typebox";

/** A string out of a list, in the form that Kubernetes' structural schemas know (`enum`, not `anyOf` of `const`). */
export function StringEnum<const T extends readonly string[]>(
  values: T,
  options: TSchemaOptions = {},
): TUnsafe<T[number]> {
  return Type.Unsafe<T[number]>({ type: "string", enum: [...values], ...options });
}

/** An object whose keys the API server keeps as they are. */
export function OpenObject(options: TSchemaOptions = {}): TUnsafe<Record<string, unknown>> {
  return Type.Unsafe<Record<string, unknown>>({
    type: "object",
    "x-kubernetes-preserve-unknown-fields": true,
    ...options,
  });
}
