import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { defineErrors } from "@elasti/core";

const errors = defineErrors({
  ELASTI_PROGRAM_MISSING: { status: 500, retryable: false, title: "A program is missing" },
  ELASTI_PROMETHEUS_FAILED: { status: 500, retryable: false, title: "Prometheus did not start" },
});

/** What to tell where Prometheus is not installed. */
export const MISSING_PROMETHEUS = "missing program: prometheus (Debian package prometheus)";

export interface ScrapeTarget {
  readonly job: string;
  /** `host:port`, one or several. */
  readonly addresses: readonly string[];
  /** `/metrics` where left out. */
  readonly path?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface PrometheusOptions {
  /** What it watches: targets, or scrape_configs in the form of its configuration file. */
  readonly scrapeTargets?: readonly ScrapeTarget[];
  readonly scrapeConfigs?: readonly object[];
  readonly scrapeIntervalMs?: number;
  /** Rules in the form of its rule files, evaluated as often as it scrapes. */
  readonly rules?: string;
  /** Kept after `close()`; left out, a directory of its own that is removed. */
  readonly dataDir?: string;
  /** Path of the program; by default the one that `findProgram` gives. */
  readonly program?: string;
  /** Address to listen on; 127.0.0.1 where left out. */
  readonly host?: string;
  /** 0 for a free one. */
  readonly port?: number;
  readonly startTimeoutMs?: number;
}

export interface PrometheusProcess {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  readonly pid: number;
  /** Ends it and waits until it is gone. Idempotent. */
  close(): Promise<void>;
}

const KILL_AFTER_MS = 5_000;
const KEPT_LINES = 20;
/** Beside the configuration file. */
const RULES = "rules.yml";
const usualPlaces = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/opt/homebrew/bin"];

/**
 * The path of an installed program, or undefined.
 * @param searchPath directories in the form of PATH, looked at before the usual ones
 */
export function findProgram(name: string, searchPath = ""): string | undefined {
  for (const directory of [...searchPath.split(delimiter).filter((part) => part !== ""), ...usualPlaces]) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // not here
    }
  }
  return undefined;
}

/**
 * Starts a Prometheus of its own on loopback, which also watches itself as `container="prometheus"`, so that the default
 * uptimeFilter fits. It finds its targets about 5 s after its start: its own pace, which no setting changes.
 * @throws ELASTI_PROGRAM_MISSING, ELASTI_PROMETHEUS_FAILED
 */
export async function startPrometheus(options: PrometheusOptions = {}): Promise<PrometheusProcess> {
  const program = options.program ?? findProgram("prometheus");
  if (program === undefined) throw errors.ELASTI_PROGRAM_MISSING(MISSING_PROMETHEUS);
  const directory = await mkdtemp(join(tmpdir(), "elasti-prometheus-"));
  const dataDir = options.dataDir ?? join(directory, "data");
  await mkdir(dataDir, { recursive: true });
  const configFile = join(directory, "prometheus.yml");
  if (options.rules !== undefined) await writeFile(join(directory, RULES), options.rules);
  // a JSON text is a YAML text
  await writeFile(configFile, JSON.stringify(configOf(options)));

  const child = spawn(
    program,
    [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${dataDir}`,
      `--web.listen-address=${options.host ?? "127.0.0.1"}:${options.port ?? 0}`,
      "--log.level=info",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const log = new PrometheusLog(child);
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= end(child, log).then(() => rm(directory, { recursive: true, force: true }));
    return closing;
  };
  const deadline = setTimeout(() => log.fail("it was not ready in time"), options.startTimeoutMs ?? 20_000);
  try {
    // both at once: the lines may come together
    const [[, address]] = await Promise.all([
      log.next(/msg="Listening on".*?address=(\S+)/),
      log.next(/Server is ready to receive web requests/),
    ]);
    // it can watch itself only once it knows its port
    const reloaded = log.next(/Completed loading of configuration file/);
    reloaded.catch(() => undefined);
    await writeFile(configFile, JSON.stringify(configOf(options, address)));
    child.kill("SIGHUP");
    await reloaded;
    return { url: `http://${address}`, pid: child.pid!, close };
  } catch (error) {
    await close();
    throw error;
  } finally {
    clearTimeout(deadline);
  }
}

function configOf(options: PrometheusOptions, self?: string): object {
  const { scrapeTargets = [], scrapeConfigs = [], scrapeIntervalMs = 1_000 } = options;
  const interval = `${scrapeIntervalMs}ms`;
  return {
    global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
    ...(options.rules === undefined ? {} : { rule_files: [RULES] }),
    scrape_configs: [
      ...(self === undefined
        ? []
        : [{ job_name: "prometheus", static_configs: [{ targets: [self], labels: { container: "prometheus" } }] }]),
      ...scrapeTargets.map(({ job, addresses, path = "/metrics", labels = {} }) => ({
        job_name: job,
        metrics_path: path,
        static_configs: [{ targets: addresses, labels }],
      })),
      ...scrapeConfigs,
    ],
  };
}

/** Waits for lines of the log; ends with the process. */
class PrometheusLog {
  readonly ended: Promise<void>;
  readonly #last: string[] = [];
  readonly #waiting = new Set<{ pattern: RegExp; found: PromiseWithResolvers<RegExpExecArray> }>();
  #failure: string | undefined;

  constructor(child: ChildProcess) {
    const ended = Promise.withResolvers<void>();
    this.ended = ended.promise;
    createInterface({ input: child.stderr! }).on("line", (line) => this.#read(line));
    child.once("error", (error) => {
      this.fail(error.message);
      if (child.pid === undefined) ended.resolve();
    });
    // `close` comes after the last line, `exit` may come before it
    child.once("close", (code, signal) => {
      this.fail(`it ended with ${signal ?? code}`);
      ended.resolve();
    });
  }

  /** The next line that fits. */
  next(pattern: RegExp): Promise<RegExpExecArray> {
    const found = Promise.withResolvers<RegExpExecArray>();
    if (this.#failure !== undefined) found.reject(this.#error());
    else this.#waiting.add({ pattern, found });
    return found.promise;
  }

  fail(reason: string): void {
    this.#failure ??= reason;
    for (const { found } of this.#waiting) found.reject(this.#error());
    this.#waiting.clear();
  }

  #read(line: string): void {
    this.#last.push(line);
    if (this.#last.length > KEPT_LINES) this.#last.shift();
    for (const entry of this.#waiting) {
      const match = entry.pattern.exec(line);
      if (match === null) continue;
      this.#waiting.delete(entry);
      entry.found.resolve(match);
    }
  }

  #error(): Error {
    const telling = this.#last.filter((line) => /level=(warn|error)/i.test(line));
    return errors.ELASTI_PROMETHEUS_FAILED(`prometheus: ${this.#failure}; ${telling.join("; ") || "it said nothing"}`);
  }
}

async function end(child: ChildProcess, log: PrometheusLog): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
  const kill = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
  await log.ended;
  clearTimeout(kill);
}
