/* One run on the page: its stages, plots, previews, log and film. Asks for nothing. */
import { $, drawBar, element, put, show, svg } from "./elements.js";
import { drawActions, placeOf } from "./jobs.js";
import { clock, duration, english, expected, fill, language, moment, number, say, sentence, sentences, stageName } from "./words.js";

const PLAN = ["yolo_detection", "birefnet_removal", "prosody_adjustment", "rendering", "finalizing"];
const CLOUD = [...PLAN.slice(0, 3), "d_id_upload", "d_id_processing", "finalizing"];
const SIGNS = { waiting: "·", started: "▸", completed: "✓", reused: "✓", skipped: "–", failed: "✕" };
const OVER = new Set(["complete", "failed", "cancelled", "interrupted"]);

/* The whole of a run, as run.js keeps it. */
export function everything(run) {
  drawHead(run);
  drawScreen(run);
  drawTrouble(run);
  drawStages(run);
  drawPlots(run);
  drawPreviews(run);
  drawLog(run);
  announce(run);
}

function drawHead(run) {
  const { now, state } = run;
  put("name", run.title || run.task.slice(0, 8));
  put("id", run.task.slice(0, 8));
  $("id").title = run.task;
  put("state", say(`page.is_${state}`));
  $("state").dataset.state = state;
  put("host", run.host);
  put("when", run.began ? moment(run.began, { dateStyle: "medium", timeStyle: "short" }) : "");
  document.title = OVER.has(state) ? `${say(`page.is_${state}`)} – vidgen` : `${number(run.percent)} % – vidgen`;
  put("message", headline(run));
  put("percent", `${number(run.percent)} %`);
  drawBar($("bar"), run.percent, state);
  drawActions(run);
  put("done", counted(run));
  put("left", remaining(run));
}

function headline(run) {
  if (run.state === "interrupted") return say("page.interrupted");
  if (run.state === "failed") return say("page.failed_in", { stage: stageName(run.end?.failed_stage ?? "failed") });
  if (run.state === "queued") return placeOf(run.task);
  return sentence(run.now) || stageName(run.now.stage);
}

function counted({ now, state }) {
  if (state !== "running" || !(now.total > 0)) return "";
  const name = say(`page.unit_${now.unit}`);
  const what = name.startsWith("page.") ? now.unit : name;
  const bytes = now.unit === "bytes";
  const parts = bytes
    ? [`${number(now.done / 1e6, 1)} / ${number(now.total / 1e6, 1)} MB`]
    : [`${number(now.done)} / ${number(now.total)} ${what}`];
  if (now.rate) parts.push(bytes ? `${number(now.rate / 1e6, 1)} MB/s` : `${number(now.rate, now.rate < 10 ? 1 : 0)} ${what}/s`);
  return parts.join(" · ");
}

function remaining({ now, state, began, updated }) {
  if (OVER.has(state)) {
    const took = (new Date(updated) - new Date(began)) / 1000;
    return began && took >= 0 ? say("page.took", { time: duration(took) }) : "";
  }
  if (now.eta_seconds === null || now.eta_seconds === undefined) return "";
  const eta = expected(now.eta_seconds);
  const most = now.eta_upper_seconds > now.eta_seconds ? expected(now.eta_upper_seconds) : eta;
  return most === eta ? say("page.left", { eta }) : say("page.left_most", { eta, most });
}

export function drawScreen(run) {
  const film = $("film"), picture = $("picture");
  const address = run.film ?? `api/tasks/${run.task}/video`; // "" while it is being fetched
  const isDone = run.state === "complete" && Boolean(run.end?.video_path && address);
  show("film", isDone);
  show("download", isDone);
  const latest = [...run.previews.values()].at(-1);
  if (isDone) {
    if (film.getAttribute("src") !== address) {
      film.src = address;
      if (latest) film.poster = preview(run, latest);
    }
    const anchor = $("download").querySelector("a");
    anchor.href = address;
    anchor.download = (run.end.video_path ?? "video.mp4").split(/[/\\]/).at(-1);
  } else {
    film.removeAttribute("src");
  }
  show("picture", !isDone && Boolean(latest));
  if (!isDone && latest && picture.getAttribute("src") !== preview(run, latest)) {
    picture.src = preview(run, latest);
    picture.alt = say("page.preview_of", { name: previewName(latest) });
  }
  put("dark", isDone || latest ? "" : OVER.has(run.state) ? say("page.no_picture") : say("page.no_picture_yet"));
}

const preview = (run, { name, sha256 }) => `api/tasks/${run.task}/previews/${encodeURIComponent(name)}?${sha256?.slice(0, 8) ?? ""}`;

function previewName({ name }) {
  const [, percent] = name.match(/^rendering-(\d+)$/) ?? [];
  return percent ? `${percent} %` : name === "cutout" ? say("page.cutout") : name.replace(/\.\w+$/, "").replaceAll(/[-_]/g, " ");
}

function drawTrouble(run) {
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

function drawStages(run) {
  const isCloud = [...run.stages.keys()].some((name) => name.startsWith("d_id"));
  const names = new Set([...(isCloud ? CLOUD : PLAN), ...run.stages.keys()]);
  for (const quiet of ["initialized", "queued", "complete", "failed", "cancelled"]) names.delete(quiet);
  const isOwn = [...run.stages.keys()].some((name) => !(`stage.${name}` in english));
  if (isOwn) for (const name of PLAN) if (!run.stages.has(name)) names.delete(name);
  $("stages").replaceChildren(...[...names].map((name) => stageLine(run, name)));
}

function stageLine(run, name) {
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

export function drawPlots(run) {
  const of = (name) => run.trace.map((reading) => reading[name]).filter((value) => typeof value === "number");
  const giga = (value) => (value < 1000 ? `${number(value)} MB` : `${number(value / 1000, 1)} GB`);
  const rows = [
    ["page.speed", run.rates, (value) => say("page.per_second", { count: number(value, value < 10 ? 1 : 0) })],
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
  const top = Math.max(...values) * 1.1 || 1;
  const step = 100 / Math.max(1, values.length - 1);
  const points = values.map((value, place) => `${(place * step).toFixed(2)},${(30 - (value / top) * 28).toFixed(2)}`);
  if (points.length === 1) points.push(`100,${points[0].split(",")[1]}`);
  return svg(
    "svg", { viewBox: "0 0 100 32", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("polygon", { points: `0,32 ${points.join(" ")} 100,32` }),
    svg("polyline", { points: points.join(" ") }),
  );
}

function drawPreviews(run) {
  const all = [...run.previews.values()];
  show("previews-box", all.length > 0);
  const shown = $("previews");
  const names = all.map((one) => preview(run, one)).join();
  if (shown.dataset.names === names) return;
  shown.dataset.names = names;
  shown.replaceChildren(...all.map((one) => element(
    "li", {}, element("a", { href: preview(run, one), target: "_blank", rel: "noopener" },
      element("img", { src: preview(run, one), alt: "", loading: "lazy" }), previewName(one)),
  )));
}

export function drawLog(run) {
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
function announce(run) {
  const said = OVER.has(run.state) ? headline(run) : stageName(run.now.stage);
  if (said !== run.spoken) put("spoken", said);
  run.spoken = said;
}
