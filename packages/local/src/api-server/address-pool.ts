import { isIPv4 } from "node:net";

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

/**
 * IPv4 addresses of a range such as `127.250.0.0/16`, handed out in turn, so that a freed address is not used again at
 * once. The network address, the first (the API server's own in a real cluster) and the broadcast address stay out.
 */
export class AddressPool {
  readonly cidr: string;
  readonly #first: number;
  readonly #last: number;
  readonly #used = new Set<number>();
  #next: number;

  /** Throws RangeError for a range that is not an IPv4 one of /8 to /30. */
  constructor(cidr: string) {
    const [base = "", bits = ""] = cidr.split("/");
    const length = Number(bits);
    if (!isIPv4(base) || !Number.isInteger(length) || length < 8 || length > 30) {
      throw new RangeError(`${cidr} is not an IPv4 range between /8 and /30`);
    }
    const size = 2 ** (32 - length);
    const network = toNumber(base) - (toNumber(base) % size);
    this.cidr = cidr;
    this.#first = network + 2;
    this.#last = network + size - 2;
    this.#next = this.#first;
  }

  /** A free address, or undefined when the range is full. */
  allocate(): string | undefined {
    const size = this.#last - this.#first + 1;
    if (this.#used.size >= size) return undefined;
    while (this.#used.has(this.#next)) this.#advance();
    const found = this.#next;
    this.#used.add(found);
    this.#advance();
    return toAddress(found);
  }

  /** Takes a given address: `outside` the range, already `taken`, or undefined when it is now the caller's. */
  reserve(address: string): "outside" | "taken" | undefined {
    const value = isIPv4(address) ? toNumber(address) : -1;
    if (value < this.#first - 1 || value > this.#last) return "outside";
    if (this.#used.has(value)) return "taken";
    this.#used.add(value);
    return undefined;
  }

  release(address: string): void {
    if (isIPv4(address)) this.#used.delete(toNumber(address));
  }

  #advance(): void {
    this.#next = this.#next >= this.#last ? this.#first : this.#next + 1;
  }
}
