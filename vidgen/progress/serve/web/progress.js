/* Watch one run of vidgen from a browser, whatever the network does.
 *
 *   import { watch } from "http://host:55433/progress.js";
 *   const watching = watch("http://host:55433/api/tasks/" + id, {
 *     onEvent: (event) => …,      // every event once and in order; a "reset" carries a snapshot
 *     onComplete: (event) => …,   // the event that ended it: complete, error, cancelled, deleted
 *     onError: (error) => …,      // it will never work: no such task, no token
 *     onState: (state) => …,      // "websocket", "sse", "polling", or "lost"
 *     onReach: (isReachable) => … // whether the run's machine is there, where that is another's
 *   });
 *   watching.close();
 *   watching.metrics();           // {states, events, deduplicated, fallbacks, connections}
 *
 * `token` is for a server of another origin: our own pages have a cookie. With `shared` all tasks of
 * a page that are watched so come over one WebSocket. `localStorage.vidgenDebug = "1"` tells the
 * console what happens.
 *
 * A WebSocket first, server-sent events where that does not come through, long polls at last; a
 * better way is tried again after a minute. Identical snapshots within 500 ms are told once.
 */

const WAYS = ["websocket", "sse", "polling"];
const SILENCE_MS = 45_000; // three heartbeats missed: the line is dead
const BASE_MS = 1000;
const CAP_MS = 30_000;
const TRIES = 2; // of a way that brings nothing, before the next one
const BETTER_MS = 60_000; // until a better way is tried again
const SAME_MS = 500;
const POLL_SECONDS = 25;
const ENDS = new Set(["complete", "error", "cancelled", "deleted"]);
const SNAPSHOTS = new Set(["progress_update", "resource"]);
const UNSTORED = new Set(["heartbeat", "connected", "interrupted", "deleted"]);

/** Follow the run whose id is in `url`; see above. */
export function watch(
  url,
  { onEvent, onComplete, onError, onState, onReach, after = "", ways = WAYS, token = "", shared = false } = {},
) {
  const here = globalThis.document?.baseURI ?? globalThis.location?.href; // a worker has no page
  const whole = new URL(url, here).href;
  const found =
    whole.match(/^(.*?)\/api\/(?:tasks|ws\/progress|sse\/progress)\/([A-Za-z0-9._-]+)/) ??
    whole.match(/^(.*?)\/(?:api\/.*?)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/);
  if (!found) throw new TypeError("watch() wants an address with a task id");
  const [, server, task] = found;
  let [epoch, seq] = after ? [after.split("-")[0], Number(after.split("-")[1])] : ["", 0];
  let way = 0;
  let fruitless = 0; // tries of this way that brought nothing
  let failures = 0; // in a row, for the back-off
  let cameDown = 0; // when a worse way was taken
  let closed = false;
  let reachable = true;
  let stop = () => {};
  let timer = 0;
  let guard = 0;
  const shown = new Map(); // event type → [time, text of its data]

  const cursor = () => (epoch ? `${epoch}-${seq}` : "");
  const key = token ? `&token=${encodeURIComponent(token)}` : "";
  const query = () => `?v=1${key}${cursor() ? `&after=${cursor()}` : ""}`; // v=1: we know every end
  const asking = { credentials: "same-origin", headers: token ? { Authorization: `Bearer ${token}` } : {} };
  const counted = { states: 0, events: 0, deduplicated: 0, fallbacks: 0, connections: 0 };

  function tellState(state) {
    counted.states += 1;
    debug(task, state);
    onState?.(state);
  }

  function alive() {
    clearTimeout(guard);
    guard = setTimeout(() => lost("silence"), SILENCE_MS);
  }

  function heard() {
    alive();
    if (failures || fruitless || !heard.once) tellState(ways[way]);
    heard.once = true;
    failures = fruitless = 0;
  }

  function accept(event, itsEpoch) {
    if (closed) return;
    heard();
    if (event.event_type === "connected" || event.event_type === "subscribed") {
      if (!epoch) epoch = event.data.epoch ?? "";
      return;
    }
    if (event.event_type === "heartbeat") return tellReach(event.data);
    if (event.event_type === "reset") {
      [epoch, seq] = [event.data.epoch ?? itsEpoch ?? epoch, event.seq];
    } else if (!UNSTORED.has(event.event_type)) {
      if (itsEpoch && itsEpoch !== epoch) [epoch, seq] = [itsEpoch, 0];
      if (event.seq <= seq) return;
      seq = event.seq;
    }
    if (repeats(event)) {
      counted.deduplicated += 1;
      return;
    }
    counted.events += 1;
    debug(task, event.event_type, event.seq, event.data.progress);
    onEvent?.(event);
    if (ENDS.has(event.event_type)) {
      close();
      onComplete?.(event);
    }
  }

  function tellReach({ is_reachable: now = true }) {
    if (now === reachable) return;
    reachable = now;
    onReach?.(now);
  }

  function repeats(event) {
    if (!SNAPSHOTS.has(event.event_type)) return false;
    const text = JSON.stringify(event.data);
    const [at, before] = shown.get(event.event_type) ?? [-SAME_MS, ""];
    const now = performance.now();
    if (text === before && now - at < SAME_MS) return true;
    shown.set(event.event_type, [now, text]);
    return false;
  }

  const open = {
    websocket() {
      if (shared) return join(server, key, task, cursor(), accept, lost);
      const socket = new WebSocket(`${server.replace(/^http/, "ws")}/api/ws/progress/${task}${query()}`);
      socket.onmessage = (message) => accept(JSON.parse(message.data));
      socket.onclose = () => lost("closed");
      return () => {
        socket.onclose = null;
        socket.close();
      };
    },
    sse() {
      const source = new EventSource(`${server}/api/sse/progress/${task}${query()}`);
      source.onmessage = (message) => {
        const [itsEpoch] = message.lastEventId.split("-");
        accept(JSON.parse(message.data), itsEpoch || undefined);
      };
      source.onerror = () => lost("stream");
      return () => source.close();
    },
    polling() {
      const stopping = new AbortController();
      const since = Date.now();
      (async () => {
        while (!stopping.signal.aborted) {
          const answer = await fetch(
            `${server}/api/tasks/${task}/events?wait=${POLL_SECONDS}${cursor() ? `&after=${cursor()}` : ""}`,
            { signal: stopping.signal, ...asking },
          );
          if (!answer.ok) return lost(answer.status);
          const said = await answer.json();
          const itsEpoch = said.cursor.split("-")[0] || undefined;
          heard();
          if (said.reset) {
            const data = { ...said.reset, epoch: itsEpoch };
            accept({ event_type: "reset", seq: data.last_seq, task_id: task, data }, itsEpoch);
          }
          for (const event of said.events) accept(event, itsEpoch);
          tellReach(said);
          if (closed || (said.ended && !said.more)) return close();
          if (Date.now() - since > BETTER_MS && ways.length > 1) return lost("better");
        }
      })().catch(() => stopping.signal.aborted || lost("network"));
      return () => stopping.abort();
    },
  };

  function start() {
    if (closed) return;
    if (way && Date.now() - cameDown > BETTER_MS) way = fruitless = 0;
    alive();
    counted.connections += 1;
    stop = open[ways[way]]();
  }

  async function lost(reason) {
    if (closed) return;
    stop();
    clearTimeout(guard);
    if (++fruitless >= TRIES && way < ways.length - 1) {
      [way, fruitless, cameDown] = [way + 1, 0, Date.now()];
      counted.fallbacks += 1;
    }
    if (reason !== "better") tellState("lost");
    const wait = Math.random() * Math.min(CAP_MS, BASE_MS * 2 ** failures);
    failures = Math.min(failures + 1, 10);
    if (await refused()) return;
    timer = setTimeout(start, wait);
  }

  /* Neither a WebSocket nor an EventSource tells why it was refused, so ask once. */
  async function refused() {
    const answer = await fetch(`${server}/api/tasks/${task}`, asking).catch(() => null);
    if (closed) return true;
    if (!answer || ![400, 401, 403, 404].includes(answer.status)) return false;
    close();
    onError?.(Object.assign(new Error(`HTTP ${answer.status}`), { status: answer.status }));
    return true;
  }

  function close() {
    closed = true;
    clearTimeout(timer);
    clearTimeout(guard);
    stop();
  }

  start();
  return { close, cursor, metrics: () => ({ ...counted }) };
}

function debug(...what) {
  try {
    if (globalThis.localStorage?.getItem("vidgenDebug") === "1") console.debug("vidgen", ...what);
  } catch {
    // a page that may not have any storage
  }
}

const sockets = new Map(); // server and token → its one socket and who is on it

/* Watch a task over the page's one socket to a server; answers how to leave it. */
function join(server, key, task, after, accept, lost) {
  const name = `${server} ${key}`;
  const line = sockets.get(name) ?? connect(name, `${server.replace(/^http/, "ws")}/api/ws/progress?v=1${key}`);
  const say = (command) => line.socket.send(JSON.stringify(command));
  const subscribe = () => say({ type: "subscribe", task_ids: [task], ...(after ? { after } : {}) });
  line.members.set(task, { accept, lost });
  if (line.socket.readyState === WebSocket.OPEN) subscribe();
  else line.socket.addEventListener("open", subscribe);
  return () => {
    line.members.delete(task);
    line.socket.removeEventListener("open", subscribe);
    if (!line.members.size) {
      sockets.delete(name);
      line.socket.close();
    } else if (line.socket.readyState === WebSocket.OPEN) {
      say({ type: "unsubscribe", task_ids: [task] });
    }
  };
}

function connect(name, url) {
  const line = { socket: new WebSocket(url), members: new Map() };
  sockets.set(name, line);
  line.socket.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    if (event.event_type === "refused") for (const one of [...line.members.values()]) one.lost("refused");
    else if (event.task_id) line.members.get(event.task_id)?.accept(event);
    else for (const one of [...line.members.values()]) one.accept(event);
  });
  line.socket.addEventListener("close", () => {
    if (sockets.get(name) === line) sockets.delete(name);
    for (const one of [...line.members.values()]) one.lost("closed");
  });
  return line;
}
