// A client of exampletest.PeerServer that is not ours. Prints "ok", or fails.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import WebSocket from "ws";

const base = process.argv[2];
setTimeout(() => assert.fail("it took too long"), 60_000).unref();

// sendFragments sends a message in fragments of size bytes, with unsolicited pongs in between.
function sendFragments(ws, bytes, size, binary) {
  for (let i = 0; i < bytes.length; i += size) {
    ws.send(bytes.subarray(i, i + size), { binary, fin: i + size >= bytes.length });
    if (i % (100 * size) === 0) ws.pong();
  }
}

// Pings are answered by ws itself.
const ws = new WebSocket(base + "/messages");
let pings = 0;
ws.on("ping", () => pings++);
await once(ws, "open");
ws.send("ping");
assert.equal((await once(ws, "message"))[0].toString(), "pinged");
assert.equal(pings, 3);

// A message in many fragments, which are cut inside characters.
const text = "a\u00e9\u20ac\u{1f600}".repeat(1000);
sendFragments(ws, Buffer.from(text), 7, false);
const [answer, isBinary] = await once(ws, "message");
assert.equal(isBinary, false);
assert.equal(answer.toString(), text);
ws.send(Buffer.alloc(0), { binary: true, fin: false });
for (let i = 0; i < 50; i++) ws.send(Buffer.from([i]), { fin: false });
ws.send(Buffer.alloc(0), { fin: true });
assert.deepEqual((await once(ws, "message"))[0], Buffer.from([...Array(50).keys()]));
ws.close(1000);
assert.equal((await once(ws, "close"))[0], 1000);

// Messages that are bigger than a server collects, plain and compressed.
for (const perMessageDeflate of [false, true]) {
  const ws = new WebSocket(base + "/pieces", { perMessageDeflate });
  await once(ws, "open");
  assert.equal(ws.extensions, perMessageDeflate ? "permessage-deflate" : "");
  const big = Buffer.from("a\u00e9\u20ac\u{1f600}".repeat(300_000));
  const digest = `${big.length} ${createHash("sha256").update(big).digest("hex")}`;
  sendFragments(ws, big, 10_001, false);
  assert.equal((await once(ws, "message"))[0].toString(), "text " + digest);
  sendFragments(ws, big, 100_003, true);
  assert.equal((await once(ws, "message"))[0].toString(), "binary " + digest);
  ws.send(big, { binary: true });
  assert.equal((await once(ws, "message"))[0].toString(), "binary " + digest);
  ws.close(1000);
  await once(ws, "close");
}

// The end of the identity.
const expiring = new WebSocket(base + "/expires");
await once(expiring, "open");
const [code, reason] = await once(expiring, "close");
assert.equal(`${code} ${reason}`, "1008 expired");
console.log("ok");
