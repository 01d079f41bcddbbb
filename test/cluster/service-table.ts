import type { Places } from "./places.ts";
import { run } from "./shell.ts";

/** How a node translates addresses of Services, as its kube-proxy has written it into nftables. */
export class ServiceTable {
  readonly #netns: string;

  constructor(places: Places, node: 1 | 2) {
    this.#netns = places.netns(node);
  }

  /** Addresses and ports that new connections to a Service go to. */
  async backends(namespace: string, service: string): Promise<{ address: string; port: number }[]> {
    const found = (await this.all()).get(`${namespace}/${service}`) ?? [];
    return found.map(({ ip, port }) => ({ address: ip, port }));
  }

  /** The same of all Services, by `namespace/name`. */
  async all(): Promise<Map<string, { ip: string; port: number }[]>> {
    const text = await run("nsenter", `--net=/run/netns/${this.#netns}`, "nft", "list", "table", "ip", "kube-proxy");
    const found = new Map<string, { ip: string; port: number }[]>();
    // chain service-<hash>-<namespace>/<name>/tcp/<port> { ... dnat ip to numgen random mod 1 map { 0 : 10.244.1.24 . 8080 } }
    for (const chain of text.split("\tchain ").slice(1)) {
      const key = /^service-\w+-([^/]+\/[^/]+)\//.exec(chain)?.[1];
      if (key === undefined) continue;
      const known = found.get(key) ?? [];
      // up to 1.34 each leads to a chain of its own: vmap { 0 : goto endpoint-<hash>-<namespace>/<name>/tcp/<port>__10.244.1.24/8080 }
      for (const [, ip = "", port] of chain.matchAll(/\d+ : (?:goto endpoint-\S+__)?([\d.]+)(?: \. |\/)(\d+)/g))
        known.push({ ip, port: Number(port) });
      found.set(key, known);
    }
    return found;
  }

  /** Resolves once the backends' ports fit; looks every 20 ms, because a table tells nobody that it has changed. */
  async until(
    namespace: string,
    service: string,
    fits: (ports: readonly number[]) => boolean,
    timeoutMs = 60_000,
  ): Promise<void> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const backends = await this.backends(namespace, service);
      if (fits(backends.map(({ port }) => port))) return;
      if (Date.now() > end) throw new Error(`${namespace}/${service} still leads to ${JSON.stringify(backends)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
