/* What happens to the run that is shown. How it comes over the network is progress.js's business,
 * how it looks drawing.js's.
 */
import { drawLog, drawPlots, drawScreen, everything } from "./drawing.js";
import { $, put, show } from "./elements.js";
import { end } from "./list.js";
import { watch } from "./progress.js";
import { ask } from "./server.js";
import { say } from "./words.js";

const LOG_LINES = 500;
const TRACE = 120;
const HELD_BYTES = 256e6; // a longer film is played from the server only
const ENDED = { complete: "complete", error: "failed", cancelled: "cancelled" };
const NEVER = new Set([400, 403, 404]); // asking again would not help

let run = null; // the state of the run that is shown
let watching = null;
let wanted = ""; // the task that is to be shown
let line = ""; // to the server: "live" or "lost"
let standing = "none"; // of the wanted run: "asked", "shown", "unknown", or "away" with its server

export const isLive = () => Boolean(watching);
export const redraw = () => run && everything(run);
export const redrawWaiting = () => run?.state === "queued" && everything(run); // its place changes

/* Show the run of this id; "" shows none. */
export function choose(task) {
  if (wanted === task && standing !== "away") return;
  leave();
  wanted = task;
  run = null;
  standing = task ? "asked" : "none";
  show("shown", false);
  show("unknown", false);
  link("");
  if (task) follow(task);
}

export function leave() {
  if (watching) standing = "away"; // until it is chosen anew
  watching?.close();
  watching = null;
  if (run?.film?.startsWith("blob:")) URL.revokeObjectURL(run.film);
}

async function follow(task) {
  const address = `api/tasks/${encodeURIComponent(task)}`;
  let snapshot, logs;
  try {
    [snapshot, { logs }] = await Promise.all([ask(address), ask(`${address}/logs`)]);
  } catch (error) {
    if (wanted === task) missing(error);
    return;
  }
  if (wanted !== task || run) return;
  run = { task, logs: [], spoken: "" };
  standing = "shown";
  reset(snapshot);
  run.logs = logs;
  everything(run);
  show("nothing", false);
  show("shown", true);
  if (snapshot.state in { complete: 1, failed: 1, cancelled: 1 }) return;
  watching = watch(address, {
    after: snapshot.epoch ? `${snapshot.epoch}-${snapshot.last_seq}` : "",
    onEvent: take,
    onState: (state) => {
      line = state === "lost" ? "lost" : "live";
      drawLink();
    },
    onReach: (isReachable) => {
      if (run) run.isAway = !isReachable;
      drawLink();
    },
    onComplete: () => {
      watching = null;
      link("");
      if (run?.task === task) end(task, run.state);
    },
    onError: missing,
  });
}

/* A server of `run --serve` ends with its run, so a film that is finished before our eyes is
 * fetched at once. */
async function hold(ended) {
  const address = `api/tasks/${ended.task}/video`;
  ended.film = "";
  const answer = await fetch(address, { credentials: "same-origin" }).catch(() => null);
  const isShort = answer?.ok && Number(answer.headers.get("content-length")) <= HELD_BYTES;
  const film = isShort ? await answer.blob().catch(() => null) : answer?.body?.cancel();
  if (run !== ended) return;
  ended.film = film instanceof Blob ? URL.createObjectURL(film) : address;
  drawScreen(run);
}

/* The run cannot be shown; why, is said where it would stand. */
function missing(error) {
  if (error && !NEVER.has(error.status)) return wait();
  leave();
  link("");
  run = null;
  standing = "unknown";
  show("shown", false);
  show("nothing", false);
  show("unknown", true);
  put("unknown-said", error ? say("page.unknown", { task: wanted }) : say("page.deleted"));
  document.title = "vidgen";
}

/* Until the server is there again: `choose` is called with every list. */
function wait() {
  leave();
  standing = "away";
  link("lost");
}

export function link(state) {
  $("link").dataset.state = state;
  put("link", state === "away" ? say("page.away", { host: run.host }) : state ? say(`page.${state}`) : "");
}

/* The line to the server, and behind it that to the run's machine. */
const drawLink = () => link(line === "live" && run?.isAway ? "away" : line);

function reset(snapshot) {
  Object.assign(run, {
    title: snapshot.title ?? run.title ?? "", host: snapshot.host ?? run.host ?? "",
    state: snapshot.state, began: snapshot.began, updated: snapshot.updated, now: snapshot,
    // A failure's own progress is -1: the bar stays where the run had come to.
    percent: snapshot.state === "complete" ? 100 : Math.max(0, snapshot.time_progress ?? snapshot.reached ?? snapshot.progress),
    end: snapshot.end,
    tellsTime: typeof snapshot.time_progress === "number",
    stages: new Map(snapshot.stages.map((stage) => [stage.stage, { ...stage, share: null }])),
    trace: [...snapshot.resources], rates: snapshot.rate ? [snapshot.rate] : [], previews: new Map(snapshot.previews.map((p) => [p.name, p])),
  });
}

function take(event) {
  if (!run || event.task_id !== run.task) return;
  const { data } = event;
  if (event.event_type !== "interrupted") run.updated = event.timestamp || run.updated;
  run.began ||= event.timestamp;
  switch (event.event_type) {
    case "reset":
      reset(data);
      ask(`api/tasks/${run.task}/logs`).then(({ logs }) => { run.logs = logs; drawLog(run); }).catch(() => {});
      break;
    case "interrupted":
      Object.assign(run, { state: "interrupted", end: data });
      break;
    case "deleted":
      return missing();
    case "resource":
      run.trace.push({ ...data, timestamp: event.timestamp });
      run.trace.splice(0, run.trace.length - TRACE);
      return drawPlots(run);
    case "preview":
      run.previews.set(data.name, data);
      break;
    case "log":
      if (event.seq <= (run.logs.at(-1)?.seq ?? 0)) return; // it came with the older ones already
      run.logs.push(event);
      run.logs.splice(0, run.logs.length - LOG_LINES);
      drawLog(run);
      return;
    default:
      move(event);
  }
  everything(run);
}

function move({ event_type: type, timestamp, data }) {
  run.now = data;
  run.state = ENDED[type] ?? "running";
  run.end = ENDED[type] ? data : null;
  if (type === "complete" && data.video_path) hold(run);
  // How much of the time is over; of programs that do not tell it, how much of their stages.
  run.tellsTime ||= data.time_progress > 0; // 0: nothing to foretell it from yet, a first run
  const reached = (run.tellsTime ? data.time_progress : data.progress) ?? 0;
  run.percent = type === "complete" ? 100 : Math.max(run.percent, reached);
  if (type === "stage_update") {
    const stage = run.stages.get(data.stage) ?? { stage: data.stage, began: timestamp };
    run.stages.set(data.stage, { ...stage, ...data });
    run.rates = [];
  } else if (type === "progress_update" && data.rate) {
    run.rates.push(data.rate);
    run.rates.splice(0, run.rates.length - TRACE);
  }
}
