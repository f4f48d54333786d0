/* The page: the list of runs, and one of them with its stages, plots, previews, log and film.
 * What comes over the network is progress.js's business.
 */
import { watch } from "./progress.js";

const LIST_MS = 3000;
const PAGE = 50;
const LOG_LINES = 500;
const TRACE = 120;
const PLAN = ["yolo_detection", "birefnet_removal", "prosody_adjustment", "rendering", "finalizing"];
const CLOUD = [...PLAN.slice(0, 3), "d_id_upload", "d_id_processing", "finalizing"];
const SIGNS = { waiting: "·", started: "▸", completed: "✓", reused: "✓", skipped: "–", failed: "✕" };
const OVER = new Set(["complete", "failed", "cancelled", "interrupted"]);
const ENDED = { complete: "complete", error: "failed", cancelled: "cancelled" };

const $ = (id) => document.getElementById(id);
let sentences = {};
let english = {};
let language = "en";
let limit = PAGE;
let run = null; // the state of the run that is shown
let watching = null;
let listing = 0;

// Words

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values?.[name] ?? whole);
const say = (code, values) => fill(sentences[code] ?? english[code] ?? code, values);

function sentence(data) {
  const code = data?.message_code;
  if (language !== "en" && code && sentences[code]) return fill(sentences[code], data.metadata);
  return data?.message ?? "";
}

const stageName = (stage) => (`stage.${stage}` in english ? say(`stage.${stage}`) : stage);
const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
const unit = (value, name, digits = 0) =>
  new Intl.NumberFormat(language, {
    style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits,
  }).format(value);

function duration(seconds) {
  if (seconds < 59.5) return unit(seconds, "second", seconds < 9.95 ? 1 : 0);
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const parts = hours ? [[hours, "hour"], [minutes, "minute"]] : [[minutes, "minute"], [whole % 60, "second"]];
  return parts.filter(([count]) => count).map(([count, name]) => unit(count, name)).join(" ");
}

function expected(seconds) {
  if (seconds < 60) return unit(Math.max(1, Math.round(seconds)), "second");
  const step = seconds < 300 ? 5 : 60;
  return duration(Math.round(seconds / step) * step);
}

const place = () => (navigator.languages ?? []).find((name) => name.startsWith(language)) ?? language;
const moment = (stamp, more) => new Intl.DateTimeFormat(place(), more).format(new Date(stamp));
const clock = (stamp) => moment(stamp, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

function day(stamp) {
  if (!stamp) return "";
  const isToday = new Date(stamp).toDateString() === new Date().toDateString();
  const time = { hour: "2-digit", minute: "2-digit", hour12: false };
  return moment(stamp, isToday ? time : { month: "short", day: "numeric" });
}

async function speak(chosen) {
  language = chosen;
  const load = (name) => fetch(`locale/${name}.json`).then((answer) => answer.json());
  [english, sentences] = await Promise.all([load("en"), load(chosen)]);
  document.documentElement.lang = chosen;
  $("language").value = chosen;
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
}

function preferred() {
  const known = ["en", "ja", "zh"];
  const kept = localStorage.getItem("vidgen-language");
  const wished = (navigator.languages ?? []).map((name) => name.slice(0, 2)).find((name) => known.includes(name));
  return known.includes(kept) ? kept : wished ?? "en";
}

// Small tools

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function put(id, text) {
  const target = $(id);
  if (target.textContent !== text) target.textContent = text;
}

const show = (id, is) => ($(id).hidden = !is);

async function ask(path, options) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  if (answer.status === 401) knock();
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

// The door

function knock() {
  clearTimeout(listing);
  watching?.close();
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
      draw(await ask(`api/tasks?limit=${limit}`));
    } catch {
      if (!$("door").hidden) return;
      if (!run) link("lost");
    }
  }
  listing = setTimeout(list, LIST_MS);
}

function draw({ total, tasks }) {
  show("house", true);
  show("nothing", total === 0 && !run);
  document.querySelector(".runs").hidden = total === 0;
  show("more", total > tasks.length);
  const chosen = location.hash.slice(1);
  $("runs").replaceChildren(...tasks.map((task) => entry(task, task.task_id === chosen)));
  if (!chosen && tasks.length && innerWidth > 820) choose(tasks[0].task_id, true);
}

function entry(task, isChosen) {
  const under = task.state === "running" ? `${number(Math.max(0, task.progress))} % · ${stageName(task.stage)}` : say(`page.is_${task.state}`);
  const title = task.title || task.task_id.slice(0, 8);
  const anchor = element(
    "a", { href: `#${task.task_id}`, title },
    element("span", { class: "dot", "data-state": task.state }),
    element("span", { class: "title" }, title),
    element("span", { class: "time" }, day(task.began)),
    element("span", { class: "under" }, under),
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
  watching?.close();
  run = null;
  show("shown", false);
  link("");
  if (/^[0-9a-f-]{36}$/.test(task)) follow(task);
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
  everything();
  show("nothing", false);
  show("shown", true);
  if (snapshot.state === "complete" || snapshot.state === "failed" || snapshot.state === "cancelled") return;
  const after = snapshot.epoch ? `${snapshot.epoch}-${snapshot.last_seq}` : "";
  watching = watch(`api/tasks/${task}`, {
    after,
    onEvent: take,
    onState: (state) => link(state === "lost" ? "lost" : "live"),
    onComplete: () => link(""),
    onError: missing,
  });
}

function missing(error) {
  if (error?.status === 401) return knock();
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
    title: snapshot.title ?? run.title ?? "",
    state: snapshot.state, began: snapshot.began, updated: snapshot.updated, now: snapshot,
    percent: Math.max(0, snapshot.progress), end: snapshot.end,
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
      ask(`api/tasks/${run.task}/logs`).then(({ logs }) => { run.logs = logs; drawLog(); }).catch(() => {});
      break;
    case "interrupted":
      Object.assign(run, { state: "interrupted", end: data });
      break;
    case "deleted":
      return missing();
    case "resource":
      run.trace.push({ ...data, timestamp: event.timestamp });
      run.trace.splice(0, run.trace.length - TRACE);
      return drawPlots();
    case "preview":
      run.previews.set(data.name, data);
      break;
    case "log":
      if (event.seq <= (run.logs.at(-1)?.seq ?? 0)) return; // it came with the older ones already
      run.logs.push(event);
      run.logs.splice(0, run.logs.length - LOG_LINES);
      drawLog();
      return;
    default:
      move(event);
  }
  everything();
}

function move({ event_type: type, timestamp, data }) {
  run.now = data;
  run.state = ENDED[type] ?? "running";
  run.end = ENDED[type] ? data : null;
  run.percent = Math.max(run.percent, data.progress ?? 0);
  if (type === "stage_update") {
    const stage = run.stages.get(data.stage) ?? { stage: data.stage, began: timestamp };
    run.stages.set(data.stage, { ...stage, ...data });
    run.rates = [];
  } else if (type === "progress_update" && data.rate) {
    run.rates.push(data.rate);
    run.rates.splice(0, run.rates.length - TRACE);
  }
}

function everything() {
  drawHead();
  drawScreen();
  drawTrouble();
  drawStages();
  drawPlots();
  drawPreviews();
  drawLog();
  announce();
}

function drawHead() {
  const { now, state } = run;
  put("name", run.title || run.task.slice(0, 8));
  put("id", run.task.slice(0, 8));
  $("id").title = run.task;
  put("state", say(`page.is_${state}`));
  $("state").dataset.state = state;
  put("when", run.began ? moment(run.began, { dateStyle: "medium", timeStyle: "short" }) : "");
  document.title = OVER.has(state) ? `${say(`page.is_${state}`)} – vidgen` : `${number(run.percent)} % – vidgen`;
  put("message", headline());
  put("percent", state === "failed" ? "" : `${number(run.percent)} %`);
  $("bar").dataset.state = state;
  $("bar").setAttribute("aria-valuenow", Math.round(run.percent));
  $("fill").style.width = `${run.percent}%`;
  put("done", counted(now));
  put("left", remaining(now, state));
}

function headline() {
  if (run.state === "interrupted") return say("page.interrupted");
  if (run.state === "failed") return say("page.failed_in", { stage: stageName(run.end?.failed_stage ?? "failed") });
  if (run.state === "queued") return say("page.is_queued");
  return sentence(run.now) || stageName(run.now.stage);
}

function counted(now) {
  if (run.state !== "running" || !(now.total > 0)) return "";
  const name = say(`page.unit_${now.unit}`);
  const what = name.startsWith("page.") ? now.unit : name;
  const bytes = now.unit === "bytes";
  const parts = bytes
    ? [`${number(now.done / 1e6, 1)} / ${number(now.total / 1e6, 1)} MB`]
    : [`${number(now.done)} / ${number(now.total)} ${what}`];
  if (now.rate) parts.push(bytes ? `${number(now.rate / 1e6, 1)} MB/s` : `${number(now.rate, now.rate < 10 ? 1 : 0)} ${what}/s`);
  return parts.join(" · ");
}

function remaining(now, state) {
  if (OVER.has(state)) {
    const took = (new Date(run.updated) - new Date(run.began)) / 1000;
    return run.began && took >= 0 ? say("page.took", { time: duration(took) }) : "";
  }
  if (now.eta_seconds === null || now.eta_seconds === undefined) return "";
  const eta = expected(now.eta_seconds);
  const most = now.eta_upper_seconds > now.eta_seconds ? expected(now.eta_upper_seconds) : eta;
  return most === eta ? say("page.left", { eta }) : say("page.left_most", { eta, most });
}

function drawScreen() {
  const film = $("film"), picture = $("picture");
  const isDone = run.state === "complete" && Boolean(run.end?.video_path);
  show("film", isDone);
  show("download", isDone);
  const latest = [...run.previews.values()].at(-1);
  if (isDone) {
    const address = `api/tasks/${run.task}/video`;
    if (film.getAttribute("src") !== address) {
      film.src = address;
      if (latest) film.poster = preview(latest);
    }
    const anchor = $("download").querySelector("a");
    anchor.href = address;
    anchor.download = (run.end.video_path ?? "video.mp4").split(/[/\\]/).at(-1);
  } else {
    film.removeAttribute("src");
  }
  show("picture", !isDone && Boolean(latest));
  if (!isDone && latest && picture.getAttribute("src") !== preview(latest)) {
    picture.src = preview(latest);
    picture.alt = say("page.preview_of", { name: previewName(latest) });
  }
  put("dark", isDone || latest ? "" : OVER.has(run.state) ? say("page.no_picture") : say("page.no_picture_yet"));
}

const preview = ({ name, sha256 }) => `api/tasks/${run.task}/previews/${encodeURIComponent(name)}?${sha256?.slice(0, 8) ?? ""}`;

function previewName({ name }) {
  const [, percent] = name.match(/^rendering-(\d+)$/) ?? [];
  return percent ? `${percent} %` : name === "cutout" ? say("page.cutout") : name.replace(/\.\w+$/, "").replaceAll(/[-_]/g, " ");
}

function drawTrouble() {
  const isTrouble = ["failed", "cancelled", "interrupted"].includes(run.state);
  show("trouble", isTrouble);
  if (!isTrouble) return;
  $("trouble").dataset.state = run.state;
  const end = run.end ?? {};
  put("trouble-said", run.state === "failed" ? sentence(end) : say(`page.${run.state}_said`));
  const hint = end.message_code && sentences[`${end.message_code}_hint`];
  put("trouble-hint", run.state !== "failed" ? "" : language !== "en" && hint ? fill(hint, end.metadata) : (end.solutions ?? []).join(" "));
  show("trouble-command", Boolean(end.resume_command) || Boolean(end.is_retryable));
  $("trouble-command").querySelector("code").textContent = end.resume_command || `vidgen resume ${run.task.slice(0, 8)}`;
}

function drawStages() {
  const isCloud = [...run.stages.keys()].some((name) => name.startsWith("d_id"));
  const names = new Set([...(isCloud ? CLOUD : PLAN), ...run.stages.keys()]);
  for (const quiet of ["initialized", "queued", "complete", "failed", "cancelled"]) names.delete(quiet);
  const isOwn = [...run.stages.keys()].some((name) => !(`stage.${name}` in english));
  if (isOwn) for (const name of PLAN) if (!run.stages.has(name)) names.delete(name);
  $("stages").replaceChildren(...[...names].map(stageLine));
}

function stageLine(name) {
  const stage = run.stages.get(name);
  let state = stage?.status ?? "waiting";
  if (state === "started" && OVER.has(run.state)) state = "failed";
  const took = stage?.duration_seconds !== undefined && ["completed", "failed"].includes(state) ? duration(stage.duration_seconds) : "";
  const about = stage && stage.message_code !== `stage.${name}` ? sentence(stage) : "";
  const line = element(
    "li", { "data-state": state },
    element("span", { class: "sign", "aria-hidden": "true" }, SIGNS[state] ?? "·"),
    element("span", {}, stageName(name), element("span", { class: "unseen" }, ` – ${say(`page.mark_${state}`)}`)),
    element("span", { class: "took" }, state === "started" && run.now.stage_progress ? `${number(run.now.stage_progress * 100)} %` : took),
  );
  if (about) line.append(element("span", { class: "about" }, about));
  return line;
}

function drawPlots() {
  const of = (name) => run.trace.map((reading) => reading[name]).filter((value) => typeof value === "number");
  const giga = (value) => (value < 1000 ? `${number(value)} MB` : `${number(value / 1000, 1)} GB`);
  const rows = [
    ["page.speed", run.rates, (value) => `${number(value, value < 10 ? 1 : 0)} ${say("page.per_second")}`],
    ["page.cpu", of("cpu_percent"), (value) => `${number(value)} %`],
    ["page.memory", of("memory_mb"), giga],
    ["page.gpu", of("gpu_percent"), (value) => `${number(value)} %`],
    ["page.gpu_memory", of("gpu_memory_mb"), giga],
  ].filter(([, values]) => values.length);
  const lines = rows.map(([code, values, format]) => element(
    "div", {}, element("dt", {}, say(code)), element("dd", {}, plot(values)), element("dd", {}, format(values.at(-1))),
  ));
  $("plots").replaceChildren(...(lines.length ? lines : [element("p", { class: "empty" }, say("page.no_reading"))]));
}

function plot(values) {
  const space = "http://www.w3.org/2000/svg";
  const top = Math.max(...values) * 1.1 || 1;
  const step = 100 / Math.max(1, values.length - 1);
  const points = values.map((value, place) => `${(place * step).toFixed(2)},${(30 - (value / top) * 28).toFixed(2)}`);
  if (points.length === 1) points.push(`100,${points[0].split(",")[1]}`);
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 100 32");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, content] of [["polygon", `0,32 ${points.join(" ")} 100,32`], ["polyline", points.join(" ")]]) {
    const shape = document.createElementNS(space, name);
    shape.setAttribute("points", content);
    svg.append(shape);
  }
  return svg;
}

function drawPreviews() {
  const all = [...run.previews.values()];
  show("previews-box", all.length > 0);
  const shown = $("previews");
  if (shown.dataset.names === all.map(preview).join()) return;
  shown.dataset.names = all.map(preview).join();
  shown.replaceChildren(...all.map((one) => element(
    "li", {}, element("a", { href: preview(one), target: "_blank", rel: "noopener" },
      element("img", { src: preview(one), alt: "", loading: "lazy" }), previewName(one)),
  )));
}

function drawLog() {
  const box = $("log");
  const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const lines = run.logs.map(({ timestamp, data }) => element(
    "li", { "data-level": data.level }, element("time", { datetime: timestamp }, clock(timestamp)), element("span", {}, sentence(data)),
  ));
  const key = `${language} ${run.logs.length} ${run.logs.at(-1)?.seq}`;
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.replaceChildren(...(lines.length ? lines : [element("li", { class: "empty" }, say("page.no_log"))]));
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

/* A screen reader hears each stage and the end, not each percent. */
function announce() {
  const said = OVER.has(run.state) ? headline() : stageName(run.now.stage);
  if (said !== run.spoken) put("voice", said);
  run.spoken = said;
}

// Beginning

async function enter() {
  await list();
  turn();
}

$("language").addEventListener("change", async (event) => {
  localStorage.setItem("vidgen-language", event.target.value);
  await speak(event.target.value);
  list();
  if (run) everything();
});
addEventListener("hashchange", turn);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && $("door").hidden && list());
await speak(preferred());
await enter();
