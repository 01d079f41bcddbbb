/** The head of an answer, as far as the demo reads it. */
export interface AnswerHead {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

/** The head of an HTTP/1 answer out of its first bytes; undefined while it is not whole. */
export function readHead(text: string): AnswerHead | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0);
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status, headers: new Map(fields) };
}

/** Whether the pod itself saw this client: the sample app answers with the address that it was called from. */
export function isDirect(head: AnswerHead, clientAddress: string): boolean {
  return head.headers.get("x-peer")?.startsWith(`${clientAddress}:`) === true;
}

/** When the pod that answered had begun to listen, ms since the epoch. */
export function listeningAt(head: AnswerHead): number | undefined {
  const at = Number(head.headers.get("x-listening-at"));
  return at > 0 ? at : undefined;
}

/** Name of the pod that answered. */
export const podOf = (head: AnswerHead): string => head.headers.get("x-pod") ?? "an unknown pod";
