// System 000's React component over our hook; usage: SERVER TASK [token] [sse]
import { createRequire } from "node:module";
import EventSource from "eventsource";
import WebSocket from "ws";

const require = createRequire(import.meta.url);
globalThis.WebSocket = WebSocket;
globalThis.EventSource = EventSource;
const React = require("react");
const { create } = require("react-test-renderer");
const { useProgressTracking } = await import("./useProgressTracking.js");
const [server, taskId, token, way] = process.argv.slice(2);
const say = (what, more = {}) => process.stdout.write(JSON.stringify({ what, ...more }) + "\n");
globalThis.IS_REACT_ACT_ENVIRONMENT = false;

function Progress() {
  const { progress, isConnected, error, connectionType } = useProgressTracking(taskId, {
    server,
    token,
    preferWebSocket: way !== "sse",
    onComplete: (data) => say("complete", { url: data.video_url }),
    onError: (message) => say("error", { message }),
  });
  say("shown", { stage: progress.stage, progress: progress.progress, message: progress.message,
                 isConnected, error, connectionType });
  return null;
}

const shown = create(React.createElement(Progress));
process.stdin.on("end", () => {
  shown.unmount();
  process.exit(0);
});
process.stdin.resume();
