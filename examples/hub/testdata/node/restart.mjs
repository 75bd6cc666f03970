// node restart.mjs URL json|messagepack: connects, sees the server go, and comes back.

import { build } from "./harness.mjs";

const c = build({ more: (b) => b.withAutomaticReconnect(Array(100).fill(300)) });
c.onreconnecting((err) => console.log(err ? `reconnecting after ${err}` : "reconnecting"));
c.onreconnected(async () => {
  if ((await c.invoke("Add", 40, 2)) !== 42) throw new Error("it can't add");
  console.log("reconnected");
  await c.stop();
  process.exit(0);
});
await c.start();
console.log("connected");
