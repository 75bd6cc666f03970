// The board's page: it calls the hub's methods Enter, Draw, Wipe, Say, Typing and
// Replay, and the hub calls entered, left, drawn, wiped, said and typing here. All
// that others have written is put in as text, never as HTML.

import { Paper, colours, widths } from "./paper.js";

const byId = (id) => document.getElementById(id);
const protocol = new URLSearchParams(location.search).has("messagepack") ? "messagepack" : "json";
const paper = new Paper(byId("canvas"));

const people = new Map(); // names by connection id, in the order in which they came
const typists = new Map(); // timers by connection id
let me = ""; // the id of this connection
let name = sessionStorage.getItem("name") ?? "";
let early = null; // events that came before the result of Enter

const builder = new signalR.HubConnectionBuilder()
  .withUrl("hub")
  .withStatefulReconnect() // a short interruption is none
  .withAutomaticReconnect({ nextRetryDelayInMilliseconds: (c) => wait(c.previousRetryCount) })
  .configureLogging(signalR.LogLevel.Error);
if (protocol === "messagepack") builder.withHubProtocol(new signalR.protocols.msgpack.MessagePackHubProtocol());
const hub = builder.build();

function wait(attempt) {
  return Math.min(500 * 2 ** attempt, 10_000) * (0.5 + Math.random() / 2);
}

// Events.

function on(event, f) {
  hub.on(event, (...args) => (early ? early.push(() => f(...args)) : f(...args)));
}

on("entered", (p) => {
  people.set(p.id, p.name);
  showPeople();
  notice(`${p.name} has come`);
});
on("left", (id) => {
  if (!people.has(id)) return;
  notice(`${people.get(id)} has left`);
  people.delete(id);
  stopsTyping(id);
  showPeople();
});
on("drawn", (id, stroke) => {
  paper.add(stroke, id === me);
  showEmpty();
});
on("wiped", (who) => {
  paper.wipe();
  showEmpty();
  notice(`${who} has wiped the board`);
});
on("said", (r) => {
  stopsTyping(r.id);
  remark(r);
});
on("typing", (id, is) => {
  stopsTyping(id);
  if (is) typists.set(id, setTimeout(stopsTyping, 6000, id));
  showTyping();
});

// The connection.

async function connect() {
  for (let attempt = 0; hub.state === signalR.HubConnectionState.Disconnected; attempt++) {
    try {
      await hub.start();
      await entered();
    } catch (err) {
      state("waiting", "connecting again…");
      if (hub.state !== signalR.HubConnectionState.Disconnected) return trouble(err);
      await new Promise((done) => setTimeout(done, wait(attempt)));
    }
  }
}

// entered enters, if it is known by which name.
async function entered() {
  early = [];
  if (!name) {
    state("waiting", "connected");
    if (!byId("door").open) byId("door").showModal();
    return;
  }
  const scene = await hub.invoke("Enter", name);
  me = scene.you.id;
  people.clear();
  for (const p of scene.people) people.set(p.id, p.name);
  for (const id of [...typists.keys()]) stopsTyping(id);
  byId("messages").replaceChildren();
  scene.said.forEach(remark);
  paper.reset(scene.strokes);
  const events = early;
  early = null;
  for (const f of events) f();
  state("connected", "connected");
  showPeople();
  showEmpty();
}

hub.onreconnecting(() => state("waiting", "connecting again…"));
hub.onreconnected(() => entered().catch(trouble));
hub.onclose((err) => {
  state("waiting", "closed");
  if (err) trouble(err);
  setTimeout(connect, wait(1)); // the server wanted the end: don't storm it
});

function state(is, text) {
  byId("state").dataset.state = is;
  byId("state").textContent = text;
  for (const id of ["send", "replay", "wipe"]) byId(id).disabled = is !== "connected";
  paper.enabled = is === "connected";
}

function trouble(err) {
  byId("trouble").textContent = err.message;
  byId("trouble").hidden = false;
  clearTimeout(trouble.timer);
  trouble.timer = setTimeout(() => (byId("trouble").hidden = true), 5000);
}

byId("enter").addEventListener("submit", () => {
  name = byId("name").value.trim();
  sessionStorage.setItem("name", name);
  if (hub.state !== signalR.HubConnectionState.Connected) return; // it will, by the name
  entered().catch((err) => {
    name = "";
    sessionStorage.removeItem("name");
    trouble(err);
    byId("door").showModal();
  });
});
byId("door").addEventListener("cancel", (event) => event.preventDefault());

// People and talk.

function tint(id) {
  let h = 2166136261; // FNV-1a
  for (const c of id) h = Math.imul(h ^ c.codePointAt(0), 16777619);
  return `hsl(${(h >>> 0) % 360} 60% 48%)`;
}

function element(tag, className, text) {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text;
  return e;
}

function showPeople() {
  const items = [...people].map(([id, who]) => {
    const li = element("li", "", "");
    const dot = element("span", "dot", "");
    dot.style.background = tint(id);
    li.dataset.id = id;
    li.append(dot, element("span", "name", who));
    if (id === me) li.append(element("span", "you", " (you)"));
    return li;
  });
  byId("people").replaceChildren(...items);
  byId("count").textContent = items.length;
}

function append(li) {
  const list = byId("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(li);
  while (list.childElementCount > 300) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function notice(text) {
  append(element("li", "notice", text));
}

function remark(r) {
  const li = element("li", r.id === me ? "mine" : "", "");
  li.append(element("span", "who", r.name), element("span", "body", r.text));
  append(li);
}

function stopsTyping(id) {
  clearTimeout(typists.get(id));
  if (typists.delete(id)) showTyping();
}

function showTyping() {
  const names = [...typists.keys()].map((id) => people.get(id)).filter(Boolean);
  byId("typing").textContent =
    names.length === 0 ? "" : names.length === 1 ? `${names[0]} is typing…` : names.length === 2 ? `${names.join(" and ")} are typing…` : `${names.length} people are typing…`;
}

let told = 0; // when the others were last told that this one types
let silence = 0;

function types(is) {
  clearTimeout(silence);
  if (is) silence = setTimeout(types, 3000, false);
  const now = performance.now();
  if (is ? told && now - told < 2000 : !told) return;
  told = is ? now : 0;
  if (hub.state === signalR.HubConnectionState.Connected) hub.send("Typing", is).catch(() => {}); // a notice less
}

byId("text").addEventListener("input", () => types(byId("text").value !== ""));
byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (!text || byId("send").disabled) return;
  types(false);
  byId("text").value = "";
  try {
    await hub.invoke("Say", text);
  } catch (err) {
    if (!byId("text").value) byId("text").value = text;
    trouble(err);
  }
});

// Pens.

function choices(parent, list, make, choose) {
  const buttons = list.map((value, i) => {
    const b = document.createElement("button");
    b.type = "button";
    b.append(make(value, b));
    b.addEventListener("click", () => {
      buttons.forEach((other, j) => other.setAttribute("aria-pressed", i === j));
      choose(i);
    });
    return b;
  });
  byId(parent).append(...buttons);
  buttons[parent === "widths" ? 1 : 0].click();
}

choices("colours", colours, (colour, button) => {
  button.ariaLabel = colour.name;
  const i = document.createElement("i");
  i.style.background = colour.css;
  return i;
}, (i) => (paper.colour = i));
choices("widths", widths, (width, button) => {
  button.ariaLabel = `${width.name} pen`;
  const i = document.createElement("i");
  i.style.width = i.style.height = `${width.dot}px`;
  return i;
}, (i) => (paper.width = i));

paper.ondraw = (stroke) => {
  showEmpty();
  hub.invoke("Draw", stroke).catch((err) => {
    paper.forget(stroke);
    trouble(err);
  });
};
byId("wipe").addEventListener("click", () => hub.invoke("Wipe").catch(trouble));

function showEmpty() {
  byId("empty").hidden = !paper.empty;
}

// The replay is a stream of the hub's, which stops when it is disposed of.
let replay = null;

byId("replay").addEventListener("click", () => {
  if (replay || paper.empty) return;
  paper.play();
  progress(0, 1);
  byId("playing").hidden = false;
  replay = hub.stream("Replay", 30).subscribe({
    next(frame) {
      paper.frame(frame.stroke);
      progress(frame.done, frame.total);
    },
    complete: played,
    error(err) {
      played();
      trouble(err);
    },
  });
});
byId("cancel").addEventListener("click", () => {
  replay?.dispose();
  played();
});

function progress(done, total) {
  byId("progress").value = done / total;
  byId("played").textContent = `${done} of ${total}`;
}

function played() {
  replay = null;
  paper.live();
  byId("playing").hidden = true;
}

for (const a of document.querySelectorAll("nav a")) {
  if (a.dataset.protocol === protocol) a.setAttribute("aria-current", "page");
}
state("waiting", "connecting…");
connect();
