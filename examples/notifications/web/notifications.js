// The page listens on a socket and sends over HTTP: the one needs not the other.

const byId = (id) => document.getElementById(id);
const list = byId("list");
const keep = 200; // notifications on the page

let socket = null;
let attempt = 0; // how many connections have failed in a row
let timer = 0;
let opened = 0; // when the connection was opened

function connect() {
  clearTimeout(timer);
  showState("connecting", "connecting…");
  const scheme = location.protocol === "https:" ? "wss://" : "ws://";
  const s = new WebSocket(`${scheme}${location.host}/notifications`);
  socket = s;
  s.onopen = () => {
    opened = Date.now();
    showState("connected", "connected");
  };
  s.onmessage = (event) => show(event.data);
  s.onclose = () => s === socket && lost();
}

// lost waits before the next attempt: longer each time up to 10 seconds, and by
// chance a little more or less, so that not all pages come back at once.
function lost() {
  socket = null;
  if (opened && Date.now() - opened > 5000) attempt = 0; // not before: a server may accept and then end it at once
  opened = 0;
  const wait = Math.min(10000, 500 * 2 ** attempt) * (0.75 + Math.random() / 2);
  attempt++;
  showState("waiting", `reconnecting in ${Math.ceil(wait / 1000)} s`);
  timer = setTimeout(connect, wait);
}

function showState(state, text) {
  const p = byId("state");
  p.dataset.state = state;
  p.textContent = text;
}

function show(text) {
  byId("empty").hidden = true;
  const now = new Date();
  const time = document.createElement("time");
  time.dateTime = now.toISOString();
  time.textContent = now.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const body = document.createElement("span");
  body.className = "body";
  body.textContent = text; // text as text, never as HTML
  const li = document.createElement("li");
  li.append(time, body);
  list.prepend(li);
  while (list.children.length > keep) list.lastChild.remove();
}

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = byId("message");
  const message = input.value;
  const answer = byId("answer");
  try {
    const res = await fetch("/api/messages/sendmessage", {
      method: "POST",
      headers: { Accept: "application/problem+json, application/json" },
      body: new URLSearchParams({ message }),
    });
    const said = await res.json();
    answer.dataset.failed = res.ok ? "" : "yes";
    if (!res.ok) {
      answer.textContent = said.detail ?? said.title;
      return;
    }
    answer.textContent = `sent to ${said.sent} ${said.sent === 1 ? "page" : "pages"}`;
    if (input.value === message) input.value = "";
  } catch {
    answer.dataset.failed = "yes";
    answer.textContent = "not sent: the server did not answer";
  }
  input.focus();
});

byId("curl").textContent = `curl '${location.origin}/api/messages/sendmessage?message=hi'`;
addEventListener("online", () => { if (!socket) connect(); });
connect();
