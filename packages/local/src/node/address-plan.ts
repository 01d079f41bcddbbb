import { createServer, type Server } from "node:net";
import { defineErrors } from "@elasti/core";

const errors = defineErrors({
  ELASTI_LOCAL_NO_ADDRESSES: {
    status: 503,
    retryable: true,
    title: "Every address range of the local cluster is in use",
  },
});

/** Clusters that can run at the same time on one machine. */
export const CLUSTER_SLOTS = 16;
export const MAX_NODES = 90;
/** The port whose listener marks a slot as taken; the kernel gives it back however the process ends. */
const LOCK_PORT = 20_999;
const PODS_PER_SLOT = 65_536 / CLUSTER_SLOTS;

/**
 * Where everything of one local cluster has its address, all inside 127/8, which Linux accepts without configuration:
 * Services 127.(1+slot)/16, node n and its pods 127.(20+n)/16 (a sixteenth of it per slot), clients that want to be seen
 * as being on node n 127.(120+n)/16. Nodes count from 1.
 */
export class AddressPlan {
  readonly slot: number;
  readonly #lock: Server | undefined;
  readonly #nextPod = new Map<number, number>();

  constructor(slot = 0, lock?: Server) {
    this.slot = slot;
    this.#lock = lock;
  }

  /** A plan whose ranges no other running cluster of this machine uses. Throws ELASTI_LOCAL_NO_ADDRESSES when all are taken. */
  static async claim(): Promise<AddressPlan> {
    for (let slot = 0; slot < CLUSTER_SLOTS; slot++) {
      const lock = await tryListen(`127.${1 + slot}.255.254`, LOCK_PORT);
      if (lock !== undefined) return new AddressPlan(slot, lock);
    }
    throw errors.ELASTI_LOCAL_NO_ADDRESSES(
      `${CLUSTER_SLOTS} local clusters run already, or port ${LOCK_PORT} is in use`,
    );
  }

  /** For the API server: cluster IPs come from here. */
  get serviceCidr(): string {
    return `127.${1 + this.slot}.0.0/16`;
  }

  /** The node's own address: the source of its probes and of masqueraded connections. */
  nodeAddress(node: number): string {
    return this.#address(20 + node, 1);
  }

  /** The next pod address of a node. Addresses come round again only after about 4,000 pods. */
  nextPodAddress(node: number): string {
    const index = this.#nextPod.get(node) ?? 2;
    this.#nextPod.set(node, index + 1 >= PODS_PER_SLOT - 1 ? 2 : index + 1);
    return this.#address(20 + node, index);
  }

  /** A client address that the Services take for one on this node; `index` from 1 to 65,000. */
  clientAddress(node: number, index = 1): string {
    return `127.${120 + node}.${(index >> 8) & 255}.${index & 255}`;
  }

  async close(): Promise<void> {
    const lock = this.#lock;
    if (lock?.listening === true) await new Promise<void>((resolve) => lock.close(() => resolve()));
  }

  #address(second: number, index: number): string {
    const offset = this.slot * PODS_PER_SLOT + index;
    return `127.${second}.${(offset >> 8) & 255}.${offset & 255}`;
  }
}

/** The node on which the Services see a client, by its address; whatever is in no range is on node 1. */
export function nodeOfAddress(address: string | undefined): number {
  const second = address?.startsWith("127.") === true ? Number(address.split(".", 2)[1]) : 0;
  if (second > 120 && second <= 120 + MAX_NODES) return second - 120;
  if (second > 20 && second <= 20 + MAX_NODES) return second - 20;
  return 1;
}

function tryListen(host: string, port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", () => resolve(undefined));
    server.listen({ host, port, exclusive: true }, () => resolve(server.unref()));
  });
}
