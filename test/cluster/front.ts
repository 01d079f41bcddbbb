import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Missing, which } from "./requirements.ts";

/** A place that a front passes requests on to. */
export interface Upstream {
  readonly address: string;
  readonly port: number;
}

/** A reverse proxy from a Debian package, as ingress controllers are made of. */
export interface Kind {
  readonly program: string;
  readonly package: string;
  /** Arguments with which it stays in the foreground and takes its configuration again at `reload`. */
  readonly args: (folder: string, file: string) => readonly string[];
  readonly reload: NodeJS.Signals;
  readonly configuration: (folder: string, port: number, upstreams: readonly Upstream[]) => string;
}

/** As ingress-nginx has it: kept connections to upstreams, and a request without a body tried again where one was closed. */
export const nginx: Kind = {
  program: "nginx",
  package: "nginx-light",
  args: (folder, file) => ["-p", folder, "-c", file, "-e", join(folder, "error.log")],
  reload: "SIGHUP",
  configuration: (folder, port, upstreams) => `
daemon off;
user root;
worker_processes 1;
pid ${folder}/nginx.pid;
events { worker_connections 512; }
http {
  access_log off;
  upstream app {
    ${upstreams.map(({ address, port: at }) => `server ${address}:${at} max_fails=0;`).join(" ") || "server 127.0.0.1:9 down;"}
    keepalive 32;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_connect_timeout 5s;
      proxy_read_timeout 300s;
    }
  }
}
`,
};

export const haproxy: Kind = {
  program: "haproxy",
  package: "haproxy",
  args: (_folder, file) => ["-W", "-db", "-f", file],
  reload: "SIGUSR2",
  configuration: (folder, port, upstreams) => `
global
  nbthread 1
  stats socket ${folder}/admin.sock mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  retries 3
  option redispatch
  # also where a kept connection was closed while the request was on its way
  retry-on conn-failure empty-response
frontend in
  bind 127.0.0.1:${port}
  default_backend app
backend app
  http-reuse always
  http-request disable-l7-retry unless METH_GET
${upstreams.map(({ address, port: at }, index) => `  server s${index} ${address}:${at}`).join("\n")}
`,
};

/** Below those that outgoing connections take. */
let nextPort = 8101;

/** A running one, on a port of the loopback. */
export class Front {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly #kind: Kind;
  readonly #folder: string;
  readonly #process: ChildProcess;
  #said = "";

  private constructor(kind: Kind, folder: string, port: number, process: ChildProcess) {
    this.#kind = kind;
    this.#folder = folder;
    this.port = port;
    this.#process = process;
    process.stderr?.on("data", (chunk: Buffer) => {
      this.#said = `${this.#said}${chunk}`.slice(-4_000);
    });
  }

  /** Resolves once it accepts connections. @throws Missing, or an Error with what the program said */
  static async start(kind: Kind, upstreams: readonly Upstream[]): Promise<Front> {
    const program = which(kind.program);
    if (program === undefined) throw new Missing(`apt-get install -y ${kind.package}`);
    const folder = await mkdtemp(join(tmpdir(), "elasti-front-"));
    const port = nextPort++;
    const file = join(folder, "front.conf");
    await writeFile(file, kind.configuration(folder, port, upstreams));
    const child = spawn(program, kind.args(folder, file), { stdio: ["ignore", "ignore", "pipe"] });
    const front = new Front(kind, folder, port, child);
    try {
      await front.#accepts();
    } catch (error) {
      await front.close();
      throw error;
    }
    return front;
  }

  /** Writes the configuration and has it taken; what is under way with the former one is finished by it. */
  async reload(upstreams: readonly Upstream[]): Promise<void> {
    const file = join(this.#folder, "front.conf");
    await writeFile(`${file}.next`, this.#kind.configuration(this.#folder, this.port, upstreams));
    await rename(`${file}.next`, file);
    this.#process.kill(this.#kind.reload);
  }

  /** What it complained about. */
  async complaints(): Promise<string> {
    return `${this.#said}${await readFile(join(this.#folder, "error.log"), "utf8").catch(() => "")}`;
  }

  /** Ends it with all of its processes. Idempotent. */
  async close(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, "exit");
      this.#process.kill("SIGTERM");
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #accepts(): Promise<void> {
    for (let tries = 0; tries < 500; tries++) {
      if (this.#process.exitCode !== null) break;
      if (await canConnect(this.port)) return;
      await pause(20);
    }
    throw new Error(`${this.#kind.program} accepts nothing: ${await this.complaints()}`);
  }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
