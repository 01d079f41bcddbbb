/** A place in a HoldQueue. Belongs to one queue at a time. */
export interface QueueNode<T> {
  readonly value: T;
  /** Order of arrival in the process; a node that comes back keeps its place. */
  readonly seq: number;
  prev: QueueNode<T> | undefined;
  next: QueueNode<T> | undefined;
  queued: boolean;
}

export function queueNode<T>(value: T, seq: number): QueueNode<T> {
  return { value, seq, prev: undefined, next: undefined, queued: false };
}

/**
 * A FIFO with removal from anywhere in constant time: a doubly linked list. What comes back (`restore`) is sorted in by
 * arrival, from the tail, where it mostly belongs because refusals arrive about in order.
 */
export class HoldQueue<T> {
  #head: QueueNode<T> | undefined;
  #tail: QueueNode<T> | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get head(): QueueNode<T> | undefined {
    return this.#head;
  }

  push(node: QueueNode<T>): void {
    this.#insertAfter(this.#tail, node);
  }

  /** Puts a node at its place by arrival. */
  restore(node: QueueNode<T>): void {
    let before = this.#tail;
    while (before !== undefined && before.seq > node.seq) before = before.prev;
    this.#insertAfter(before, node);
  }

  /** False when the node was not in a queue (any more). */
  remove(node: QueueNode<T>): boolean {
    if (!node.queued) return false;
    if (node.prev === undefined) this.#head = node.next;
    else node.prev.next = node.next;
    if (node.next === undefined) this.#tail = node.prev;
    else node.next.prev = node.prev;
    node.prev = undefined;
    node.next = undefined;
    node.queued = false;
    this.#length -= 1;
    return true;
  }

  #insertAfter(before: QueueNode<T> | undefined, node: QueueNode<T>): void {
    if (node.queued) throw new Error("the node is in a queue already");
    node.prev = before;
    node.next = before === undefined ? this.#head : before.next;
    if (node.next === undefined) this.#tail = node;
    else node.next.prev = node;
    if (before === undefined) this.#head = node;
    else before.next = node;
    node.queued = true;
    this.#length += 1;
  }
}
