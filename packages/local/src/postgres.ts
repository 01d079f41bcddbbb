import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync, globSync, readFileSync } from "node:fs";
import { appendFile, chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { defineErrors, errorText } from "@elasti/core";
import { endProgram, findProgram, ProgramLog } from "./programs.ts";

const errors = defineErrors({
  ELASTI_PROGRAM_MISSING: { status: 500, retryable: false, title: "A program is missing" },
  ELASTI_POSTGRES_FAILED: { status: 500, retryable: true, title: "PostgreSQL did not start" },
});

/** What to tell where PostgreSQL is not installed. */
export const MISSING_POSTGRES = "missing program: postgres (Debian package postgresql)";

export interface PostgresOptions {
  /** Directory of its programs; by default the one that `findPostgres` gives. */
  readonly programs?: string;
  /** Address to listen on; 127.0.0.1 where left out. */
  readonly host?: string;
  /** Of its configuration file, on top of what makes it quick: what it holds outlives no power cut. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly startTimeoutMs?: number;
}

export interface PostgresServer {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** `postgres://user:password@host:port/<database>`; its own database where left out. */
  url(database?: string): string;
  /** Lets go of its clients and ends, keeping what it holds. */
  stop(): Promise<void>;
  /** Begins again where `stop` ended it, at the same address. */
  start(): Promise<void>;
  /** Ends it and removes what it held. Idempotent. */
  close(): Promise<void>;
}

/** Below the ephemeral range, so that no connection of another program sits on its port while it is stopped. */
const PORTS = [30_000, 32_768] as const;
const ATTEMPTS = 10;
const loopback = "127.0.0.1";
const USER = "elasti";
/** Its own protocol has no use for these characters, addresses have. */
const PASSWORD = "s3cret/@:?#[]%";
const quick = {
  fsync: "off",
  full_page_writes: "off",
  synchronous_commit: "off",
  shared_buffers: "16MB",
  max_connections: "60",
  unix_socket_directories: "",
  log_min_messages: "warning",
};

/** The directory of PostgreSQL's server programs, the newest where there are several: packages keep them off the PATH. */
export function findPostgres(searchPath = ""): string | undefined {
  const [newest] = globSync("/usr/lib/postgresql/*/bin/initdb").sort((a, b) => versionOf(b) - versionOf(a));
  const initdb = newest ?? findProgram("initdb", searchPath);
  return initdb !== undefined && existsSync(join(dirname(initdb), "postgres")) ? dirname(initdb) : undefined;
}

const versionOf = (path: string): number => Number(/postgresql\/([\d.]+)\//.exec(path)?.[1] ?? 0);

/**
 * Starts a PostgreSQL of its own, on loopback where nothing else is said. It refuses to run as root and then runs as a user of its own, `postgres` or
 * `nobody`.
 * @throws ELASTI_PROGRAM_MISSING, ELASTI_POSTGRES_FAILED
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const programs = options.programs ?? findPostgres();
  if (programs === undefined) throw errors.ELASTI_PROGRAM_MISSING(MISSING_POSTGRES);
  const directory = await mkdtemp(join(tmpdir(), "elasti-postgres-"));
  const server = new OwnPostgres(programs, directory, options);
  try {
    await server.initialise();
    await server.start();
    return server;
  } catch (error) {
    await server.close();
    throw error;
  }
}

class OwnPostgres implements PostgresServer {
  readonly host: string;
  readonly user = USER;
  readonly password = PASSWORD;
  readonly #programs: string;
  readonly #directory: string;
  readonly #options: PostgresOptions;
  readonly #as: { readonly uid: number; readonly gid: number } | undefined;
  #port = 0;
  #running: { readonly child: ChildProcess; readonly log: ProgramLog } | undefined;
  #closing: Promise<void> | undefined;

  constructor(programs: string, directory: string, options: PostgresOptions) {
    this.#programs = programs;
    this.#directory = directory;
    this.#options = options;
    this.host = options.host ?? loopback;
    this.#as = process.getuid?.() === 0 ? ownUser() : undefined;
  }

  get port(): number {
    return this.#port;
  }

  url(database = "postgres"): string {
    return `postgres://${USER}:${encodeURIComponent(PASSWORD)}@${this.host}:${this.#port}/${database}`;
  }

  async initialise(): Promise<void> {
    const passwordFile = join(this.#directory, "password");
    await writeFile(passwordFile, PASSWORD);
    if (this.#as !== undefined) {
      for (const path of [this.#directory, passwordFile]) await chown(path, this.#as.uid, this.#as.gid);
    }
    const args = ["--auth=scram-sha-256", `--username=${USER}`, `--pwfile=${passwordFile}`];
    const more = ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions", `--pgdata=${this.#data}`];
    await promisify(execFile)(join(this.#programs, "initdb"), [...args, ...more], this.#spawning()).catch(
      (error: unknown) => {
        throw errors.ELASTI_POSTGRES_FAILED(`initdb: ${errorText(error)}`);
      },
    );
    // by itself it lets in who comes from loopback
    if (this.host !== loopback) await appendFile(join(this.#data, "pg_hba.conf"), "host all all all scram-sha-256\n");
  }

  async start(): Promise<void> {
    // a port of its own once it has one; before, another is tried where one is taken
    for (let attempt = 1; ; attempt++) {
      const port = this.#port || randomInt(...PORTS);
      try {
        await this.#startAt(port);
        this.#port = port;
        return;
      } catch (error) {
        await this.stop();
        if (attempt === ATTEMPTS || !/could not (bind|create any)/.test(errorText(error))) throw error;
      }
    }
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    // SIGINT: fast, without waiting for clients to leave
    if (running !== undefined) await endProgram(running.child, running.log, "SIGINT");
  }

  close(): Promise<void> {
    this.#closing ??= this.stop().then(() => rm(this.#directory, { recursive: true, force: true }));
    return this.#closing;
  }

  async #startAt(port: number): Promise<void> {
    const settings = { ...quick, ...this.#options.settings, listen_addresses: this.host, port: String(port) };
    const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const child = spawn(join(this.#programs, "postgres"), ["-D", this.#data, ...args], {
      ...this.#spawning(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    const log = new ProgramLog(child, /(WARNING|ERROR|FATAL|PANIC):/, (message) =>
      errors.ELASTI_POSTGRES_FAILED(`postgres: ${message}`),
    );
    this.#running = { child, log };
    const deadline = setTimeout(() => log.fail("it was not ready in time"), this.#options.startTimeoutMs ?? 30_000);
    try {
      await log.next(/database system is ready to accept connections/);
    } finally {
      clearTimeout(deadline);
    }
  }

  get #data(): string {
    return join(this.#directory, "data");
  }

  /** Nothing of our own environment: PGHOST and its like would reach it. */
  #spawning() {
    return { cwd: this.#directory, env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" }, ...this.#as };
  }
}

/** Whoever PostgreSQL may run as where we are root. */
function ownUser(): { readonly uid: number; readonly gid: number } {
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of ["postgres", "nobody"]) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw errors.ELASTI_POSTGRES_FAILED("PostgreSQL refuses to run as root, and there is no user postgres or nobody");
}
