import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

/** How long a program may take to end once it was told to, in ms. */
const END_MS = 20_000;

/**
 * A program of the benchmark in a process of its own, so that its CPU time can be told from that of the others. It is told its
 * options, says once what others need to know of it, and from then on answers when it is asked; it ends when it is let go.
 */
export class Child<Ready, Answer> {
  readonly ready: Ready;
  readonly pid: number;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, ready: Ready) {
    this.#process = process;
    this.ready = ready;
    this.pid = process.pid!;
  }

  /** @param program beside this file @param execArgv options for Node.js itself */
  static async start<Ready, Answer>(
    program: string,
    options: object,
    execArgv: readonly string[] = [],
  ): Promise<Child<Ready, Answer>> {
    const child = fork(new URL(program, import.meta.url), { execArgv: [...execArgv], stdio: ["ignore", 2, 2, "ipc"] });
    child.send(options);
    return new Child<Ready, Answer>(child, await heard<Ready>(child, program));
  }

  /** What it answers now. */
  async ask(): Promise<Answer> {
    const answer = heard<Answer>(this.#process, "a program of the benchmark");
    this.#process.send("ask");
    return await answer;
  }

  async close(): Promise<void> {
    const { exitCode, signalCode } = this.#process;
    if (exitCode !== null || signalCode !== null) return;
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), END_MS);
    const ended = once(this.#process, "exit");
    if (this.#process.connected) this.#process.disconnect();
    await ended;
    clearTimeout(timer);
  }
}

async function heard<T>(child: ChildProcess, program: string): Promise<T> {
  const left = new AbortController();
  try {
    const said = once(child, "message", left) as Promise<[T]>;
    const ended = once(child, "exit", left).then(() => {
      throw new Error(`${program} has ended`);
    });
    const [message] = await Promise.race([said, ended]);
    return message;
  } finally {
    left.abort();
  }
}

/**
 * The other end of it, in the program: begins with its options, answers each time it is asked, and ends with the benchmark.
 * @param begin makes what the program is for
 */
export function serve<Options>(
  begin: (
    options: Options,
  ) => Promise<{ ready: object; answer: () => object | Promise<object>; close: () => Promise<void> }>,
): void {
  const told = once(process, "message") as Promise<[Options]>;
  const gone = once(process, "disconnect");
  void (async () => {
    const [options] = await told;
    const { ready, answer, close } = await begin(options);
    process.on("message", async () => process.send?.(await answer()));
    process.send?.(ready);
    await gone;
    await close();
  })();
}
