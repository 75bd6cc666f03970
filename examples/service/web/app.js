// The page of the service: notes over the JSON API, their number by server-sent events, and a
// chat over a WebSocket. Each path without a file is this page, so the links work when loaded.
const $ = (id) => document.getElementById(id);

function show() {
  const chat = location.pathname === "/chat-room";
  $("notes").hidden = chat;
  $("chat").hidden = !chat;
}

async function load() {
  const notes = await (await fetch("/api/notes")).json();
  $("list").replaceChildren(...notes.map((note) => {
    const item = document.createElement("li");
    item.dir = "auto";
    item.textContent = note.text + " ";
    const remove = document.createElement("button");
    remove.textContent = "Delete";
    remove.setAttribute("aria-label", "Delete " + note.text);
    remove.addEventListener("click", () => fetch("/api/notes/" + note.id, { method: "DELETE" }));
    item.append(remove);
    return item;
  }));
}

$("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const response = await fetch("/api/notes", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: form.elements.text.value }),
  });
  $("error").textContent = response.ok ? "" : (await response.json()).detail;
  if (response.ok) form.reset();
});

new EventSource("/events").addEventListener("message", (event) => {
  $("count").textContent = event.data;
  load();
});

let socket;
function connect() {
  socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/chat");
  socket.addEventListener("message", (event) => {
    const item = document.createElement("li");
    item.dir = "auto";
    item.textContent = event.data;
    $("log").append(item);
  });
  socket.addEventListener("close", () => setTimeout(connect, 1000));
}
connect();

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(event.target.elements.text.value);
  event.target.reset();
});

addEventListener("popstate", show);
show();
