// node use.js URL json|messagepack: uses the types that hub.TypeScript has written, of each
// kind, with a real hub. typescript_test.go compiles it and runs it.

import { HubConnectionBuilder, LogLevel, Subject } from "@microsoft/signalr";
import type { IStreamResult } from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";
import { typed } from "./hub.js";
import type { Frame, Person, Remark, Scene, Stroke, TypedConnection } from "./hub.js";

declare const process: { argv: string[]; exit(status: number): never };
declare const console: { log(text: string): void };

function equal<T>(got: T, want: T): void {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

function collect<T>(stream: IStreamResult<T>): Promise<T[]> {
  return new Promise((complete, error) => {
    const items: T[] = [];
    stream.subscribe({ next: (item) => items.push(item), complete: () => complete(items), error });
  });
}

async function use(hub: TypedConnection): Promise<void> {
  const remarks: Remark[] = [];
  const strokes: [string, Stroke][] = [];
  const wiped = new Promise<string>((done) => hub.on("wiped", done));
  const onSaid = (r: Remark): void => void remarks.push(r);
  hub.on("said", onSaid);
  hub.on("drawn", (id, stroke) => strokes.push([id, stroke]));
  hub.on("clientAdd", async (a, b) => a + b);
  await hub.start();

  // Methods.
  const sum: number = await hub.invoke("Add", 40, 2);
  equal(sum, 42);
  const echo: unknown = await hub.invoke("Echo", { any: ["value"] });
  equal(echo, { any: ["value"] });
  const scene: Scene = await hub.invoke("Enter", "Ann");
  const names: string[] = (scene.people ?? []).map((p: Person) => p.name);
  equal(names, ["Ann"]);
  const nothing: void = await hub.invoke("JoinGroup", "g");
  await hub.send("ToGroup", "g", "text");

  // A result of the client.
  equal(await hub.invoke("AskClient", 5, 6), 11);

  // Events.
  const stroke: Stroke = { colour: 1, width: 2, points: [0, 0, 10, 10] };
  await hub.invoke("Draw", stroke);
  await hub.invoke("Say", "first");
  hub.off("said", onSaid);
  await hub.invoke("Say", "second");
  const frames: Frame[] = await collect(hub.stream("Replay", 0));
  await hub.send("Wipe");
  equal(await wiped, "Ann");
  equal(remarks.map((r) => r.text), ["first"]);
  equal(strokes, [[scene.you.id, stroke]]);

  // Streams.
  equal(frames, [{ done: 1, total: 1, stroke }]);
  equal(await collect(hub.stream("Counter", 3, 0)), [0, 1, 2]);
  const items = new Subject<number>();
  const total: Promise<number> = hub.invoke("Sum", items);
  for (const n of [1, 2, 3]) items.next(n);
  items.complete();
  equal(await total, 6);
  equal(hub.state, "Connected");
  await hub.stop();
  return nothing;
}

// Each marked line must not compile: then the marks would be errors.
export async function wrong(hub: TypedConnection): Promise<void> {
  // @ts-expect-error: there is no such method
  await hub.invoke("Nothing");
  // @ts-expect-error: names have one spelling
  await hub.invoke("add", 1, 2);
  // @ts-expect-error: an argument is missing
  await hub.invoke("Add", 1);
  // @ts-expect-error: one argument is too much
  await hub.invoke("Add", 1, 2, 3);
  // @ts-expect-error: a text is no number
  await hub.invoke("Add", 1, "2");
  // @ts-expect-error: the result is a number
  const text: string = await hub.invoke("Add", 1, 2);
  // @ts-expect-error: any value has to be inspected
  (await hub.invoke("Echo", 1)).length;
  // @ts-expect-error: a list may be null
  (await hub.invoke("Enter", "Ann")).people.length;
  // @ts-expect-error: a member is missing
  await hub.invoke("Draw", { colour: 1, width: 2 });
  // @ts-expect-error: a member is not known
  await hub.invoke("Draw", { colour: 1, width: 2, points: [], depth: 3 });
  // @ts-expect-error: a stream is not invoked
  await hub.invoke("Counter", 1, 2);
  // @ts-expect-error: a method is not streamed
  hub.stream("Add", 1, 2);
  // @ts-expect-error: the items are numbers
  const texts: IStreamResult<string> = hub.stream("Counter", 1, 2);
  // @ts-expect-error: the argument is a stream
  await hub.invoke("Sum", [1, 2]);
  // @ts-expect-error: it is a stream of numbers
  await hub.send("Sum", new Subject<string>());
  // @ts-expect-error: there is no such event
  hub.on("nothing", () => {});
  // @ts-expect-error: the argument has another type
  hub.on("said", (s: Stroke) => s.width);
  // @ts-expect-error: there is one argument
  hub.on("said", (r, more) => r);
  // @ts-expect-error: the hub waits for a number
  hub.on("clientAdd", (a, b) => `${a}${b}`);
  // @ts-expect-error: the hub waits for a result
  hub.on("clientAdd", () => {});
  // @ts-expect-error: there is no such event
  hub.off("nothing");
  void [text, texts];
}

const [url, protocol] = process.argv.slice(2);
const builder = new HubConnectionBuilder().withUrl(`${url}/hub`).configureLogging(LogLevel.None);
if (protocol === "messagepack") builder.withHubProtocol(new MessagePackHubProtocol());
use(typed(builder.build())).then(
  () => (console.log("done"), process.exit(0)),
  (err) => (console.log(String(err?.stack ?? err)), process.exit(1)),
);
