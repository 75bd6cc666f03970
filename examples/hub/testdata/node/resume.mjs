// node resume.mjs URL json|messagepack: stateful reconnect with the official client.

import { assert, broken, build, collect, finish, proxy, signalR, sleep, test, until } from "./harness.mjs";

const range = (n) => Array.from({ length: n }, (_, i) => i);
const stateful = (b) => b.withStatefulReconnect().withAutomaticReconnect([0, 100, 500]);

// reconnecting counts what must not happen: a resumed connection is the same one.
function watch(c) {
  c.anew = 0;
  c.onreconnecting(() => c.anew++);
  return c;
}
const acks = (c) => c.records().filter((m) => m.type === 8);

await test("49 version 2, and acknowledgements", async () => {
  const c = watch(build({ more: stateful }));
  await c.start();
  assert.match(c.wire[0].sent[0], /"version":2/);
  assert.equal(await c.invoke("Add", 1, 2), 3);
  assert.equal(await c.invoke("Add", 1, 2), 3);
  await until(() => acks(c).length);
  assert.equal(acks(c).at(-1).sequenceId, 2);
  await c.stop();
  assert.deepEqual(c.closed, [undefined]);
});
await test("49 version 1 without negotiation", async () => {
  const c = build({ skipNegotiation: true, transport: signalR.HttpTransportType.WebSockets });
  await c.start();
  assert.equal(await c.invoke("Add", 1, 2), 3);
  await sleep(1500);
  assert.equal(acks(c).length, 0);
  await c.stop();
});
await test("50 five drops under streams, uploads, results and events", async () => {
  const p = await proxy();
  const c = watch(build({ at: p.at, more: stateful }));
  c.on("clientAdd", async (a, b) => (await sleep(600), a + b));
  await c.start();
  const id = c.connectionId;
  await c.invoke("JoinGroup", "keep");
  const stream = collect(c.stream("Counter", 300, 5));
  const items = new signalR.Subject();
  const total = c.invoke("Sum", items);
  const asked = c.invoke("AskClient", 1, 1);
  const feeding = (async () => {
    for (const i of range(100)) {
      items.next(i);
      await sleep(10);
    }
    items.complete();
  })();
  for (const i of range(5)) {
    await sleep(250);
    p.cut();
    c.send("ToGroup", "keep", i);
  }
  await feeding;
  assert.deepEqual(await stream, range(300));
  assert.equal(await total, 4950);
  assert.equal(await asked, 2);
  await until(() => c.got.length >= 5);
  assert.deepEqual(c.got.map((m) => m[1]), range(5));
  assert.equal(c.connectionId, id);
  assert.equal(c.anew, 0);
  assert.ok(c.wire.length >= 3, "it was cut");
  await c.stop();
  p.close();
});
await test("51 with all acknowledged nothing is repeated", async () => {
  const p = await proxy();
  const c = watch(build({ at: p.at, more: stateful }));
  await c.start();
  assert.equal(await c.invoke("Add", 1, 2), 3);
  await until(() => c.wire[0].sent.some((s) => /"type":8/.test(s) || (typeof s !== "string" && Buffer.from(s).toString("hex").startsWith("039208"))));
  await sleep(2000); // for the acknowledgement on its way
  p.cut();
  assert.equal(await c.invoke("Add", 2, 2), 4);
  const after = c.wire[1].records.filter((m) => m.type < 6);
  assert.equal(after.length, 1);
  assert.equal(after[0].result, 4);
  assert.equal(c.anew, 0);
  await c.stop();
  p.close();
});
await test("52 abort ends it for good", async () => {
  const c = watch(build({ more: (b) => b.withStatefulReconnect() }));
  await c.start();
  await c.send("Abort");
  await until(() => c.closed.length);
  assert.deepEqual(c.closed, [undefined]);
  assert.equal(c.records().at(-1).type, 7);
  await c.start();
  assert.equal(await c.invoke("Add", 1, 2), 3);
  await c.stop();
});
await test("53 no more than 100 000 bytes unacknowledged", async () => {
  const c = watch(build({ more: stateful }));
  await c.start();
  const [n, size] = [400, 1000];
  const items = await collect(c.stream("Big", n, size));
  assert.equal(items.length, n);
  // The client acknowledges once a second: what came in between was kept.
  const wire = c.wire[0];
  const total = wire.records.filter((m) => m.type < 6).reduce((sum, m) => sum + m.bytes, 0);
  const answered = wire.sent.filter((s) => (typeof s === "string" ? /"type":8/.test(s) : Buffer.from(s).toString("hex", 1, 3) === "9208")).length;
  assert.ok(answered >= Math.floor(total / 110_000), `${answered} acknowledgements for ${total} bytes`);
  await c.stop();
});
await test("11 43 44 51 every frame of all these", async () => assert.deepEqual(broken, []));
finish();
