import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fineTime } from "../cluster/audit-log.ts";
import { Places } from "../cluster/places.ts";
import { median, rounded, tell } from "./figures.ts";
import type { RealMoments } from "./real-moments.ts";
import type { WakeSample } from "./wake-samples.ts";

/** Moments of a cold start in their usual order, ms since the client began to connect. */
const names = [
  "PATCH of /scale comes in",
  "PATCH of /scale is answered",
  "pod is created",
  "pod is bound to a node",
  "sandbox runs",
  "container is started",
  "app accepts connections",
  "kubelet reports the address",
  "a watch of pods shows the address",
  "address is published in the slice",
  "a watch of slices shows the address",
  "the client has the head",
] as const;
type Name = (typeof names)[number];
type Start = Readonly<Record<Name, number | undefined>> & { readonly serverTiming: string; readonly oursMs: number };

/** Takes cold starts of a real node apart, from the logs of those who had a part in them. */
export class StartPhases {
  readonly #starts: Start[] = [];

  async add(sample: WakeSample, moments: RealMoments): Promise<void> {
    const { from, pod, headAt } = sample;
    const calls = (await moments.callsSince(from)).filter(({ code }) => code < 300);
    const scale = calls.find(({ resource, receivedAt }) => resource === "deployments/scale" && receivedAt >= from);
    const created = calls.find(({ resource, verb }) => resource === "pods" && verb === "create");
    const bound = calls.find(({ resource, name }) => resource === "pods/binding" && name === pod);
    const seen = moments.seenAt(pod);
    const reports = calls.filter(
      ({ resource, name, receivedAt }) =>
        resource === "pods/status" && name === pod && receivedAt < Math.max(seen.inPod ?? 0, sample.publishedAt),
    );
    const runtime = await runtimeMoments(pod);
    const since = (at: number | undefined) => (at === undefined ? undefined : at - from);
    this.#starts.push({
      "PATCH of /scale comes in": since(scale?.receivedAt),
      "PATCH of /scale is answered": since(scale?.answeredAt),
      "pod is created": since(created?.answeredAt),
      "pod is bound to a node": since(bound?.answeredAt),
      "sandbox runs": since(runtime.sandbox),
      "container is started": since(runtime.started),
      "app accepts connections": since(sample.listeningAt),
      "kubelet reports the address": since(reports.at(-1)?.answeredAt),
      "a watch of pods shows the address": since(seen.inPod),
      "address is published in the slice": since(sample.publishedAt),
      "a watch of slices shows the address": since(seen.inSlice),
      "the client has the head": since(headAt),
      serverTiming: sample.serverTiming,
      oursMs: sample.notifyToScaleMs + sample.overheadMs,
    });
  }

  /** Tells the median of every moment, the one start whose whole time is the median, and the one that took us the longest. */
  tell(): void {
    if (this.#starts.length === 0) return;
    const whole = (start: Start) => start["the client has the head"] ?? 0;
    const sorted = this.#starts.toSorted((a, b) => whole(a) - whole(b));
    const one = sorted[sorted.length >> 1]!;
    const slow = this.#starts.reduce((a, b) => (b.oursMs > a.oursMs ? b : a));
    tell("moments of a cold start, ms since the client began to connect: median of all, one start, the worst of ours");
    for (const name of names) {
      const all = this.#starts.map((start) => start[name]).filter((at) => at !== undefined);
      tell(
        `${name.padEnd(40)} ${String(rounded(median(all))).padStart(8)} ${String(round(one[name])).padStart(8)} ${String(round(slow[name])).padStart(8)}`,
      );
    }
    tell(`Server-Timing of the one: ${one.serverTiming}; of the worst: ${slow.serverTiming}`);
    const ahead = this.#starts.map(
      (start) =>
        (start["a watch of slices shows the address"] ?? Number.NaN) -
        (start["a watch of pods shows the address"] ?? Number.NaN),
    );
    tell(`a watch of pods is ahead of one of slices by ${rounded(median(ahead))} ms (median)`);
    const late = this.#starts.map(
      (start) =>
        (start["app accepts connections"] ?? Number.NaN) - (start["address is published in the slice"] ?? Number.NaN),
    );
    tell(`starts in which the app accepts after its address is published: ${late.filter((ms) => ms > 0).length}`);
  }
}

const round = (ms: number | undefined) => (ms === undefined ? "?" : rounded(ms));

/** What containerd says of a pod's sandbox and container. */
async function runtimeMoments(pod: string): Promise<{ sandbox: number | undefined; started: number | undefined }> {
  const { logs } = new Places(process.env.ELASTI_TEST_NODE ?? "");
  const lines = (await readFile(join(logs, "containerd.log"), "utf8")).split("\n");
  const timeOf = (line: string | undefined) => {
    const text = /^time="([^"]+)"/.exec(line ?? "")?.[1];
    return text === undefined ? undefined : fineTime(text);
  };
  const sandbox = lines.find((line) => line.includes(`Name:${pod},`) && line.includes("returns sandbox id"));
  const id = /sandbox id \\"(\w+)\\"/.exec(sandbox ?? "")?.[1];
  const container = lines.find(
    (line) => id !== undefined && line.includes(id) && line.includes("returns container id"),
  );
  const containerId = /container id \\"(\w+)\\"/.exec(container ?? "")?.[1];
  const started = lines.find(
    (line) =>
      containerId !== undefined && line.includes(`StartContainer for \\"${containerId}\\" returns successfully`),
  );
  return { sandbox: timeOf(sandbox), started: timeOf(started) };
}
