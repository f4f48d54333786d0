// System 001: one socket, several tasks; usage: URL task,task [batch]
const WebSocket = require("ws");
const say = require("./say.cjs");
const [url, names, batch] = process.argv.slice(2);
const tasks = names.split(",");
const open = new Set(tasks);
const ws = new WebSocket(url);

ws.onopen = () => {
  ws.send(JSON.stringify({ type: "subscribe", task_ids: tasks }));
  ws.send(JSON.stringify({ type: "get_progress", task_id: tasks[0] }));
  if (batch) ws.send(JSON.stringify({ type: "get_batch_progress", batch_id: batch, task_ids: tasks }));
};
ws.onmessage = (event) => {
  const message = JSON.parse(event.data);
  if (message.type !== "progress.update") return say("other", { message });
  const { overall_progress, status, current_stage, stages, eta, error } = message.data;
  say("progress", { task: message.task_id, overall_progress, status, current_stage, stages, eta, error });
  if (status !== "completed" && status !== "failed") return;
  ws.send(JSON.stringify({ type: "unsubscribe", task_ids: [message.task_id] }));
  open.delete(message.task_id);
  if (!open.size) ws.close();
};
ws.onclose = (event) => say("closed", { code: event.code });
