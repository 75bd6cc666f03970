// Talks to the chat with a WebSocket client that is not ours. Prints what does
// not hold and ends with status 1, or prints "ok".
import assert from "node:assert/strict";
import { once } from "node:events";
import WebSocket from "ws";

const base = process.argv[2].replace("http", "ws");
setTimeout(() => assert.fail("it took too long"), 20_000).unref();

// A client queues what it hears.
class Client {
  heard = [];
  waiting = [];

  static async join(path, options) {
    const c = new Client();
    c.ws = new WebSocket(base + path, options);
    c.ws.on("message", (data, isBinary) => {
      assert.equal(isBinary, false);
      const next = c.waiting.shift();
      if (next) next(data.toString());
      else c.heard.push(data.toString());
    });
    await once(c.ws, "open");
    c.id = (await c.hear()).replace(/ is now connected$/, "");
    assert.match(c.id, /^[A-Z2-7]{26}$/);
    return c;
  }

  hear() {
    if (this.heard.length > 0) return Promise.resolve(this.heard.shift());
    return new Promise((next) => this.waiting.push(next));
  }

  async closed() {
    const [code, reason] = await once(this.ws, "close");
    return `${code} ${reason}`.trim();
  }
}

const ann = await Client.join("/ws");
const bob = await Client.join("/ws");
assert.equal(await ann.hear(), `${bob.id} is now connected`);
const eve = await Client.join("/test");

ann.ws.send("hello, wörld 👋");
assert.equal(await ann.hear(), `${ann.id} said: hello, wörld 👋`);
assert.equal(await bob.hear(), `${ann.id} said: hello, wörld 👋`);

// Fragments, and a message near the limit.
ann.ws.send("frag", { fin: false });
ann.ws.send("ments", { fin: true });
assert.equal(await bob.hear(), `${ann.id} said: fragments`);
const long = "x".repeat(60_000);
ann.ws.send(long);
assert.equal(await bob.hear(), `${ann.id} said: ${long}`);

// Ping and pong.
ann.ws.ping("are you there?");
const [payload] = await once(ann.ws, "pong");
assert.equal(payload.toString(), "are you there?");

// The other room has heard nothing.
eve.ws.send("alone");
assert.equal(await eve.hear(), `${eve.id} said: alone`);

// Orderly and disorderly ends, each told once.
bob.ws.close(1000, "bye");
assert.equal(await bob.closed(), "1000 bye");
await ann.hear(); // fragments
await ann.hear(); // long
assert.equal(await ann.hear(), `${bob.id} disconnected`);
const tom = await Client.join("/ws");
assert.equal(await ann.hear(), `${tom.id} is now connected`);
tom.ws.terminate();
assert.equal(await ann.hear(), `${tom.id} disconnected`);

// A message that is too big.
const big = await Client.join("/ws");
assert.equal(await ann.hear(), `${big.id} is now connected`);
big.ws.send("x".repeat(10_000_000));
big.ws.on("error", () => {}); // writing may fail once the server has had enough
assert.equal(await big.closed(), "1009");
assert.equal(await ann.hear(), `${big.id} disconnected`);

// A foreign origin.
const foreign = new WebSocket(base + "/ws", { origin: "http://evil.example" });
const [error] = await once(foreign, "error");
assert.match(error.message, /403/);

ann.ws.close();
assert.equal(await ann.closed(), "1005");
eve.ws.close(4000, "mine");
assert.equal(await eve.closed(), "4000 mine");
console.log("ok");
