import { readFile } from "node:fs/promises";
import { type Clock, errorText } from "@elasti/core";
import { kubeErrors } from "./errors.ts";

/** The kubelet rotates a pod's token when 80% of its life is over: a minute is early enough. */
const freshMs = 60_000;

/**
 * The token in a file that somebody else renews: read again at most once a minute. A read that fails leaves the former one.
 * @throws ELASTI_KUBE_BAD_KUBECONFIG when the file could never be read
 */
export function fileToken(path: string, clock: Clock): () => Promise<string> {
  let known: string | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<string> | undefined;
  const refresh = async (): Promise<string> => {
    try {
      const text = (await readFile(path, "utf8")).trim();
      // half of a rotation must not be taken for a token
      if (text !== "") known = text;
    } catch (cause) {
      if (known === undefined) {
        throw kubeErrors.ELASTI_KUBE_BAD_KUBECONFIG(`token file cannot be read: ${errorText(cause)}`, { cause });
      }
    } finally {
      readAt = clock.monotonic();
      reading = undefined;
    }
    if (known === undefined) throw kubeErrors.ELASTI_KUBE_BAD_KUBECONFIG(`token file ${path} is empty`);
    return known;
  };
  return async () => {
    if (known !== undefined && clock.monotonic() - readAt < freshMs) return known;
    reading ??= refresh();
    return await reading;
  };
}
