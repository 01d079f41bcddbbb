import { connect } from "node:net";
import { errorText } from "@elasti/core";
import { type AnswerHead, readHead } from "./answer.ts";

export type Answer =
  | { readonly ok: true; readonly head: AnswerHead; readonly answeredAt: number; readonly elapsedMs: number }
  | { readonly ok: false; readonly problem: string; readonly elapsedMs: number };

/**
 * One GET on a connection of its own, sent once and never again. Its time is taken when the head of the answer is there; it
 * is settled when the whole answer is. Never throws.
 */
export function request(options: {
  host: string;
  port: number;
  path: string;
  localAddress: string;
  timeoutMs: number;
}): Promise<Answer> {
  const { host, port, path, localAddress, timeoutMs } = options;
  const startedAt = performance.now();
  const { promise, resolve } = Promise.withResolvers<Answer>();
  const socket = connect({ host, port, localAddress, noDelay: true });
  const fail = (problem: string) => {
    resolve({ ok: false, problem, elapsedMs: performance.now() - startedAt });
    socket.destroy();
  };
  let text = "";
  let answer: Extract<Answer, { ok: true }> | undefined;
  socket.setTimeout(timeoutMs, () => fail(`no answer within ${timeoutMs} ms`));
  socket.once("connect", () => {
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nUser-Agent: elasti-demo\r\nConnection: close\r\n\r\n`,
    );
  });
  socket.on("data", (chunk) => {
    if (answer !== undefined) return;
    text += chunk.toString("latin1");
    const head = readHead(text);
    if (head === undefined) return;
    answer = { ok: true, head, answeredAt: Date.now(), elapsedMs: performance.now() - startedAt };
    if (head.status !== 200) fail(`HTTP ${head.status}: ${text.slice(text.indexOf("\r\n\r\n") + 4, 500)}`);
  });
  socket.once("error", (error) => fail(errorText(error)));
  socket.once("close", () => {
    if (answer === undefined) fail("the connection was closed without an answer");
    else resolve(answer);
  });
  return promise;
}
