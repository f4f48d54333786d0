// System 000 over a WebSocket: knows `complete` and `error`, shows progress and message of the rest.
const WebSocket = require("ws");
const say = require("./say.cjs");
const ws = new WebSocket(process.argv[2]);

ws.onopen = () => say("open");
ws.onmessage = (event) => {
  const data = JSON.parse(event.data);
  say("progress", {
    type: data.event_type,
    stage: data.data.stage,
    progress: data.data.progress,
    message: data.data.message,
    task: data.task_id,
    timestamp: data.timestamp,
  });
  if (data.event_type === "complete") {
    say("complete", { url: data.data.video_url });
    ws.close();
  }
  if (data.event_type === "error") {
    say("error", { error: data.data.error });
    ws.close();
  }
};
ws.onerror = (error) => say("failure", { message: error.message });
ws.onclose = () => say("closed");
