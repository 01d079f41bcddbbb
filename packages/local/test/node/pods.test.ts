import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type EndpointSlice, type KubeClient, type Pod, resources } from "@elasti/kube";
import { type LocalCluster, type PodLogLine, startLocalCluster } from "../../src/cluster.ts";
import {
  appContainer,
  containerOf,
  createService,
  isReady,
  isRunning,
  pod,
  shellContainer,
  signal,
  untilEnded,
  untilPod,
  when,
} from "./fixtures.ts";

let cluster: LocalCluster;
let client: KubeClient;
const lines: PodLogLine[] = [];
let onLine: (line: PodLogLine) => void = () => {};

before(async () => {
  cluster = await startLocalCluster({
    nodes: 2,
    restart: { initialMs: 60_000, maxMs: 120_000 },
    onPodLog: (line) => {
      lines.push(line);
      onLine(line);
    },
  });
  client = cluster.client();
});
after(() => cluster.close());

/** Resolves with the first line of a pod that matches, said already or not. */
function said(name: string, pattern: RegExp): Promise<string> {
  const match = () => lines.find((line) => line.pod === name && pattern.test(line.line))?.line;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`pod ${name} never said ${pattern}`)), 10_000);
    onLine = () => {
      const found = match();
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(found);
    };
    onLine(lines[0]!);
  });
}

const create = (object: Pod) => client.create<Pod>(resources.pods, object);
const remove = (name: string, gracePeriodSeconds?: number) =>
  client.delete(resources.pods, "default", name, gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds });

test("a container gets its environment, with fields of the pod and references expanded", async () => {
  const container = {
    ...shellContainer('echo "$WHO on $NODE at $ADDRESS=$POD_IP"; exec sleep 60'),
    env: [
      { name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
      { name: "ADDRESS", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "WHO", value: "$(NAME)-$(MISSING)-$$(NAME)" },
    ],
  };
  await create(pod("env", container, { nodeName: "node-2" }));
  const podIP = await untilPod(cluster, "env", (object) => object?.status?.podIP);
  assert.match(podIP, /^127\.22\./);
  assert.equal(await said("env", /./), `env-$(MISSING)-$(NAME) on node-2 at ${podIP}=${podIP}`);
});

test("without a readiness probe a pod is Ready as soon as its container runs", async () => {
  await create(pod("plain", shellContainer("exec sleep 60")));
  const object = await untilPod(cluster, "plain", (seen) => (isReady(seen) ? seen : undefined));
  assert.equal(object.status?.phase, "Running");
  assert.deepEqual(
    object.status?.conditions?.map(({ type, status }) => `${type}=${status}`),
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].map(
      (type) => `${type}=True`,
    ),
  );
  const container = containerOf(object);
  assert.equal(container?.started, true);
  assert.ok(container?.state?.running?.startedAt);
});

test("a container that fails is restarted at once, then waits in CrashLoopBackOff", async () => {
  await create(pod("crash", shellContainer("exit 3")));
  const status = await untilPod(cluster, "crash", (object) =>
    containerOf(object)?.state?.waiting?.reason === "CrashLoopBackOff" ? object?.status : undefined,
  );
  const container = status.containerStatuses?.[0];
  assert.equal(status.phase, "Running");
  assert.equal(container?.restartCount, 1);
  assert.equal(container?.ready, false);
  assert.equal(container?.lastState?.terminated?.exitCode, 3);
  assert.equal(container?.lastState?.terminated?.reason, "Error");
  await remove("crash");
  await untilPod(cluster, "crash", (object) => when(object === undefined));
});

test("a command that does not exist ends as StartError with exit code 128", async () => {
  const container = { ...shellContainer(""), command: ["/no/such/program"] };
  await create(pod("nothing", container, { restartPolicy: "Never" }));
  const object = await untilPod(cluster, "nothing", (seen) => (seen?.status?.phase === "Failed" ? seen : undefined));
  const ended = containerOf(object)?.state?.terminated;
  assert.equal(ended?.exitCode, 128);
  assert.equal(ended?.reason, "StartError");
});

test("a container without a command waits for an image that cannot be had", async () => {
  await create(pod("image", { name: "app", image: "example.com/app:1" }));
  const waiting = await untilPod(cluster, "image", (object) =>
    containerOf(object)?.state?.waiting?.reason === "ErrImageNeverPull" ? object?.status : undefined,
  );
  assert.equal(waiting.phase, "Pending");
  await remove("image");
  await untilPod(cluster, "image", (object) => when(object === undefined));
});

test("a terminating pod is ready=false, serving, terminating in its slice until it is gone", async () => {
  await createService(client, "drain");
  const container = {
    ...appContainer(),
    readinessProbe: { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 1 },
  };
  await create(pod("drain", container));
  await untilPod(cluster, "drain", (object) => when(isReady(object)));
  await cluster.waitForBackends(1, "default/drain", (backends) => backends.length === 1, signal());
  const podIP = await untilPod(cluster, "drain", (object) => object?.status?.podIP);
  const slices = () =>
    client.list<EndpointSlice>(resources.endpointSlices, { labelSelector: "kubernetes.io/service-name=drain" });
  const name = (await slices()).items[0]!.metadata.name;
  const slow = fetch(`http://${podIP}:8080/slow?ms=400`, { headers: { connection: "close" } });
  await fetch(`http://${podIP}:8080/`);
  await remove("drain");
  const seen: string[] = [];
  await cluster.waitFor<EndpointSlice, true>(
    resources.endpointSlices,
    "default",
    name,
    (slice) => {
      const conditions = slice?.endpoints?.[0]?.conditions;
      seen.push(JSON.stringify(conditions));
      return when(slice !== undefined && conditions === undefined);
    },
    signal(),
  );
  assert.ok(seen.includes(JSON.stringify({ ready: false, serving: true, terminating: true })), seen.join(" "));
  // what was in flight has been answered
  assert.equal((await slow).status, 200);
  await untilPod(cluster, "drain", (object) => when(object === undefined));
});

test("what ignores SIGTERM is killed after the grace period, with its children", async () => {
  const script = "trap '' TERM; sleep 1000 & echo child $!; while :; do wait; done";
  await create(pod("stubborn", shellContainer(script), { terminationGracePeriodSeconds: 1 }));
  const child = Number((await said("stubborn", /^child/)).split(" ")[1]);
  const started = performance.now();
  await remove("stubborn");
  const exit = await untilPod(cluster, "stubborn", (object) =>
    object === undefined ? 0 : containerOf(object)?.state?.terminated?.exitCode,
  );
  assert.ok([0, 137].includes(exit), `exit code ${exit}`);
  assert.ok(performance.now() - started >= 950);
  await untilPod(cluster, "stubborn", (object) => when(object === undefined));
  assert.equal(isRunning(child), false);
});

test("a forced deletion takes the process with it", async () => {
  await create(pod("forced", shellContainer("trap '' TERM; echo pid $$$$; while :; do sleep 0.05; done")));
  const pid = Number((await said("forced", /^pid/)).split(" ")[1]);
  await remove("forced", 0);
  await untilPod(cluster, "forced", (object) => when(object === undefined));
  await untilEnded(pid);
});

test("a startup probe holds back readiness, and a liveness probe restarts the container", async () => {
  const container = {
    ...appContainer({ START_MS: "200" }),
    startupProbe: { httpGet: { path: "/healthz", port: "http" }, periodSeconds: 1, failureThreshold: 5 },
    livenessProbe: {
      exec: { command: ["/bin/sh", "-c", 'test "$START_MS" = 200 && exit 1'] },
      periodSeconds: 1,
      failureThreshold: 1,
    },
  };
  await create(pod("lively", container));
  await untilPod(cluster, "lively", (object) =>
    when(containerOf(object)?.started === false && containerOf(object)?.state?.running !== undefined),
  );
  const restarted = await untilPod(cluster, "lively", (object) =>
    containerOf(object)?.restartCount === 1 ? containerOf(object) : undefined,
  );
  // the app ends in good order on SIGTERM
  assert.equal(restarted.lastState?.terminated?.exitCode, 0);
  await remove("lively", 0);
});
