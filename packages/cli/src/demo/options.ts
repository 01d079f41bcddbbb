/** What the demo was asked to do. */
export interface DemoOptions {
  /** Three cycles, then the end; otherwise it runs until it is stopped. */
  readonly once: boolean;
  /** The last line is the result as JSON. */
  readonly json: boolean;
  /** Install nothing. */
  readonly noInstall: boolean;
  /** How long the sample app works before it listens, in ms. */
  readonly startMs: number;
}

export type ParsedOptions =
  | { readonly kind: "run"; readonly options: DemoOptions }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string };

const MAX_START_MS = 60_000;

export const usage = `usage: elasti demo [--once [--json]] [--no-install] [--start-ms <ms>]

Runs an embedded Kubernetes with two operators, two resolvers and a sample app at zero replicas on this machine, and
shows what happens when the app is called and when it is left alone.

  --once           three whole cycles, then exits: 1 when a request failed or the app did not fall asleep again
  --json           the last line of --once is the result as JSON
  --no-install     do not install Prometheus where it is missing; the resolver then stays in the path
  --start-ms <ms>  how long the sample app takes to start (500)
  --help           this text
`;

/** Understands the arguments of `elasti demo`; the first thing that is wrong is said in one line. */
export function parseOptions(args: readonly string[]): ParsedOptions {
  let once = false;
  let json = false;
  let noInstall = false;
  let startMs = 500;
  const wrong = (message: string): ParsedOptions => ({ kind: "wrong", message });
  for (let i = 0; i < args.length; i++) {
    const [flag = "", inline] = args[i]!.split("=", 2);
    if (inline !== undefined && flag !== "--start-ms") return wrong(`${flag} takes no value`);
    switch (flag) {
      case "--once":
        once = true;
        break;
      case "--json":
        json = true;
        break;
      case "--no-install":
        noInstall = true;
        break;
      case "--start-ms": {
        const text = inline ?? args[++i] ?? "";
        startMs = Number(text);
        if (!/^\d+$/.test(text) || startMs > MAX_START_MS) {
          return wrong(`--start-ms: expected whole milliseconds from 0 to ${MAX_START_MS}, got "${text}"`);
        }
        break;
      }
      case "--help":
      case "-h":
        return { kind: "help" };
      default:
        return wrong(`unknown argument "${args[i]}"; elasti demo --help lists them`);
    }
  }
  if (json && !once) return wrong("--json is the result of --once; give both");
  return { kind: "run", options: { once, json, noInstall, startMs } };
}
