// The chat's page. The protocol is plain text: "<id> is now connected",
// "<id> said: <text>", "<id> disconnected".

const byId = (id) => document.getElementById(id);
const list = byId("messages");
const rooms = ["ws", "test"];

let room = "";
let visit = null; // the connection to the room, and what belongs to it
let attempt = 0; // how many connections have failed in a row
let timer = 0;

// A visit is one connection. A page learns its own id by a random tag that it
// connects with and asks /members about.
class Visit {
  constructor(room) {
    this.room = room;
    this.tag = crypto.getRandomValues(new Uint32Array(4)).join("-");
    this.me = "";
    this.members = new Set();
    this.notices = []; // since the socket was opened, until the list is here
    const scheme = location.protocol === "https:" ? "wss://" : "ws://";
    this.socket = new WebSocket(`${scheme}${location.host}/${room}?tag=${this.tag}`);
    this.socket.onopen = () => this.opened();
    this.socket.onmessage = (event) => this === visit && this.heard(event.data);
    this.socket.onclose = (event) => this === visit && lost(event);
  }

  opened() {
    if (this !== visit) return;
    showState("connected", "connected");
    this.fetchMembers();
  }

  async fetchMembers() {
    try {
      const answer = await fetch(`/members?room=${this.room}&tag=${this.tag}`);
      if (!answer.ok) throw new Error(`${answer.status}`);
      const ids = await answer.json();
      if (this !== visit) return;
      this.me = answer.headers.get("X-Member-Id") ?? "";
      this.members = new Set(ids);
      // What was heard since the socket opened is newer than the list, or in it.
      for (const [id, here] of this.notices) this.mark(id, here);
      this.notices = null;
      showMembers();
      showMine();
    } catch {
      if (this === visit) setTimeout(() => this === visit && this.notices && this.fetchMembers(), 2000);
    }
  }

  mark(id, here) {
    if (here) this.members.add(id);
    else this.members.delete(id);
  }

  heard(text) {
    attempt = 0; // not before: a server may accept and then end it at once
    const said = /^(\S+) said: ([^]*)$/.exec(text);
    if (said) {
      addMessage(said[1], said[2]);
      return;
    }
    const moved = /^(\S+) (is now connected|disconnected)$/.exec(text);
    addNotice(text);
    if (!moved) return;
    const here = moved[2] !== "disconnected";
    this.notices?.push([moved[1], here]);
    this.mark(moved[1], here);
    showMembers();
  }
}

function enter(name) {
  room = rooms.includes(name) ? name : rooms[0];
  for (const a of document.querySelectorAll("nav a")) {
    if (a.dataset.room === room) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  list.replaceChildren();
  attempt = 0;
  connect();
}

function connect() {
  clearTimeout(timer);
  const old = visit;
  visit = null;
  old?.socket.close(1000);
  showState("connecting", "connecting…");
  visit = new Visit(room);
  showMembers();
}

// lost waits before the next attempt: longer each time up to 10 seconds, and by
// chance a little more or less, so that not all pages come back at once.
function lost(event) {
  visit = null;
  showMembers();
  const wait = Math.min(10000, 500 * 2 ** attempt) * (0.75 + Math.random() / 2);
  if (attempt === 0) addNotice(`The connection ended (${event.code}).`);
  attempt++;
  showState("waiting", `reconnecting in ${Math.ceil(wait / 1000)} s`);
  timer = setTimeout(connect, wait);
}

function showState(state, text) {
  const p = byId("state");
  p.dataset.state = state;
  p.textContent = text;
  byId("send").disabled = state !== "connected";
}

function showMembers() {
  const ids = visit ? [...visit.members].sort() : [];
  byId("count").textContent = ids.length;
  byId("members").replaceChildren(...ids.map((id) => {
    const li = document.createElement("li");
    li.dataset.id = id;
    li.append(dot(id), name(id));
    if (id === visit.me) li.append(span("you", " (you)"));
    return li;
  }));
}

// showMine marks what this visit had said before it knew its id.
function showMine() {
  for (const li of list.children) if (li.dataset.id === visit.me) li.classList.add("mine");
}

function addMessage(id, text) {
  const li = document.createElement("li");
  li.dataset.id = id;
  li.className = id === visit.me ? "mine" : "";
  const meta = span("meta", "");
  meta.append(dot(id), name(id), " · ", clock());
  li.append(meta, span("body", text));
  append(li);
}

function addNotice(text) {
  const li = document.createElement("li");
  li.className = "notice";
  li.append(text, " · ", clock());
  append(li);
}

const keep = 500; // messages on the page

function append(li) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  list.append(li);
  while (list.children.length > keep) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function clock() {
  const now = new Date();
  const time = document.createElement("time");
  time.dateTime = now.toISOString();
  time.textContent = now.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return time;
}

// name is an id as people can tell it apart: its beginning; all of it as a hint.
function name(id) {
  const el = span("who", id.slice(0, 8));
  el.title = id;
  return el;
}

// dot has a colour that is the id's own: a hash of the id, spread around the
// wheel by the golden angle so that hashes close by look different.
function dot(id) {
  let hash = 0;
  for (const ch of id) hash = (hash * 31 + ch.charCodeAt(0)) % 9973;
  const el = span("dot", "");
  el.style.background = `hsl(${(hash * 137.508) % 360} 60% 50%)`;
  return el;
}

function span(className, text) {
  const el = document.createElement("span");
  el.className = className;
  el.textContent = text; // text as text, never as HTML
  return el;
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = byId("text");
  if (input.value === "" || visit?.socket.readyState !== WebSocket.OPEN) return;
  visit.socket.send(input.value);
  input.value = "";
  input.focus();
});

addEventListener("hashchange", () => enter(location.hash.slice(1)));
addEventListener("online", () => { if (!visit) connect(); });
enter(location.hash.slice(1));
