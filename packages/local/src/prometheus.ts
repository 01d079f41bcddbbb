import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineErrors } from "@elasti/core";
import { endProgram, findProgram, ProgramLog } from "./programs.ts";

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

/** Beside the configuration file. */
const RULES = "rules.yml";

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
  const log = new ProgramLog(child, /level=(warn|error)/i, (message) =>
    errors.ELASTI_PROMETHEUS_FAILED(`prometheus: ${message}`),
  );
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= endProgram(child, log, "SIGTERM").then(() => rm(directory, { recursive: true, force: true }));
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
