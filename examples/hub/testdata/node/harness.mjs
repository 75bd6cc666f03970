// What the suites share: tests that print a line of JSON each, connections whose
// frames are recorded and checked, and a proxy that cuts.

import * as signalR from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";
import { decodeMulti } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import net from "node:net";
import WebSocket from "ws";

const [base, protocol] = process.argv.slice(2, 4);
const only = process.argv[4]; // by hand: a part of a name
export const json = protocol === "json";
export { assert, base, protocol, signalR, WebSocket };
export const url = `${base}/hub`;
export const patience = 30_000;

// test runs one, and prints how it went.
export async function test(name, f) {
  if (only && !name.includes(only)) return;
  let timer;
  const late = new Promise((_, fail) => (timer = setTimeout(() => fail(new Error("it hangs")), 2 * patience)));
  let error = "";
  try {
    await Promise.race([f(), late]);
  } catch (err) {
    error = err?.stack ?? String(err);
  }
  clearTimeout(timer);
  console.log(JSON.stringify({ name, error }));
}
export const finish = () => process.exit(0); // whatever timers the clients still have

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export async function until(f) {
  for (const end = Date.now() + patience; !f(); await sleep(5)) {
    if (Date.now() > end) throw new Error(`it did not happen: ${f}`);
  }
}
export const collect = (stream) =>
  new Promise((complete, error) => {
    const items = [];
    stream.subscribe({ next: (x) => items.push(x), complete: () => complete(items), error });
  });

// Records of the wire, of both protocols, as the same objects.

const names = {
  1: ["headers", "invocationId", "target", "arguments", "streamIds"],
  2: ["headers", "invocationId", "item"],
  3: ["headers", "invocationId", "kind", "result"],
  4: ["headers", "invocationId", "target", "arguments", "streamIds"],
  5: ["headers", "invocationId"],
  6: [],
  7: ["error", "allowReconnect"],
  8: ["sequenceId"],
  9: ["sequenceId"],
};

// parse splits a message into records: it must be whole ones.
export function parse(data) {
  if (json) {
    assert.equal(typeof data, "string", "43: JSON is in text frames only");
    assert.ok(data.endsWith("\x1e"), "43: a message ends where a record does");
    return data.slice(0, -1).split("\x1e").map((r) => ({ ...JSON.parse(r), bytes: Buffer.byteLength(r) + 1 }));
  }
  assert.notEqual(typeof data, "string", "43: MessagePack is in binary frames only");
  const bytes = new Uint8Array(data);
  const records = [];
  for (let at = 0; at < bytes.length; ) {
    const begin = at;
    let size = 0;
    let shift = 0;
    do size += (bytes[at] & 0x7f) * 2 ** shift, (shift += 7);
    while (bytes[at++] & 0x80);
    assert.ok(at + size <= bytes.length, "43: a message ends where a record does");
    const body = bytes.subarray(at, at + size);
    at += size;
    const items = [...decodeMulti(body)];
    assert.equal(items.length, 1);
    const [type, ...rest] = items[0];
    const m = { type, bytes: at - begin };
    rest.forEach((v, i) => (m[names[type][i]] = v));
    if (type === 6) assert.equal(Buffer.from(body).toString("hex"), "9106", "44: a ping is 91 06");
    if (names[type][0] === "headers") assert.ok(m.headers && typeof m.headers === "object", "44: headers are a map");
    if (type === 1) assert.equal(rest.length, 5, "44: an invocation has 6 items");
    if (type === 7) assert.equal(rest.length, 2, "44: a close has 3 items");
    if (type === 3) {
      assert.equal(rest.length, m.kind === 2 ? 3 : 4, "44: a result or none");
      if (m.kind === 1) [m.error] = [m.result, delete m.result];
    }
    delete m.headers;
    for (const optional of ["invocationId", "error"]) if (m[optional] === null) delete m[optional];
    if (type === 1 && m.streamIds.length === 0) delete m.streamIds;
    records.push(m);
  }
  return records;
}

// check holds each record of the server against what clients can bear.
function check(m) {
  assert.ok(m.type >= 1 && m.type <= 9, `44: type ${m.type}`);
  assert.ok(!("headers" in m), "44: no headers");
  for (const name of ["invocationId", "error"]) {
    if (name in m) assert.ok(typeof m[name] === "string" && m[name] !== "", `44: ${name} is ${JSON.stringify(m[name])}`);
  }
  assert.ok(!("result" in m && "error" in m), "44: a result or an error");
  if (m.type === 1) {
    assert.ok(Array.isArray(m.arguments));
    assert.ok(!("streamIds" in m));
    if (m.target.toLowerCase() === "message") {
      assert.equal(m.target, "message", "54: as it was registered");
      assert.equal(m.arguments.length, 2, "54: always as many");
    }
  }
  if (m.type === 2) assert.ok("item" in m, "44: an item has its item");
}

// Sockets are all that a connection had. Wire is the WebSocket that the client makes,
// with an eye on it.
export const broken = []; // what was wrong with any frame
function spied(sockets) {
  return class Wire extends WebSocket {
    constructor(to, protocols, options) {
      super(to, protocols, options);
      this.records = [];
      this.sent = [];
      this.first = true;
      sockets.push(this);
      this.on("message", (data) => {
        try {
          const text = typeof data === "string" ? data : Buffer.from(data).toString();
          if (this.first && /^\{[^]*\}\x1e/.test(text) && !/"type"/.test(text)) {
            this.handshake = text;
            assert.match(text, /^\{("error":"[^"]+")?\}\x1e$/, "11: the answer is alone in its frame");
          } else {
            const records = parse(data);
            records.forEach(check);
            if (this.first) assert.equal(records[0].type, 9, "51: what resumes begins with its number");
            this.records.push(...records);
          }
          this.first = false;
        } catch (err) {
          broken.push(err);
        }
      });
    }
    send(data, ...more) {
      this.sent.push(data);
      return super.send(data, ...more);
    }
  };
}

// build makes a connection of the suite's protocol, or the other one. Its sockets are in
// its wire.
export function build({ at = url, more = (b) => b, other = false, ...options } = {}) {
  const sockets = [];
  const b = new signalR.HubConnectionBuilder().withUrl(at, { WebSocket: other ? WebSocket : spied(sockets), ...options });
  if (json === other) b.withHubProtocol(new MessagePackHubProtocol());
  const c = more(b.configureLogging(signalR.LogLevel.None)).build();
  c.wire = sockets;
  c.records = () => sockets.flatMap((s) => s.records);
  c.closed = [];
  c.onclose((err) => c.closed.push(err));
  c.got = [];
  c.on("message", (id, x) => c.got.push([id, x]));
  return c;
}
export const skip = { skipNegotiation: true, transport: signalR.HttpTransportType.WebSockets };

// connected runs f with a connection, and without it no more.
export async function connected(f, options) {
  const c = build(options);
  await c.start();
  try {
    await f(c);
  } finally {
    await c.stop();
  }
}

// proxy passes bytes on until it is told to cut.
export async function proxy() {
  const { hostname, port } = new URL(base);
  const conns = new Set();
  const server = net.createServer((c) => {
    const up = net.connect(+port, hostname);
    conns.add(c).add(up);
    c.pipe(up).pipe(c);
    c.on("error", () => up.destroy()).on("close", () => (up.destroy(), conns.delete(c)));
    up.on("error", () => c.destroy()).on("close", () => (c.destroy(), conns.delete(up)));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    base: `http://127.0.0.1:${server.address().port}`,
    at: `http://127.0.0.1:${server.address().port}/hub`,
    cut: () => conns.forEach((c) => c.resetAndDestroy()),
    close: () => (conns.forEach((c) => c.destroy()), server.close()),
  };
}
