// System 002: Microsoft's own client; usage: URL task,task [token] [transport,transport]
const signalR = require("@microsoft/signalr");
const say = require("./say.cjs");
const [url, names, token, ways = "WebSockets,ServerSentEvents"] = process.argv.slice(2);
const open = new Set(names.split(","));
const connection = new signalR.HubConnectionBuilder()
  .withUrl(url, {
    transport: ways.split(",").reduce((all, way) => all | signalR.HttpTransportType[way], 0),
    ...(token && { accessTokenFactory: () => token }),
  })
  .withAutomaticReconnect([0, 200, 500, 1000])
  .configureLogging(signalR.LogLevel.None)
  .build();

for (const kind of ["Started", "Progress", "Completed", "Failed"]) {
  connection.on(`VideoGeneration${kind}`, async (event) => {
    say(kind, { event });
    if (kind !== "Completed" && kind !== "Failed") return;
    open.delete(event.taskId);
    if (!open.size) await connection.stop();
  });
}
connection.onclose((error) => say("closed", { error: error?.message }));
connection.onreconnected(() => say("reconnected"));

(async () => {
  try {
    await connection.start();
    say("connected");
    for (const task of names.split(",")) await connection.invoke("SubscribeToTask", task);
    say("subscribed");
  } catch (error) {
    say("failure", { message: error.message });
    await connection.stop();
  }
})();
