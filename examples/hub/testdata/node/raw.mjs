// node raw.mjs URL json|messagepack: what no well-behaved client does, by hand.

import { assert, base, finish, json, parse, sleep, test, until, url, WebSocket } from "./harness.mjs";

const rs = "\x1e";
const handshake = JSON.stringify({ protocol: json ? "json" : "messagepack", version: 1 }) + rs;
const ws = (u) => u.replace(/^http/, "ws");

async function negotiate(query = "?negotiateVersion=1", at = url) {
  const res = await fetch(`${at}/negotiate${query}`, { method: "POST" });
  assert.equal(res.status, 200);
  assert.match(res.headers.get("content-type"), /^application\/json/);
  return res.json();
}

// dial opens a socket and collects what comes, the answer to the handshake apart.
// A connection that is resumed has no handshake.
function dial(query = "", at = url, resumed = false) {
  return new Promise((done, failed) => {
    const s = new WebSocket(ws(at) + query);
    s.in = [];
    if (resumed) s.answer = "";
    s.on("message", (data) => {
      if (s.answer === undefined) s.answer = Buffer.from(data).toString();
      else s.in.push(...parse(data));
    });
    s.on("close", (code) => (s.ended = code));
    s.on("unexpected-response", (_, res) => (res.resume(), done({ status: res.statusCode })));
    s.on("error", failed);
    s.on("open", () => done(s));
  });
}
async function ready(query, at, version = 1) {
  const s = await dial(query, at);
  s.send(handshake.replace(":1", `:${version}`));
  await until(() => s.answer !== undefined);
  assert.equal(s.answer, "{}" + rs);
  return s;
}

// The same messages in both protocols: text for JSON, bytes for MessagePack.
const bytes = (hex) => Buffer.from(hex, "hex");
const add = json ? `{"target":"Add","arguments":[40,2],"invocationId":"7","type":1}${rs}` : bytes("0c950180a137a3416464922802");
const completion = (s, id) => s.in.find((m) => m.type === 3 && m.invocationId === id);
async function works(s) {
  s.send(add);
  await until(() => completion(s, "7"));
  assert.equal(completion(s, "7").result, 42);
}

await test("5 negotiation", async () => {
  const [a, b] = [await negotiate(), await negotiate()];
  assert.equal(a.negotiateVersion, 1);
  assert.deepEqual(a.availableTransports, [{ transport: "WebSockets", transferFormats: ["Text", "Binary"] }]);
  assert.equal(new Set([a.connectionId, a.connectionToken, b.connectionId, b.connectionToken]).size, 4);
  for (const id of [a.connectionToken, a.connectionId]) assert.match(id, /^[\w-]{20,}$/);
});
await test("6 versions and methods of the negotiation", async () => {
  assert.equal((await negotiate("?negotiateVersion=99")).negotiateVersion, 1);
  const old = await negotiate("");
  assert.equal(old.negotiateVersion, 0);
  assert.ok(!("connectionToken" in old));
  const s = await ready(`?id=${old.connectionId}`);
  await works(s);
  s.close();
  assert.ok((await negotiate("?negotiateVersion=x")).error);
  assert.equal((await fetch(`${url}/negotiate`)).status, 405);
});
await test("7 stateful only when asked for", async () => {
  assert.ok(!("useStatefulReconnect" in (await negotiate())));
  assert.equal((await negotiate("?negotiateVersion=1&useStatefulReconnect=true")).useStatefulReconnect, true);
});
await test("10 tokens", async () => {
  assert.equal((await dial("?id=nobody")).status, 404);
  const n = await negotiate();
  assert.equal((await dial(`?id=${n.connectionId}`)).status, 404);
  const s = await ready(`?id=${n.connectionToken}`);
  assert.equal((await dial(`?id=${n.connectionToken}`)).status, 409);
  await works(s);
  s.close();
  await until(() => s.ended);
  let last;
  do last = (await dial(`?id=${n.connectionToken}`)).status; // 409 until the server has seen the end
  while (last === 409);
  assert.equal(last, 404);
});
await test("10 a negotiation that nobody uses", async () => {
  const n = await negotiate(undefined, `${base}/quick/hub`);
  await sleep(7000);
  assert.equal((await dial(`?id=${n.connectionToken}`, `${base}/quick/hub`)).status, 404);
});
await test("11 handshake in binary", async () => {
  const s = await dial();
  s.send(Buffer.from(handshake));
  await until(() => s.answer !== undefined);
  assert.equal(s.answer, "{}" + rs);
  await works(s);
  s.close();
});
await test("12 unsupported version", async () => {
  const s = await dial();
  s.send(handshake.replace(":1", ":9"));
  await until(() => s.ended);
  assert.match(s.answer, /^\{"error":"[^"]+"\}\x1e$/);
});
await test("13 no handshake", async () => {
  for (const first of [add, `{"target":"Add","arguments":[1,2],"type":1}${rs}`, `hello${rs}`, `[]${rs}`]) {
    const s = await dial();
    s.send(first);
    await until(() => s.ended);
    assert.ok(s.answer === undefined || JSON.parse(s.answer.slice(0, -1)).error);
  }
});
await test("14 handshake in pieces, and with a call", async () => {
  const s = await dial();
  s.send(handshake.slice(0, 9));
  s.send(handshake.slice(9));
  await until(() => s.answer !== undefined);
  await works(s);
  s.close();
  const t = await dial();
  t.send(json ? handshake + add : Buffer.concat([Buffer.from(handshake), add]));
  await until(() => completion(t, "7"));
  t.close();
});
await test("15 no handshake in time, or too long a one", async () => {
  const s = await dial("", `${base}/quick/hub`);
  await until(() => s.ended);
  assert.match(s.answer, /Handshake was canceled/);
  const t = await dial();
  t.send(`{"protocol":"json","x":"${"x".repeat(40_000)}`);
  await until(() => t.ended);
});
await test("21 wide integers", async () => {
  const s = await ready();
  s.send(json ? add : bytes("1c950180a137a341646492d3000000000000" + "0028cf0000000000000002"));
  await until(() => completion(s, "7"));
  assert.equal(completion(s, "7").result, 42);
  s.close();
});
await test("29 46 ids that nobody knows", async () => {
  const s = await ready();
  for (const m of json
    ? [`{"type":5,"invocationId":"99"}`, `{"type":2,"invocationId":"99","item":1}`, `{"type":3,"invocationId":"99"}`, `{"type":3,"invocationId":"s99","result":1}`, `{"type":42}`].map((m) => m + rs)
    : ["06930580a23939", "07940280a2393901", "07940380a2393902", "09950380a373393903" + "01", "02912a"].map(bytes)) {
    s.send(m);
  }
  await works(s);
  assert.equal(s.in.filter((m) => m.type !== 6).length, 1);
  s.close();
});
await test("45 any order, unknown members, headers, several records, pieces", async () => {
  const s = await ready();
  if (json) {
    s.send(`{"x":{"y":[1]},"arguments":[1,2],"type":1,"headers":{"x":"y"},"invocationId":"1","target":"Add"}${rs}{"type":6}${rs}${add}`);
    s.send(`{"type":1,"target":"Echo","argu`);
    s.send(`ments":["€"],"invocationId":"2"}${rs}`);
  } else {
    s.send(bytes("11960181a178a179a131a341646492010290" + "029106" + add.toString("hex")));
    s.send(bytes("0f950180a132a44563686f"));
    s.send(bytes("91a3e282ac"));
  }
  await until(() => completion(s, "1") && completion(s, "2") && completion(s, "7"));
  assert.equal(completion(s, "1").result, 3);
  assert.equal(completion(s, "2").result, "€");
  s.close();
});
await test("45 a call in fragments, which cut a character", async () => {
  const s = await ready();
  const echo = json ? Buffer.from(`{"type":1,"target":"Echo","arguments":["€"],"invocationId":"2"}${rs}`) : bytes("0f950180a132a44563686f91a3e282ac");
  const cut = echo.indexOf("€") + 1;
  s.send(echo.subarray(0, cut), { binary: !json, fin: false });
  s.send(echo.subarray(cut, cut + 1), { binary: !json, fin: false });
  s.send(echo.subarray(cut + 1), { binary: !json, fin: true });
  await until(() => completion(s, "2"));
  assert.equal(completion(s, "2").result, "€");
  s.close();
});
await test("46 what is no message", async () => {
  const bad = json
    ? [`{"type":1,"target":"Add"${rs}`, `[1]${rs}`, `${rs}`, `{"type":"x"}${rs}`, "x".repeat(40_000)]
    : [bytes("ffffffff7f"), bytes("ffffffffff7f"), bytes("ffffff7f"), bytes("0191"), bytes("05950180a137"), Buffer.alloc(40_000, 0xc1)];
  for (const m of bad) {
    const s = await ready();
    s.send(m);
    await until(() => s.ended);
    const close = s.in.at(-1);
    assert.equal(close?.type, 7, String(m).slice(0, 40));
    assert.ok(close.error);
  }
});
await test("51 resuming while the old socket lives", async () => {
  const n = await negotiate("?negotiateVersion=1&useStatefulReconnect=true");
  const s = await ready(`?id=${n.connectionToken}`, url, 2);
  await works(s);
  const t = await dial(`?id=${n.connectionToken}`, url, true);
  t.send(json ? `{"type":9,"sequenceId":2}${rs}` : bytes("03920902")); // the call was the first
  await until(() => t.in.length);
  assert.equal(t.in[0].type, 9);
  await until(() => s.ended);
  t.in.length = 0;
  await works(t);
  t.close();
});
await test("52 after a close the token is free", async () => {
  const n = await negotiate("?negotiateVersion=1&useStatefulReconnect=true");
  const s = await ready(`?id=${n.connectionToken}`, url, 2);
  s.send(json ? `{"type":7}${rs}` : bytes("039207c0"));
  await until(() => s.ended);
  assert.equal((await dial(`?id=${n.connectionToken}`)).status, 404);
});
finish();
