// System 003: answers each ping; usage: URL [silent]
const WebSocket = require("ws");
const say = require("./say.cjs");
const [url, silent] = process.argv.slice(2);
const ws = new WebSocket(url);

ws.onmessage = (event) => {
  const message = JSON.parse(event.data);
  say(message.event, { data: message.data, error: message.error });
  if (message.event === "ping" && !silent) ws.send(JSON.stringify({ event: "pong" }));
  if (message.event === "complete" || message.event === "error") ws.close();
};
ws.onclose = (event) => say("closed", { code: event.code });
ws.onerror = (error) => say("failure", { message: error.message });
