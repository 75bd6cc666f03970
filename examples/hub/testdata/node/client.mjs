// node client.mjs URL json|messagepack: the official client, used as applications do.

import { assert, base, broken, build, collect, connected, finish, json, proxy, signalR, skip, sleep, test, until, url } from "./harness.mjs";

const range = (n) => Array.from({ length: n }, (_, i) => i);

await test(`${json ? 1 : 3} start with negotiation`, () =>
  connected(async (c) => {
    assert.ok(c.connectionId.length >= 16);
    assert.equal(await c.invoke("Add", 40, 2), 42);
  }));
await test(`${json ? 2 : 4} start without negotiation`, () =>
  connected(async (c) => {
    assert.equal(c.connectionId, null);
    assert.equal(await c.invoke("Echo", "x"), "x");
  }, skip));
await test("5 a fresh id each time", async () => {
  const ids = [];
  for (let i = 0; i < 3; i++) await connected(async (c) => ids.push(c.connectionId));
  assert.equal(new Set(ids).size, 3);
});
await test("7 no stateful reconnect unless asked for", () =>
  connected(async (c) => {
    assert.match(c.wire[0].sent[0], /"version":1/);
    await c.invoke("Void");
    assert.ok(!c.records().some((m) => m.type > 7));
  }));
await test("8 redirect", () =>
  connected(async (c) => {
    assert.equal(await c.invoke("WhoAmI"), "zoe");
    assert.match(c.wire[0].url, /\/quick\/hub\?/);
  }, { at: `${url}?to=${encodeURIComponent(`${base}/quick/hub`)}&as=zoe` }));
await test("8 refusal in the negotiation", () => assert.rejects(build({ at: `${url}?refuse=1` }).start(), /not today/));
await test("9 token in the header", async () => {
  await connected(async (c) => assert.equal(await c.invoke("WhoAmI"), "ann"), { accessTokenFactory: () => "ann" });
  await assert.rejects(build({ accessTokenFactory: () => "bad" }).start(), /401/);
});
await test("9 token in the query", async () => {
  for (const options of [{}, skip]) {
    await connected(async (c) => assert.equal(await c.invoke("WhoAmI"), "é b"), { at: `${url}?access_token=${encodeURIComponent("é b")}`, ...options });
  }
  await assert.rejects(build({ at: `${url}?access_token=bad`, ...skip }).start());
});
await test("11 handshake in text", () =>
  connected(async (c) => {
    assert.equal(c.wire[0].sent[0], `{"protocol":"${json ? "json" : "messagepack"}","version":1}\x1e`);
    assert.equal(c.wire[0].handshake, "{}\x1e");
  }));
await test("12 unknown protocol", async () => {
  const p = new signalR.JsonHubProtocol();
  const odd = { name: "odd", version: 1, transferFormat: p.transferFormat, parseMessages: p.parseMessages.bind(p), writeMessage: p.writeMessage.bind(p) };
  const c = build({ more: (b) => b.withHubProtocol(odd) });
  await assert.rejects(c.start(), /The protocol 'odd' is not supported/);
});
await test("16 texts", () =>
  connected(async (c) => {
    for (const v of ["", "\u001e", "\u0000", "\"'\\", "😀 é", "\u2028\u2029", "<&>", "a\u001eb\u001e"]) assert.equal(await c.invoke("Echo", v), v);
  }));
await test("17 nothing, booleans and numbers", () =>
  connected(async (c) => {
    for (const v of [null, true, false, 0, 1, -1, -33, 127, 128, 65536, 2 ** 31, 2 ** 32, -(2 ** 32), 2 ** 53 - 1, -(2 ** 53 - 1), 0.1, 1.5, -1e-7, 1e300]) {
      assert.equal(await c.invoke("Echo", v), v);
    }
    assert.equal(await c.invoke("Echo", undefined), null);
  }));
await test("18 nested objects", () =>
  connected(async (c) => {
    for (const v of [{}, [], { aB: { Cd: [1, "2", null, [[]]], cD: 3 } }]) assert.deepEqual(await c.invoke("Echo", v), v);
  }));
await test("19 sizes", () =>
  connected(async (c) => {
    for (const n of [90, 100, 118, 127, 128, 255, 256, 309, 16370, 16384, 20000, 30000]) assert.equal(await c.invoke("Echo", "x".repeat(n)), "x".repeat(n));
  }));
if (!json) {
  await test("20 bytes and timestamps", () =>
    connected(async (c) => {
      for (const n of [0, 3, 300]) assert.deepEqual(await c.invoke("Echo", new Uint8Array(n).fill(0x1e)), new Uint8Array(n).fill(0x1e));
      for (const ms of [0, 1700000000000, 1700000000123, -1, 32503680000000]) assert.equal((await c.invoke("Echo", new Date(ms))).getTime(), ms);
    }));
}
await test("21 integers for floats", () => connected(async (c) => assert.equal(await c.invoke("Half", 3), 1.5)));
await test("22 names in any case", () =>
  connected(async (c) => {
    for (const name of ["add", "ADD", "aDD"]) assert.equal(await c.invoke(name, 1, 2), 3);
  }));
await test("23 errors", () =>
  connected(async (c) => {
    await assert.rejects(c.invoke("Fail"), (err) => err.message === "boom");
    for (const name of ["Hide", "Panic"]) {
      await assert.rejects(c.invoke(name), (err) => err.message === `An unexpected error occurred invoking '${name}' on the server.`);
    }
    assert.equal(await c.invoke("Add", 1, 1), 2);
  }));
await test("24 calls that don't fit", () =>
  connected(async (c) => {
    await assert.rejects(c.invoke("Nope"), /Failed to invoke 'Nope' due to an error on the server. HubException: Method does not exist./);
    for (const args of [[], [1], [1, 2, 3], [1, "x"], [1, null], [1.5, 1], [{}, 1]]) await assert.rejects(c.invoke("Add", ...args), /Failed to invoke 'Add'/);
    assert.equal(await c.invoke("Add", 1, 1), 2);
  }));
await test("25 send is never answered", () =>
  connected(async (c) => {
    await c.send("Echo", 1);
    await c.send("Fail");
    await c.send("Nope");
    await c.send("Add", 1);
    await c.send("Counter", 3, 0);
    assert.equal(await c.invoke("Add", 1, 1), 2);
    assert.equal(c.records().filter((m) => m.type === 2 || m.type === 3).length, 1);
  }));
await test("26 no result", () => connected(async (c) => assert.ok([undefined, null].includes(await c.invoke("Void")))));
await test("27 300 calls at once", () =>
  connected(async (c) => assert.deepEqual(await Promise.all(range(300).map((i) => c.invoke("Add", i, 1))), range(300).map((i) => i + 1))));
await test("28 streams", () =>
  connected(async (c) => {
    assert.deepEqual(await collect(c.stream("Counter", 5, 1)), range(5));
    assert.deepEqual(await collect(c.stream("Counter", 0, 0)), []);
    assert.deepEqual(await collect(c.stream("Channel", 4)), range(4));
    assert.deepEqual(await collect(c.stream("Counter", 3000, 0)), range(3000));
    await assert.rejects(collect(c.stream("BadStream")), /broke/);
  }));
await test("28 items come as they are made, others run meanwhile", () =>
  connected(async (c) => {
    let items = 0;
    const slow = c.stream("Counter", 1000, 60_000).subscribe({ next: () => items++, complete() {}, error() {} });
    await until(() => items === 1);
    const several = await Promise.all([1, 2, 3].map((delay) => collect(c.stream("Counter", 20, delay))));
    several.forEach((s) => assert.deepEqual(s, range(20)));
    assert.equal(await c.invoke("Add", 1, 1), 2);
    assert.equal(items, 1);
    slow.dispose();
  }));
await test("29 cancel", () =>
  connected(async (c) => {
    let items = 0;
    const stream = c.stream("Counter", 1_000_000, 1).subscribe({ next: () => items++, complete() {}, error() {} });
    await until(() => items >= 2);
    const { invocationId } = c.records().find((m) => m.type === 2);
    stream.dispose();
    const ends = () => c.records().filter((m) => m.type === 3 && m.invocationId === invocationId);
    await until(() => ends().length === 1);
    assert.ok(!ends()[0].error);
    const all = c.records().length;
    await sleep(100);
    await c.invoke("Void");
    assert.equal(c.records().length, all + 1);
  }));
await test("30 streams called, calls streamed", () =>
  connected(async (c) => {
    await assert.rejects(c.invoke("Counter", 1, 0), /streaming/);
    await assert.rejects(collect(c.stream("Add", 1, 1)), /non-streaming/);
    assert.equal(await c.invoke("Add", 1, 1), 2);
    assert.deepEqual(c.records().filter((m) => m.type !== 6).map((m) => m.type), [3, 3, 3]);
  }));

async function upload(c, n, pause) {
  const items = new signalR.Subject();
  const total = c.invoke("Sum", items);
  for (let i = 0; i < n; i++) {
    items.next(i);
    if (pause) await sleep(pause);
  }
  items.complete();
  return total;
}
await test("31 uploads", () =>
  connected(async (c) => {
    assert.equal(await upload(c, 10), 45);
    assert.equal(await upload(c, 0), 0);
    assert.equal(await upload(c, 3000), 4498500);
    assert.equal(await upload(c, 5, 20), 10);
    assert.deepEqual(await Promise.all([upload(c, 100, 1), upload(c, 50, 1)]), [4950, 1225]);
  }));
await test("31 two streams in a call", () =>
  connected(async (c) => {
    const [a, b] = [new signalR.Subject(), new signalR.Subject()];
    const total = c.invoke("SumTwo", a, 100, b);
    a.next(1);
    b.next(2);
    a.next(3);
    a.complete();
    b.complete();
    assert.equal(await total, 106);
  }));
await test("31 uploads that fail", () =>
  connected(async (c) => {
    const bad = new signalR.Subject();
    const total = c.invoke("Sum", bad);
    bad.next(1);
    bad.error(new Error("upload broke"));
    await assert.rejects(total, /unexpected error/);
    const odd = new signalR.Subject();
    const wrong = c.invoke("Sum", odd);
    odd.next("x");
    await assert.rejects(wrong, /wrong type/);
    odd.next(1);
    odd.complete();
    await assert.rejects(c.invoke("Sum"), /stream/);
    const extra = new signalR.Subject();
    await assert.rejects(c.invoke("Add", 1, 2, extra), /stream/);
    extra.complete();
    assert.equal(await c.invoke("Add", 1, 1), 2);
  }));
await test("31 an upload with send", () =>
  connected(async (c) => {
    let summed = 0;
    c.on("summed", (n) => (summed = n));
    const items = new signalR.Subject();
    await c.send("SumTo", items);
    items.next(4);
    items.next(5);
    items.complete();
    await until(() => summed === 9);
  }));
await test("32 results of clients", () =>
  connected(async (c) => {
    c.on("clientAdd", (a, b) => a + b);
    c.on("nothing", () => null);
    c.on("throws", () => {
      throw new Error("no");
    });
    c.on("calls", (x) => c.invoke("Add", x, 1));
    assert.equal(await c.invoke("AskClient", 5, 6), 11);
    assert.equal(await c.invoke("AskAny", "nothing", 1), null);
    await assert.rejects(c.invoke("AskAny", "throws", 1), (err) => err.message === "Error: no");
    await assert.rejects(c.invoke("AskAny", "none", 1), /didn't provide a result/);
    assert.equal(await c.invoke("AskAny", "calls", 41), 42);
    assert.deepEqual(await Promise.all(range(30).map((i) => c.invoke("AskClient", i, i))), range(30).map((i) => 2 * i));
  }));
await test("33 ids of results and of uploads", () =>
  connected(async (c) => {
    c.on("clientAdd", (a, b) => a + b);
    const [sums, asks] = [range(20).map(() => upload(c, 20, 1)), range(20).map((i) => c.invoke("AskClient", i, 1))];
    assert.deepEqual(await Promise.all(sums), range(20).map(() => 190));
    assert.deepEqual(await Promise.all(asks), range(20).map((i) => i + 1));
    const ids = c.records().filter((m) => m.type === 1).map((m) => m.invocationId);
    assert.equal(new Set(ids).size, 20);
    ids.forEach((id) => assert.match(id, /^[a-z]/));
  }));
await test("34 broadcasts, to both protocols", async () => {
  const cs = [build(), build(), build(), build({ other: true })];
  await Promise.all(cs.map((c) => c.start()));
  const value = { text: "hi", list: [1, null] };
  await cs[0].invoke("Broadcast", value);
  await cs[3].invoke("Broadcast", "from another");
  await until(() => cs.every((c) => c.got.length === 2));
  for (const c of cs) assert.deepEqual(c.got, [[cs[0].connectionId, value], [cs[3].connectionId, "from another"]]);
  await Promise.all(cs.map((c) => c.stop()));
});
await test("35 groups", async () => {
  const cs = [build(), build(), build()];
  await Promise.all(cs.map((c) => c.start()));
  await cs[0].invoke("JoinGroup", "g");
  await cs[0].invoke("JoinGroup", "g");
  await cs[1].invoke("JoinGroup", "g");
  await cs[2].invoke("ToGroup", "g", "members");
  await cs[1].stop();
  await cs[1].start(); // as another
  await cs[2].invoke("ToGroup", "g", "one member");
  await cs[2].invoke("Broadcast", "all");
  await until(() => cs.every((c) => c.got.at(-1)?.[1] === "all"));
  assert.deepEqual(cs.map((c) => c.got.map((m) => m[1])), [["members", "one member", "all"], ["members", "all"], ["all"]]);
  await Promise.all(cs.map((c) => c.stop()));
});
await test("36 200 sends in order", () =>
  connected(async (c) => {
    for (const i of range(200)) c.send("Broadcast", i);
    await until(() => c.got.length === 200);
    assert.deepEqual(c.got.map((m) => m[1]), range(200));
  }));
await test("37 pings, idle clients stay", () =>
  connected(async (c) => {
    await sleep(12_000); // more than the hub's ClientTimeout there
    assert.equal(c.state, "Connected");
    assert.ok(c.records().filter((m) => m.type === 6).length >= 4);
    assert.equal(await c.invoke("Add", 1, 1), 2);
  }, { at: `${base}/quick/hub`, more: (b) => b.withKeepAliveInterval(500).withServerTimeout(10_000) }));
await test("38 silent clients go", async () => {
  const c = build({ at: `${base}/quick/hub`, more: (b) => b.withKeepAliveInterval(1_000_000) });
  await c.start();
  await until(() => c.closed.length);
  const close = c.records().find((m) => m.type === 7);
  assert.equal(close.allowReconnect, true);
});
await test("39 stop and start again", async () => {
  const c = build();
  await c.start();
  const id = c.connectionId;
  await c.stop();
  assert.deepEqual(c.closed, [undefined]);
  await c.start();
  assert.notEqual(c.connectionId, id);
  assert.equal(await c.invoke("Add", 1, 1), 2);
  await c.stop();
  assert.deepEqual(c.closed, [undefined, undefined]);
});
for (const [how, options] of [["", {}], [" without negotiation", skip]]) {
  await test(`40 abort${how}`, async () => {
    const c = build({ ...options, more: (b) => b.withAutomaticReconnect([0]) });
    let again = 0;
    c.onreconnecting(() => again++);
    await c.start();
    const waiting = assert.rejects(collect(c.stream("Counter", 1000, 60_000)));
    await c.send("Abort");
    await waiting;
    await until(() => c.closed.length);
    assert.deepEqual(c.closed, [undefined]);
    assert.equal(again, 0);
    const close = c.records().at(-1);
    assert.equal(close.type, 7);
    assert.ok(!close.allowReconnect && !close.error);
  });
}
await test("42 a broken connection, a new one", async () => {
  const p = await proxy();
  const c = build({ at: p.at, more: (b) => b.withAutomaticReconnect([0, 100, 500, 2000]) });
  let id;
  c.onreconnected((x) => (id = x));
  await c.start();
  const old = c.connectionId;
  await c.invoke("JoinGroup", "old");
  const waiting = assert.rejects(c.invoke("Wait"));
  p.cut();
  await waiting;
  await until(() => id);
  assert.notEqual(id, old);
  await c.invoke("ToGroup", "old", "for members");
  await c.invoke("Broadcast", "for all");
  await until(() => c.got.length);
  assert.deepEqual(c.got, [[id, "for all"]]);
  await c.stop();
  p.close();
});
await test("45 calls that share a message", () =>
  connected(async (c) => {
    const calls = range(5).map((i) => c.invoke("Echo", i));
    assert.deepEqual(await Promise.all(calls), range(5));
    for (let i = 0; i < 5000; i++) c.send("Echo", "x".repeat(100));
    assert.equal(await c.invoke("Add", 1, 2), 3);
  }));
await test("47 compression on and off", async () => {
  await connected(async (c) => {
    assert.match(c.wire[0].extensions, /permessage-deflate/);
    for (const n of [10, 1000, 30_000]) assert.equal(await c.invoke("Echo", "ab".repeat(n / 2)), "ab".repeat(n / 2));
    await c.invoke("Broadcast", "x".repeat(5000));
    await until(() => c.got.length);
  }, { at: `${base}/deflate/hub` });
  await connected(async (c) => assert.equal(c.wire[0].extensions, ""));
});
await test("48 a message too big", async () => {
  const [c, other] = [build(), build()];
  await Promise.all([c.start(), other.start()]);
  await assert.rejects(c.invoke("Echo", "x".repeat(40_000)));
  await until(() => c.closed.length);
  assert.match(c.closed[0].message, /Connection closed with an error\./);
  assert.equal(await other.invoke("Add", 1, 1), 2);
  await other.stop();
});
await test("the board", async () => {
  const [ann, bob] = [build(), build()];
  const events = [];
  for (const name of ["entered", "left", "drawn", "said", "typing", "wiped"]) ann.on(name, (...args) => events.push([name, ...args]));
  await ann.start();
  await bob.start();
  await assert.rejects(bob.invoke("Say", "hi"), /Enter first/);
  const scene = await ann.invoke("Enter", " Ann\n");
  assert.deepEqual(scene.you, { id: ann.connectionId, name: "Ann" });
  const stroke = { colour: 1, width: 2, points: [0, 0, 10_000, 10_000] };
  await ann.invoke("Draw", stroke);
  await ann.invoke("Say", "<b>hi</b>");
  const found = await bob.invoke("Enter", "Bob");
  assert.deepEqual(found.strokes, [stroke]);
  assert.deepEqual(found.said, [{ id: ann.connectionId, name: "Ann", text: "<b>hi</b>" }]);
  assert.deepEqual(found.people.map((p) => p.name), ["Ann", "Bob"]);
  await bob.invoke("Typing", true);
  assert.deepEqual(await collect(bob.stream("Replay", 1)), [{ done: 1, total: 1, stroke }]);
  for (const bad of [{}, { ...stroke, colour: 8 }, { ...stroke, width: -1 }, { ...stroke, points: [1] }, { ...stroke, points: [0, 10_001] }]) await assert.rejects(bob.invoke("Draw", bad));
  await bob.invoke("Wipe");
  const id = bob.connectionId;
  await bob.stop();
  await until(() => events.some((e) => e[0] === "left"));
  assert.deepEqual(events, [
    ["drawn", ann.connectionId, stroke],
    ["said", found.said[0]],
    ["entered", { id, name: "Bob" }],
    ["typing", id, true],
    ["wiped", "Bob"],
    ["left", id],
  ]);
  await ann.stop();
});
await test("11 43 44 54 every frame of all these", async () => assert.deepEqual(broken, []));
finish();
