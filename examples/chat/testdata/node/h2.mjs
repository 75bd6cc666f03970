// Talks to the echo example over HTTP/2 (RFC 8441): Node's own HTTP/2 client, and the
// frames of the npm package ws over its streams. Prints what does not hold and ends with
// status 1, or prints "ok".
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import WebSocket from "ws";

const base = process.argv[2];
setTimeout(() => assert.fail("it took too long"), 60_000).unref();

const session = http2.connect(base, { rejectUnauthorized: false }); // a certificate of the test's own
await once(session, "remoteSettings");
assert.equal(session.remoteSettings.enableConnectProtocol, true);

async function ask(path, headers = {}) {
  const stream = session.request({
    ":method": "CONNECT", ":protocol": "websocket", ":path": path, "sec-websocket-version": 13, ...headers,
  });
  const [answer] = await once(stream, "response");
  return { stream, answer };
}

// open gives a stream to ws, as it does with the socket of an upgrade.
async function open(path) {
  const { stream, answer } = await ask(path);
  assert.equal(answer[":status"], 200);
  const ws = new WebSocket(null, undefined, { closeTimeout: 30_000 });
  ws._isServer = false; // masks what it sends
  const heard = [];
  let next;
  ws.on("message", (data, isBinary) => {
    heard.push([data, isBinary]);
    next?.();
  });
  ws.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: true, maxPayload: 0, skipUTF8Validation: false });
  const hear = async () => {
    while (heard.length === 0) await new Promise((resolve) => (next = resolve));
    return heard.shift();
  };
  return { ws, stream, hear };
}

// refusals, as any answer of HTTP
for (const [headers, status] of [
  [{ "sec-websocket-version": 8 }, 400],
  [{ origin: "https://evil.example" }, 403],
  [{ ":protocol": "something-else" }, 501],
]) {
  const { stream, answer } = await ask("/echo", headers);
  assert.equal(answer[":status"], status);
  stream.close();
}

// echoes of all sizes
const one = await open("/echo");
for (const text of ["", "x", "hello, wörld 👋", "ä".repeat(100_000), "x".repeat(3_000_000)]) {
  one.ws.send(text);
  const [data, isBinary] = await one.hear();
  assert.equal(isBinary, false);
  assert.equal(data.toString(), text);
}
one.ws.send(Buffer.from([0, 1, 2, 255]));
assert.deepEqual(await one.hear(), [Buffer.from([0, 1, 2, 255]), true]);
one.ws.ping("p");
assert.equal((await once(one.ws, "pong"))[0].toString(), "p");

// many over one connection, each in order, and a broadcast to all
const many = await Promise.all(Array.from({ length: 50 }, () => open("/echo")));
await Promise.all(many.map(async ({ ws, hear }, i) => {
  for (let n = 0; n < 20; n++) ws.send(`${i}-${n}`);
  for (let n = 0; n < 20; n++) assert.equal((await hear())[0].toString(), `${i}-${n}`);
}));
const room = await Promise.all(Array.from({ length: 20 }, () => open("/broadcast")));
room[0].ws.send("to all");
for (const { hear } of room) assert.equal((await hear())[0].toString(), "to all");

// closes: by the client, and by the server for what the client did wrong
for (const { ws, stream } of [...many, ...room, one]) {
  const closed = once(ws, "close");
  const ended = once(stream, "close");
  ws.close(1000, "bye");
  assert.equal((await closed)[0], 1000);
  await ended;
  assert.equal(stream.rstCode, http2.constants.NGHTTP2_NO_ERROR);
}
for (const [bytes, code] of [
  [[0xff, 0xff], 1002], // a reserved bit
  [[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007], // a text that is no UTF-8
]) {
  const bad = await open("/echo");
  const closed = once(bad.ws, "close");
  bad.stream.write(Buffer.from(bytes));
  assert.equal((await closed)[0], code, "the close frame is read, whatever ends the stream behind it");
}

// a stream that is reset takes no other with it
const [gone, stays] = [await open("/echo"), await open("/echo")];
gone.ws.on("error", () => {});
gone.stream.close(http2.constants.NGHTTP2_CANCEL);
stays.ws.send("still here");
assert.equal((await stays.hear())[0].toString(), "still here");
stays.ws.close(1000);
await once(stays.ws, "close");

session.close();
await once(session, "close");
console.log("ok");
