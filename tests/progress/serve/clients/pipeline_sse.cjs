// System 000 over server-sent events: closes at the end and at the first trouble.
const EventSource = require("eventsource");
const say = require("./say.cjs");
const source = new EventSource(process.argv[2]);

source.onmessage = (event) => {
  const data = JSON.parse(event.data);
  say("progress", {
    type: data.event_type,
    stage: data.data.stage,
    progress: data.data.progress,
    message: data.data.message,
  });
  if (data.event_type === "complete") {
    say("complete", { url: data.data.video_url });
    source.close();
  }
  if (data.event_type === "error") {
    say("error", { error: data.data.error });
    source.close();
  }
};
source.onerror = () => {
  say("failure");
  source.close();
};
