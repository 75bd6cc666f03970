// Talks to the echo example with compression: a client that is not ours, with all that
// it can be asked to offer. Prints what does not hold and ends with status 1, or prints
// "ok".
import assert from "node:assert/strict";
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import WebSocket from "ws";

const base = process.argv[2].replace("http", "ws");
setTimeout(() => assert.fail("it took too long"), 60_000).unref();

const json = (rows) => JSON.stringify(Array.from({ length: rows }, (_, i) => ({ id: i, name: `usér-${i % 50}`, active: i % 2 === 0 })));
const texts = ["", "x", "hello, wörld 👋", json(1), json(20), json(200), json(5000), "ä".repeat(100_000)];

async function open(perMessageDeflate) {
  const ws = new WebSocket(base + "/echo", { perMessageDeflate });
  const heard = [];
  let next;
  ws.on("message", (data, isBinary) => {
    heard.push([data, isBinary]);
    next?.();
  });
  await once(ws, "open");
  const hear = async () => {
    while (heard.length === 0) await new Promise((resolve) => (next = resolve));
    return heard.shift();
  };
  return { ws, hear };
}

// what the client is asked to offer, and whether that comes to an agreement
for (const [offer, agrees] of [
  [true, true],
  [{ threshold: 0 }, true],
  [{ threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true }, true],
  [{ threshold: 0, clientMaxWindowBits: 9 }, true],
  [{ threshold: 0, serverMaxWindowBits: 15, zlibDeflateOptions: { level: 9 } }, true],
  [{ threshold: 0, zlibDeflateOptions: { level: 0 } }, true],
  [{ serverMaxWindowBits: 10 }, false],
  [false, false],
]) {
  const what = JSON.stringify(offer);
  const { ws, hear } = await open(offer);
  assert.equal(ws.extensions.includes("permessage-deflate"), agrees, what);
  let plain = 0;
  for (const text of texts) {
    ws.send(text);
    const [data, isBinary] = await hear();
    assert.equal(isBinary, false, what);
    assert.equal(data.toString(), text, what);
    plain += Buffer.byteLength(text);
  }
  const { bytesRead: read, bytesWritten: written } = ws._socket;
  if (offer?.threshold === 0 && agrees && offer.zlibDeflateOptions?.level !== 0) assert.ok(written < plain / 5, `${what}: ${written} bytes went for ${plain}`);
  if (agrees) assert.ok(read < plain / 5, `${what}: ${read} bytes came for ${plain}`);
  else assert.ok(read > plain, `${what}: ${read} bytes came for ${plain}`);

  // Fragments, of which each is flushed by itself.
  const whole = json(100);
  for (let i = 0; i < whole.length; i += 500) ws.send(whole.slice(i, i + 500), { fin: i + 500 >= whole.length });
  assert.equal((await hear())[0].toString(), whole, what);

  // What does not compress.
  const noise = randomBytes(50_000);
  ws.send(noise);
  const [data, isBinary] = await hear();
  assert.equal(isBinary, true, what);
  assert.ok(data.equals(noise), what);

  ws.close(1000);
  const [code] = await once(ws, "close");
  assert.equal(code, 1000, what);
}
console.log("ok");
