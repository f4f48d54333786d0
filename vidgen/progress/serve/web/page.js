/* The page: the door, the list of runs, and what happens to the one that is shown.
 * What comes over the network is progress.js's business, how a run looks drawing.js's.
 */
import { $, drawLog, drawPlots, drawScreen, element, everything, put, show } from "./drawing.js";
import { watch } from "./progress.js";
import { day, expected, keep, number, preferred, say, speak, stageName } from "./words.js";

const LIST_MS = 3000;
const PAGE = 50;
const LOG_LINES = 500;
const TRACE = 120;
const HELD_BYTES = 256e6; // a longer film is played from the server only
const ENDED = { complete: "complete", error: "failed", cancelled: "cancelled" };

const BATCH = new URLSearchParams(location.search).get("batch"); // only its films are listed
const FIRST = ["running", "failed", "interrupted"]; // what wants to be seen in a long list

let limit = PAGE;
let run = null; // the state of the run that is shown
let watching = null;
let listing = 0;

async function ask(path, options) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  if (answer.status === 401) knock();
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

// The door

function knock() {
  clearTimeout(listing);
  leave();
  show("house", false);
  if ($("door").hidden) {
    show("door", true);
    $("token").focus();
  }
}

$("door").addEventListener("submit", async (event) => {
  event.preventDefault();
  put("door-said", "");
  const headers = { Authorization: `Bearer ${$("token").value.trim()}` };
  const answer = await fetch("api/session", { method: "POST", headers, credentials: "same-origin" }).catch(() => null);
  if (!answer?.ok) return put("door-said", say(answer ? "page.token_wrong" : "page.lost"));
  $("token").value = "";
  show("door", false);
  enter();
});

// The list

async function list() {
  clearTimeout(listing);
  if (document.visibilityState === "visible") {
    try {
      draw(BATCH ? await askBatch() : await ask(`api/tasks?limit=${limit}`));
      if (!watching) link("");
    } catch {
      if (!$("door").hidden) return;
      if (!watching) link("lost");
    }
  }
  listing = setTimeout(list, LIST_MS);
}

async function askBatch() {
  const batch = await ask(`api/batches/${encodeURIComponent(BATCH)}`);
  drawBatch(batch);
  const rank = ({ state }) => (FIRST.indexOf(state) + 1 || FIRST.length + 1);
  const tasks = [...batch.tasks].sort((one, other) => rank(one) - rank(other)).slice(0, limit);
  return { total: batch.total, tasks };
}

function drawBatch({ batch_id: name, total, states, progress, eta_seconds: left }) {
  const open = (states.running ?? 0) + (states.queued ?? 0);
  const said = [say("batch.of", { over: total - open, total })];
  if (states.failed) said.push(say("batch.count_failed", { count: states.failed }));
  if (open && left !== null) said.push(say("page.left", { eta: expected(left) }));
  show("batch", true);
  put("batch-name", name);
  put("batch-said", said.join(" · "));
  const bar = $("batch-bar");
  bar.setAttribute("aria-valuenow", Math.round(progress));
  bar.dataset.state = open ? "running" : states.failed ? "failed" : "complete";
  bar.firstElementChild.style.width = `${progress}%`;
}

function draw({ total, tasks, sources = [] }) {
  const away = sources.filter(({ state }) => state === "down");
  show("away", away.length > 0);
  $("away").replaceChildren(...away.map(({ host, detail }) => element("li", { title: detail }, say("page.away", { host }))));
  show("house", true);
  show("nothing", total === 0 && !run);
  document.querySelector(".runs").hidden = total === 0;
  show("more", total > tasks.length);
  const chosen = location.hash.slice(1);
  $("runs").replaceChildren(...tasks.map((task) => entry(task, task.task_id === chosen)));
  if (!chosen && tasks.length && innerWidth > 820) choose(tasks[0].task_id, true);
}

function entry(task, isChosen) {
  const under = task.state === "running" ? `${number(Math.max(0, task.time_progress ?? task.progress))} % · ${stageName(task.stage)}` : say(`page.is_${task.state}`);
  const isAway = task.is_reachable === false;
  const title = task.title || task.task_id.slice(0, 8);
  const anchor = element(
    "a", { href: `#${task.task_id}`, title },
    element("span", { class: "dot", "data-state": isAway ? "away" : task.state }),
    element("span", { class: "title" }, title),
    element("span", { class: "time" }, day(task.began)),
    element("span", { class: "under" }, task.host ? `${under} · ${task.host}` : under),
  );
  if (isChosen) anchor.setAttribute("aria-current", "page");
  return element("li", {}, anchor);
}

$("more").addEventListener("click", () => {
  limit = Math.min(500, limit + 100);
  list();
});

function choose(task, quietly) {
  if (quietly) history.replaceState(null, "", `#${task}`);
  else location.hash = task;
  turn();
}

// One run

function turn() {
  const task = location.hash.slice(1);
  document.body.classList.toggle("one", Boolean(task));
  for (const anchor of $("runs").querySelectorAll("a")) {
    anchor.toggleAttribute("aria-current", anchor.hash === location.hash);
    if (anchor.hash === location.hash) anchor.setAttribute("aria-current", "page");
  }
  if (run?.task === task) return;
  leave();
  run = null;
  show("shown", false);
  link("");
  if (/^[\w.-]{1,128}$/.test(task)) follow(task);
}

function leave() {
  watching?.close();
  watching = null;
  if (run?.film?.startsWith("blob:")) URL.revokeObjectURL(run.film);
}

async function follow(task) {
  let snapshot, logs;
  try {
    [snapshot, { logs }] = await Promise.all([ask(`api/tasks/${task}`), ask(`api/tasks/${task}/logs`)]);
  } catch (error) {
    if ($("door").hidden) missing(error);
    return;
  }
  if (location.hash.slice(1) !== task) return;
  run = { task, logs: [], spoken: "" };
  reset(snapshot);
  run.logs = logs;
  everything(run);
  show("nothing", false);
  show("shown", true);
  if (snapshot.state === "complete" || snapshot.state === "failed" || snapshot.state === "cancelled") return;
  const after = snapshot.epoch ? `${snapshot.epoch}-${snapshot.last_seq}` : "";
  watching = watch(`api/tasks/${task}`, {
    after,
    onEvent: take,
    onState: (state) => link(state === "lost" ? "lost" : "live"),
    onComplete: () => {
      watching = null;
      link("");
      list();
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

function missing(error) {
  if (error?.status === 401) return knock();
  leave();
  link("");
  run = null;
  show("shown", false);
  history.replaceState(null, "", "#");
  document.body.classList.remove("one");
}

function link(state) {
  $("link").dataset.state = state;
  put("link", state === "live" ? say("page.live") : state === "lost" ? say("page.lost") : "");
}

function reset(snapshot) {
  Object.assign(run, {
    title: snapshot.title ?? run.title ?? "", host: snapshot.host ?? run.host ?? "",
    state: snapshot.state, began: snapshot.began, updated: snapshot.updated, now: snapshot,
    percent: Math.max(0, snapshot.time_progress ?? snapshot.progress), end: snapshot.end,
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
  run.tellsTime ||= data.time_progress !== undefined;
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

// Beginning

async function enter() {
  await list();
  turn();
}

$("language").addEventListener("change", async (event) => {
  keep(event.target.value);
  await speak(event.target.value);
  list();
  if (run) everything(run);
});
addEventListener("hashchange", turn);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && $("door").hidden && list());
$("language").value = preferred();
await speak(preferred());
await enter();
