// node extremes.mjs URL json|messagepack: many messages at once, big ones, and streams that
// are canceled at once.

import { assert, base, broken, build, collect, connected, finish, json, signalR, test, until } from "./harness.mjs";

const range = (n) => Array.from({ length: n }, (_, i) => i);
const at = `${base}/extremes/hub`;
const maxSent = 100_000; // MaxSendSize of this hub
const stateful = { more: (b) => b.withStatefulReconnect() };
const kinds = [["", {}], [", stateful", stateful]];

for (const [kind, options] of kinds) {
  await test(`1,100 sends of 1 KB in one tick, twice${kind}`, () =>
    connected(async (c) => {
      for (let again = 0; again < 2; again++) {
        for (let i = 0; i < 1100; i++) c.send("Echo", "x".repeat(1000));
        assert.equal(await c.invoke("Add", again, 1), again + 1);
      }
    }, options));
  await test(`64 calls of 16 KB and 60 of 20 KB in one tick${kind}`, () =>
    connected(async (c) => {
      for (const [n, size] of [[64, 16_000], [60, 20_000], [40, 32_000]]) {
        assert.deepEqual(await Promise.all(range(n).map(() => c.invoke("Size", "x".repeat(size)))), range(n).map(() => size));
      }
    }, options));
  await test(`300 streams and 300 calls in one tick${kind}`, () =>
    connected(async (c) => {
      const streams = range(150).map((i) => collect(c.stream("Counter", i % 7, 0)));
      const calls = range(300).map((i) => c.invoke("Add", i, i));
      assert.deepEqual(await Promise.all(calls), range(300).map((i) => 2 * i));
      (await Promise.all(streams)).forEach((items, i) => assert.deepEqual(items, range(i % 7)));
    }, options));
  await test(`an upload of 5,000 items in one tick${kind}`, () =>
    connected(async (c) => {
      const items = new signalR.Subject();
      const total = c.invoke("Sum", items);
      for (let i = 0; i < 5000; i++) items.next(i);
      items.complete();
      assert.equal(await total, 12_497_500);
    }, options));
  await test(`2,000 events from one call${kind}`, () =>
    connected(async (c) => {
      await Promise.all(range(2000).map((i) => c.invoke("Broadcast", i)));
      await until(() => c.got.length === 2000);
      assert.deepEqual(c.got.map((m) => m[1]), range(2000));
    }, { at, ...options }));
}

await test("big results, items, events and invocations arrive up to the limit", () =>
  connected(async (c) => {
    const sizes = [];
    c.on("size", (s) => Buffer.byteLength(s));
    c.on("big", (s) => sizes.push(Buffer.byteLength(s)));
    await c.invoke("JoinGroup", "g");
    for (const n of [10_000, 65_000, maxSent - 100]) {
      assert.equal(Buffer.byteLength(await c.invoke("Text", n)), n);
      assert.deepEqual((await collect(c.stream("Texts", [n, 1, n]))).map((s) => Buffer.byteLength(s)), [n, 1, n]);
      assert.equal(await c.invoke("AskBig", n), "");
      for (const to of ["all", "group", "user", "caller", "connections"]) {
        assert.equal(await c.invoke("SendBig", to, n), "", to);
        await until(() => sizes.length);
        assert.deepEqual(sizes.splice(0), [n], to);
      }
    }
  }, { at, accessTokenFactory: () => `big ${json}` }));
await test("above the limit they are errors, and nothing arrives", () =>
  connected(async (c) => {
    const sizes = [];
    c.on("size", (s) => Buffer.byteLength(s));
    c.on("big", (s) => sizes.push(Buffer.byteLength(s)));
    await c.invoke("JoinGroup", "g");
    for (const n of [maxSent, 3_000_000]) {
      await assert.rejects(c.invoke("Text", n), /An unexpected error occurred invoking 'Text' on the server/);
      await assert.rejects(collect(c.stream("Texts", [1, n, 1])), /An unexpected error occurred invoking 'Texts' on the server/);
      assert.equal(await c.invoke("AskBig", n), "too big");
      for (const to of ["all", "group", "user", "caller", "connections"]) assert.equal(await c.invoke("SendBig", to, n), "too big", to);
    }
    assert.equal(await c.invoke("Add", 1, 1), 2);
    assert.deepEqual(sizes, []);
  }, { at, accessTokenFactory: () => `bigger ${json}` }));
await test("results of 900 KB, several at once", () =>
  connected(async (c) => {
    const texts = await Promise.all(range(8).map(() => c.invoke("Text", 900_000)));
    texts.forEach((s) => assert.equal(Buffer.byteLength(s), 900_000));
  }));
await test("the largest call that the hub takes, and one byte more", async () => {
  const c = build();
  await c.start();
  // A record has at most 32 KiB besides its framing.
  const around = json ? '{"arguments":[""],"invocationId":"0","target":"Size","type":1}'.length : 14;
  const n = 32_768 - around;
  assert.equal(await c.invoke("Size", "x".repeat(n)), n);
  await assert.rejects(c.invoke("Size", "x".repeat(n + 1)));
  await until(() => c.closed.length);
  assert.match(c.closed[0].message, /Connection closed with an error/);
});
for (const [kind, options] of kinds) {
  await test(`streams that are canceled at once begin and end${kind}`, () =>
    connected(async (c) => {
      const [begunBefore, endedBefore] = await c.invoke("Watched");
      for (let i = 0; i < 200; i++) c.stream("Watch").subscribe({ next() {}, complete() {}, error() {} }).dispose();
      let now;
      await until(() => (c.invoke("Watched").then((w) => (now = w)), now && now[1] === endedBefore + 200));
      assert.equal(now[0], begunBefore + 200);
      assert.equal(await c.invoke("Add", 1, 1), 2);
    }, { at, ...options }));
}
await test("every frame of all these", async () => assert.deepEqual(broken, []));
finish();
