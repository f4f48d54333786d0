// Two tasks of a page over one connection; usage: SERVER TASK TASK [token]
import EventSource from "eventsource";
import WebSocket from "ws";
import { watch } from "./progress.js";

let sockets = 0;
globalThis.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    sockets += 1;
  }
};
globalThis.EventSource = EventSource;
const [server, one, other, token = ""] = process.argv.slice(2);
const say = (what, more = {}) => process.stdout.write(JSON.stringify({ what, ...more }) + "\n");
let open = 2;
for (const task of [one, other]) {
  const watching = watch(`${server}/api/tasks/${task}`, {
    token,
    shared: true,
    onEvent: (event) => say("event", { task, type: event.event_type, its: event.task_id }),
    onError: (error) => say("refused", { task, status: error.status }),
    onComplete: () => {
      say("over", { task, sockets, metrics: watching.metrics() });
      if (!--open) process.exit(0);
    },
  });
}
