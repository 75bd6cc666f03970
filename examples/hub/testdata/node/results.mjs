// node results.mjs URL json|messagepack: the hub invokes methods of the official client.

import { assert, broken, build, collect, connected, finish, json, proxy, signalR, test, until } from "./harness.mjs";

const range = (n) => Array.from({ length: n }, (_, i) => i);

await test("a result of each type", () =>
  connected(async (c) => {
    const bytes = json ? "AQL/" : new Uint8Array([1, 2, 255]);
    const time = json ? "2026-11-30T12:00:00Z" : new Date("2026-11-30T12:00:00Z");
    for (const [kind, value] of [
      ["number", 42], ["fraction", 1.5], ["text", "é \u001e 😀"], ["flag", false], ["list", ["a", "b"]], ["object", { name: "Ann", more: [1] }],
      ["bytes", bytes], ["time", time], ["pointer", 7], ["any", { deep: { list: [null, 1.5, "x", true] } }],
    ]) {
      c.on(kind, () => value);
      assert.deepEqual(await c.invoke("AskAs", kind, kind), value, kind);
    }
  }));
await test("null", () =>
  connected(async (c) => {
    c.on("nothing", () => null);
    for (const kind of ["any", "pointer", "list"]) assert.equal(await c.invoke("AskAs", kind, "nothing"), null, kind);
    for (const kind of ["number", "fraction", "flag", "time"]) await assert.rejects(c.invoke("AskAs", kind, "nothing"), /null|no result/, kind);
  }));
await test("a result of the wrong type", () =>
  connected(async (c) => {
    c.on("wrong", () => "text");
    for (const kind of ["number", "flag", "list"]) await assert.rejects(c.invoke("AskAs", kind, "wrong"), /decoding the result/, kind);
    c.on("right", () => 1);
    assert.equal(await c.invoke("AskAs", "number", "right"), 1);
  }));
await test("a result that comes late", () =>
  connected(async (c) => {
    let answer;
    c.on("later", () => new Promise((done) => (answer = done)));
    const asked = c.invoke("AskAs", "number", "later");
    await until(() => answer);
    assert.equal(await c.invoke("Add", 1, 1), 2); // the hub waits, and runs other calls
    answer(5);
    assert.equal(await asked, 5);
  }));
await test("a result that comes too late", () =>
  connected(async (c) => {
    let answer;
    c.on("late", () => new Promise((done) => (answer = done)));
    await assert.rejects(c.invoke("AskWithin", "late", 500), /deadline exceeded/);
    await until(() => answer);
    answer("ignored");
    c.on("again", () => "again");
    assert.equal(await c.invoke("AskAs", "text", "again"), "again");
  }));
await test("errors", () =>
  connected(async (c) => {
    c.on("throws", () => {
      throw new Error("no");
    });
    c.on("rejects", () => Promise.reject(new Error("not now")));
    await assert.rejects(c.invoke("AskAs", "any", "throws"), /Error: no$/);
    await assert.rejects(c.invoke("AskAs", "any", "rejects"), /Error: not now$/);
  }));
await test("no handler, no result, several results", () =>
  connected(async (c) => {
    await assert.rejects(c.invoke("AskAs", "any", "unknown"), /didn't provide a result/);
    c.on("void", () => {});
    await assert.rejects(c.invoke("AskAs", "any", "void"), /didn't provide a result/);
    c.on("twice", () => 1);
    c.on("twice", () => 2);
    await assert.rejects(c.invoke("AskAs", "any", "twice"), /multiple results/);
    c.off("twice");
    c.on("twice", () => 3);
    assert.equal(await c.invoke("AskAs", "number", "twice"), 3);
  }));
await test("results within a stream", () =>
  connected(async (c) => {
    c.on("item", (i) => i * i);
    assert.deepEqual(await collect(c.stream("AskForItems", 20)), range(20).map((i) => i * i));
  }));
await test("results while streams are open in both directions", () =>
  connected(async (c) => {
    c.on("item", () => 1);
    const upload = new signalR.Subject();
    const sum = c.invoke("Sum", upload);
    const down = [];
    const stream = c.stream("Counter", 1_000_000, 1).subscribe({ next: (i) => down.push(i), complete() {}, error() {} });
    upload.next(1);
    for (let i = 0; i < 20; i++) {
      assert.equal(await c.invoke("AskAs", "number", "item"), 1);
      upload.next(1);
    }
    upload.complete();
    assert.equal(await sum, 21);
    await until(() => down.length > 10);
    stream.dispose();
  }));
await test("a handler that calls the hub", () =>
  connected(async (c) => {
    c.on("inner", async (n) => (n === 0 ? 0 : 1 + (await c.invoke("AskAny", "inner", n - 1))));
    assert.equal(await c.invoke("AskAny", "inner", 5), 5);
  }));
await test("another client answers, in the other protocol", async () => {
  const [asks, answers] = [build(), build({ other: true })];
  await Promise.all([asks.start(), answers.start()]);
  answers.on("double", (n) => 2 * n);
  assert.deepEqual(await Promise.all(range(50).map((i) => asks.invoke("AskOther", answers.connectionId, "double", i))), range(50).map((i) => 2 * i));
  await answers.stop();
  await assert.rejects(asks.invoke("AskOther", answers.connectionId ?? "gone", "double", 1), /no connection/);
  await asks.stop();
});
await test("the client that should answer leaves", async () => {
  const [asks, answers] = [build(), build()];
  await Promise.all([asks.start(), answers.start()]);
  let asked = false;
  answers.on("never", () => {
    asked = true;
    return new Promise(() => {});
  });
  const failed = assert.rejects(asks.invoke("AskOther", answers.connectionId, "never", 1), /connection/);
  await until(() => asked);
  await answers.stop();
  await failed;
  await asks.stop();
});
await test("a cut connection, resumed while the hub waits", async () => {
  const p = await proxy();
  const c = build({ at: p.at, more: (b) => b.withStatefulReconnect() });
  await c.start();
  let answer;
  let runs = 0;
  c.on("slow", () => {
    runs++;
    return new Promise((done) => (answer = done));
  });
  const asked = c.invoke("AskAs", "text", "slow");
  await until(() => answer);
  p.cut();
  await until(() => c.wire.length === 2 && c.wire[1].records.length > 0);
  answer("after the cut");
  assert.equal(await asked, "after the cut");
  assert.equal(runs, 1);
  await c.stop();
  p.close();
});
await test("every frame of all these", async () => assert.deepEqual(broken, []));
finish();
