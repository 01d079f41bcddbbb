import { lookup as systemLookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";

/**
 * Where queries may go. Triggers are written by tenants and asked by the operator, so their addresses are a way to make the
 * operator knock on doors. KubeElasti's manifests name their server in every trigger, and must apply unchanged: so `*` is
 * the default and means any host, except addresses that are no neighbour's Prometheus but the usual prey of such tricks
 * (loopback, link-local with the cloud's metadata service, unspecified, multicast), by name or by number. An entry of its
 * own, or being the default server, allows those too. What can be had is little in any case: one POST of a query, of
 * whose answer a number or Prometheus' own error text is shown.
 */
export class ServerPolicy {
  readonly #any: boolean;
  readonly #hosts: ReadonlySet<string>;
  readonly #suffixes: readonly string[];

  /** @param entries `*`, `host`, `host:port` or `*.suffix`; the default server's origin is one of them */
  constructor(entries: readonly string[]) {
    this.#any = entries.includes("*");
    this.#hosts = new Set(
      entries.filter((entry) => !entry.startsWith("*")).map((entry) => hostOf(entry.toLowerCase())),
    );
    this.#suffixes = entries.filter((entry) => entry.startsWith("*.")).map((entry) => entry.slice(1).toLowerCase());
  }

  /**
   * - `named`: allowed whatever it resolves to
   * - `guarded`: allowed by `*`, as long as it resolves to no address of `isProtectedAddress`
   * - `refused`
   */
  judge(url: URL): "named" | "guarded" | "refused" {
    const host = url.hostname.toLowerCase();
    if (this.#hosts.has(host) || this.#hosts.has(`${host}:${url.port || defaultPort(url)}`)) return "named";
    if (this.#suffixes.some((suffix) => host.endsWith(suffix))) return "named";
    if (!this.#any) return "refused";
    const literal = host.replace(/^\[|\]$/g, "");
    return isIP(literal) !== 0 && isProtectedAddress(literal) ? "refused" : "guarded";
  }
}

/** Accepts a whole address too: `http://prometheus:9090/prefix` -> `prometheus:9090`. */
function hostOf(entry: string): string {
  if (!URL.canParse(entry) || !/^https?:/.test(entry)) return entry;
  const url = new URL(entry);
  return `${url.hostname}:${url.port || defaultPort(url)}`;
}

const defaultPort = (url: URL): string => (url.protocol === "https:" ? "443" : "80");

const protectedAddresses = new BlockList();
protectedAddresses.addSubnet("0.0.0.0", 8, "ipv4");
protectedAddresses.addSubnet("127.0.0.0", 8, "ipv4");
protectedAddresses.addSubnet("169.254.0.0", 16, "ipv4");
protectedAddresses.addSubnet("224.0.0.0", 3, "ipv4");
protectedAddresses.addSubnet("::", 127, "ipv6");
protectedAddresses.addSubnet("fe80::", 10, "ipv6");
protectedAddresses.addSubnet("ff00::", 8, "ipv6");
// the metadata service of AWS over IPv6
protectedAddresses.addAddress("fd00:ec2::254", "ipv6");

/** Whether `*` does not stand for this address. IPv4 mapped into IPv6 counts as IPv4. */
export function isProtectedAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return true;
  return protectedAddresses.check(address, family === 4 ? "ipv4" : "ipv6");
}

/** Resolves as the system does, and fails with ELASTI_ADDRESS_PROTECTED where the name leads to a protected address. */
export const guardedLookup: LookupFunction = (hostname, options, callback) => {
  systemLookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, "", 4);
    const [first] = addresses;
    if (first === undefined || addresses.some(({ address }) => isProtectedAddress(address))) {
      return callback(Object.assign(new Error("protected address"), { code: "ELASTI_ADDRESS_PROTECTED" }), "", 4);
    }
    if (options.all === true) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
};
