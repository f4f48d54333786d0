// System 004: a job is processing until it is completed or failed.
const WebSocket = require("ws");
const say = require("./say.cjs");
const ws = new WebSocket(process.argv[2]);

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);
  if (data.type === "connected") say("connected", { job: data.job_id });
  else if (data.type === "ping") say("ping");
  else if (data.status === "processing") {
    say("processing", { percent: data.progress * 100, stage: data.stage, message: data.message });
  } else if (data.status === "completed") say("completed", { result: data.result });
  else if (data.status === "failed") say("failed", { error: data.error, stage: data.stage });
  else say("unknown", { data });
};
ws.onerror = (error) => say("failure", { message: error.message });
ws.onclose = (event) => say("closed", { code: event.code });
