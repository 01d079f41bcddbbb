import { after, before } from "node:test";
import { type LocalCluster, startLocalCluster } from "@elasti/local";
import { describeKeda, type KedaGround } from "./contract.ts";
import { cronTrigger, installScaledObjects } from "./definition.ts";
import { KedaDouble } from "./keda-double.ts";
import { Triggers } from "./triggers.ts";

let cluster: LocalCluster;
let keda: KedaDouble;
let ground: KedaGround;

before(async () => {
  cluster = await startLocalCluster();
  const client = cluster.client();
  await installScaledObjects(client);
  const triggers = new Triggers();
  const start = async () => {
    keda = await KedaDouble.start(client, 100, triggers);
  };
  await start();
  ground = {
    client,
    triggers,
    triggerOf: () => cronTrigger,
    restart: async () => {
      await keda.close();
      await start();
    },
  };
});
after(async () => {
  await keda?.close();
  await cluster?.close();
});

// test/keda/real holds KEDA's operator to the same
describeKeda("the double of KEDA", () => ground);
