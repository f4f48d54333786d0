/* The list of runs beside the one that is shown: search, filter, batch, and the newest. */
import { $, drawBar, element, keyed, put, set, show, write } from "./elements.js";
import { lookAtQueue, placeOf } from "./jobs.js";
import { ask } from "./server.js";
import { day, expected, kept, keep, number, say, sentence, stageName } from "./words.js";

const PAGE = 50;
const STEP = 100;
const MOST = 500; // that a server tells at once
const TYPING_MS = 250;
const FILTERS = { running: ["running", "queued"], complete: ["complete"], failed: ["failed", "interrupted"], cancelled: ["cancelled"] };
const FIRST = ["running", "queued"]; // their order must not change as they write
const WORST = ["running", "failed", "interrupted"]; // what wants to be seen in a long batch

export const BATCH = new URLSearchParams(location.search).get("batch"); // only its films are listed

let limit = PAGE;
let asked = 0;
let drawn = { total: 0, tasks: [] };

/* The runs that are wanted: {total, tasks, sources?}; null when a newer question is on its way. */
export async function load() {
  const mine = ++asked;
  const found = BATCH ? await askBatch() : await ask(`api/tasks?${query()}`);
  await lookAtQueue(found.tasks);
  return mine === asked ? found : null;
}

function query() {
  const wanted = new URLSearchParams({ limit });
  const words = $("search").value.trim();
  if (words) wanted.set("search", words.slice(0, 200));
  for (const state of FILTERS[$("filter").value] ?? []) wanted.append("state", state);
  return wanted;
}

export const isNarrowed = () => Boolean($("search").value.trim() || $("filter").value);

async function askBatch() {
  const batch = await ask(`api/batches/${encodeURIComponent(BATCH)}`);
  drawBatch(batch);
  const words = $("search").value.toLowerCase().split(/\s+/);
  const states = FILTERS[$("filter").value];
  const rank = ({ state }) => (WORST.indexOf(state) + 1 || WORST.length + 1);
  const tasks = batch.tasks
    .filter(({ title, task_id: id, message, state }) => (!states || states.includes(state)) && words.every((word) => id.startsWith(word) || `${title}\n${message}`.toLowerCase().includes(word)))
    .sort((one, other) => rank(one) - rank(other));
  return { total: tasks.length, tasks: tasks.slice(0, limit) };
}

/* The batch that is asked for is not there (yet): why, and the way back. */
export function drawNoBatch(why) {
  show("batch", true);
  show("batch-bar", false);
  put("batch-name", BATCH);
  put("batch-said", why);
}

function drawBatch({ batch_id: name, total, states, progress, eta_seconds: left }) {
  show("batch", true);
  show("batch-bar", true);
  put("batch-name", name);
  put("batch-said", batchLine({ total, states, eta_seconds: left }));
  drawBatchBar($("batch-bar"), { total, states, progress });
}

/* What is there or on its way, then in red what failed; what was cancelled leaves a gap. */
export function drawBatchBar(bar, { total, states, progress }) {
  const share = (...names) => (100 * names.reduce((sum, name) => sum + (states[name] ?? 0), 0)) / Math.max(1, total);
  drawBar(bar, progress, states.running || states.queued ? "running" : "complete");
  const [there, failed] = bar.children;
  there.style.width = `${progress - share("failed", "interrupted", "cancelled")}%`;
  failed.style.width = `${share("failed", "interrupted")}%`;
}

export function batchLine({ total, states, eta_seconds: left }) {
  const open = (states.running ?? 0) + (states.queued ?? 0);
  const said = [say("batch.of", { over: total - open, total })];
  for (const state of ["failed", "cancelled", "interrupted"]) {
    if (states[state]) said.push(say(`batch.count_${state}`, { count: states[state] }));
  }
  if (open && left !== null && left !== undefined) said.push(say("page.left", { eta: expected(left) }));
  return said.join(" · ");
}

/* Draws the runs; answers the one that began last, "" without any. */
export function draw(found) {
  const { total, tasks, sources = [] } = (drawn = found);
  const away = sources.filter(({ state }) => state === "down");
  show("away", away.length > 0);
  $("away").replaceChildren(...away.map(({ host, detail }) => element("li", { title: detail }, say("page.away", { host }))));
  const newest = tasks.reduce((best, task) => (task.began > best.began ? task : best), tasks[0]);
  keyed($("runs"), BATCH ? tasks : [...tasks].sort(later), (task) => task.task_id, row, fillRow);
  put("found", countWords(tasks.length, total));
  show("more", total > tasks.length && limit < MOST);
  return newest?.task_id ?? "";
}

/* A run ended before our eyes; its server may have ended with it, so nobody is asked. */
export function end(task, state) {
  draw({ ...drawn, tasks: drawn.tasks.map((one) => (one.task_id === task ? { ...one, state } : one)) });
}

function countWords(count, total) {
  if (isNarrowed()) return total ? say("page.found", { count: total }) : say("page.found_none");
  return total > count && limit >= MOST ? say("page.found_newest", { count, total }) : "";
}

/* What is open stands first, in the order in which it began; then the newest end. */
function later(one, other) {
  const [a, b] = [one, other].map((task) => (FIRST.includes(task.state) ? [0, task.began || "~"] : [1, task.updated]));
  return a[0] - b[0] || (a[1] === b[1] ? 0 : a[1] < b[1] ? 1 : -1);
}

function row() {
  return element("li", {}, element(
    "a", {},
    element("span", { class: "thumb" }, element("img", { alt: "", loading: "lazy", hidden: "" })),
    element("span", { class: "title" }),
    element("span", { class: "time" }),
    element("span", { class: "under" }, element("span", { class: "dot" }), element("span", { class: "words" })),
  ));
}

function fillRow(item, task) {
  const anchor = item.firstElementChild;
  const [thumb, title, time, under] = anchor.children;
  const name = task.title || task.task_id.slice(0, 8);
  const words = [standing(task), task.host].filter(Boolean).join(" · ");
  set(anchor, "href", `#${task.task_id}`);
  set(anchor, "title", task.state === "failed" ? `${name}\n${words}` : name);
  write(title, name);
  write(time, day(task.began));
  write(under.lastElementChild, words);
  set(under, "data-state", task.state);
  set(under.firstElementChild, "data-state", task.is_reachable === false ? "away" : task.state);
  const picture = thumb.firstElementChild;
  picture.hidden = !task.preview;
  if (task.preview) set(picture, "src", `api/tasks/${task.task_id}/previews/${encodeURIComponent(task.preview)}`);
  mark(anchor);
}

function standing(task) {
  if (task.state === "running") return `${number(Math.max(0, task.time_progress || task.progress))} % · ${stageName(task.stage)}`;
  if (task.state === "queued") return placeOf(task.task_id);
  const state = say(`page.is_${task.state}`);
  return task.state === "failed" ? [state, sentence(task)].filter(Boolean).join(" · ") : state;
}

const mark = (anchor) => set(anchor, "aria-current", anchor.hash === location.hash && location.hash ? "page" : null);

/* Which row is the shown run's. */
export function markRows() {
  for (const anchor of $("runs").querySelectorAll("a")) mark(anchor);
}

export const isFollowing = () => $("follow").checked;
export function stopFollowing() {
  $("follow").checked = false;
  keep("follow", "");
}

/* `again` asks for the list anew. */
export function listen(again) {
  let typing = 0;
  const anew = () => {
    limit = PAGE;
    $("scroller").scrollTop = 0;
    again();
  };
  $("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(anew, TYPING_MS);
  });
  $("search-form").addEventListener("submit", (event) => event.preventDefault());
  $("filter").addEventListener("change", anew);
  $("follow").checked = kept("follow") === "1";
  $("follow").addEventListener("change", () => keep("follow", $("follow").checked ? "1" : ""));
  const more = () => {
    limit = Math.min(MOST, limit + STEP);
    again();
  };
  $("more").addEventListener("click", more);
  new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && !$("more").hidden && more()).observe($("more"));
}
