// A server for clients that are not ours, with the npm package ws. It prints its port and
// runs until its standard input ends. With the argument "compress" it compresses messages.
import { createServer, STATUS_CODES } from "node:http";
import { WebSocketServer } from "ws";

const perMessageDeflate = process.argv[2] === "compress" && { threshold: 0 };
const wss = new WebSocketServer({
  noServer: true,
  perMessageDeflate,
  handleProtocols: (offered) => (offered.has("chat") ? "chat" : false),
});
wss.on("connection", (ws, request) => {
  if (request.url === "/bye") {
    ws.close(4000, "bye");
    return;
  }
  ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary }));
  ws.on("pong", (data) => ws.send(`pong ${data}`));
  if (request.url === "/ping") ws.ping("p");
});
wss.on("headers", (headers, request) => {
  if (request.url === "/odd") headers.push("Connection: keep-alive", "Content-Length: 0", "X-Folded: a,\r\n b");
});

const server = createServer((request, response) => response.writeHead(426).end());
server.on("upgrade", (request, socket, head) => {
  const answer = (status, ...headers) =>
    socket.end([`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...headers, "Connection: close", "", ""].join("\r\n"));
  switch (request.url) {
    case "/refused":
      return answer(401, "WWW-Authenticate: Bearer");
    case "/redirect":
      return answer(307, "Location: /echo");
    case "/hints":
      socket.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x.css>; rel=preload\r\n\r\n");
  }
  wss.handleUpgrade(request, socket, head, (ws) => wss.emit("connection", ws, request));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
