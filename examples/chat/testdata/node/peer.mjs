// A client of exampletest.PeerServer that is not ours. Prints "ok", or fails.
import assert from "node:assert/strict";
import { once } from "node:events";
import WebSocket from "ws";

const url = process.argv[2];
setTimeout(() => assert.fail("it took too long"), 20_000).unref();

// Pings are answered by ws itself.
const ws = new WebSocket(url);
let pings = 0;
ws.on("ping", () => pings++);
await once(ws, "open");
ws.send("ping");
assert.equal((await once(ws, "message"))[0].toString(), "pinged");
assert.equal(pings, 3);

// A message in many fragments, which are cut inside characters, and pings in between.
const text = "a\u00e9\u20ac\u{1f600}".repeat(1000);
const bytes = Buffer.from(text);
for (let i = 0; i < bytes.length; i += 7) {
  const fin = i + 7 >= bytes.length;
  ws.send(bytes.subarray(i, i + 7), { binary: false, fin });
  if (i % 700 === 0) ws.pong(); // unsolicited
}
const [answer, isBinary] = await once(ws, "message");
assert.equal(isBinary, false);
assert.equal(answer.toString(), text);
ws.send(Buffer.alloc(0), { binary: true, fin: false });
for (let i = 0; i < 50; i++) ws.send(Buffer.from([i]), { fin: false });
ws.send(Buffer.alloc(0), { fin: true });
assert.deepEqual((await once(ws, "message"))[0], Buffer.from([...Array(50).keys()]));
ws.close(1000);
assert.equal((await once(ws, "close"))[0], 1000);

// The end of the identity.
const expiring = new WebSocket(url + "/?expires");
await once(expiring, "open");
const [code, reason] = await once(expiring, "close");
assert.equal(`${code} ${reason}`, "1008 expired");
console.log("ok");
