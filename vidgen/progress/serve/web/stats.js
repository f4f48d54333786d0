/* The figures of many runs: where the time goes, how true the estimates were, how fast runs are.
 * The same as `vidgen stats --plot` draws.
 */
import { element, put, show, svg, $ } from "./elements.js";
import { ask } from "./server.js";
import { duration, moment, number, say, stageName } from "./words.js";

const WIDTH = 340;
const HEIGHT = 230;
const LEFT = 52;
const BOTTOM = 26;
const DECADE = 10; // the least range of a logarithmic axis
const TIMES = [0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10800, 36000]; // seconds, at an axis
const MIDDLE = 24; // units that half of a word at an axis may take

export async function load() {
  put("stats-said", "");
  try {
    draw(await ask("api/stats"));
  } catch (refusal) {
    put("stats-said", refusal.message);
  }
}

function draw(stats) {
  const { runs, states, stages, failures, accuracy, forecasts, finished } = stats;
  const counts = [["page.stats_runs", runs], ["page.stats_films", states.complete ?? 0], ["page.stats_failed", states.failed ?? 0]];
  put("stats-head", counts.map(([code, count]) => say(code, { count: number(count) })).join(" · "));
  $("stats-stages").replaceChildren(...stageRows(stages));
  $("stats-forecasts").replaceChildren(...forecastPlot(forecasts.filter(({ foretold }) => foretold), accuracy));
  $("stats-speed").replaceChildren(...speedPlot(finished.filter(({ voice_seconds: voice }) => voice)));
  show("stats-failures-box", Object.keys(failures).length > 0);
  $("stats-failures").replaceChildren(...Object.entries(failures).map(([code, count]) => element(
    "li", {}, element("code", {}, code), element("span", {}, `× ${number(count)}`),
  )));
}

const nothing = (code = "page.stats_none") => element("p", { class: "empty" }, say(code));

// Where the time goes

function stageRows(stages) {
  if (!stages.length) return [element("tr", {}, element("td", {}, nothing()))];
  const longest = Math.max(...stages.map(({ high_seconds: high, median_seconds: middle }) => Math.max(high, middle)), 1e-9);
  const head = ["page.stats_stage", "page.stats_median", "page.stats_middle"].map((code) => element("th", { scope: "col" }, say(code)));
  return [element("tr", {}, ...head), ...stages.map((stage) => stageRow(stage, longest))];
}

function stageRow({ stage, backend, device, runs, median_seconds: middle, low_seconds: low, high_seconds: high }, longest) {
  const about = [backend, device, say("page.stats_runs", { count: number(runs) })].filter(Boolean).join(" · ");
  return element(
    "tr", {},
    element("th", { scope: "row" }, stageName(stage), element("span", { class: "about" }, about)),
    element("td", {}, bar(middle / longest, low / longest, high / longest), duration(middle)),
    element("td", { class: "range" }, `${duration(low)} – ${duration(high)}`),
  );
}

/* The median as a bar, the middle half as a line over it; shares of the longest. */
const bar = (middle, low, high) => svg(
  "svg", { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true", class: "share" },
  svg("rect", { width: 100 * middle, height: 12, rx: 1 }),
  svg("line", { x1: 100 * low, x2: 100 * high, y1: 6, y2: 6 }),
);

// Plots with axes

/* `across` and `up` place a value, 0 to 1; marks are [value, words] along an axis. */
function frame(label, across, up, { marksAcross, marksUp }, ...inside) {
  const x = (value) => LEFT + across(value) * (WIDTH - LEFT - 10);
  const y = (value) => HEIGHT - BOTTOM - up(value) * (HEIGHT - BOTTOM - 10);
  const [right, floor] = [WIDTH - 10, HEIGHT - BOTTOM];
  const grid = [
    ...marksUp.flatMap(([value, words]) => [svg("line", { class: "grid", x1: LEFT, x2: right, y1: y(value), y2: y(value) }), svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, words)]),
    ...marksAcross.map(([value, words]) => svg("text", { x: x(value), y: floor + 18, "text-anchor": anchor(x(value), right) }, words)),
  ];
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "frame" }, ...grid, ...inside.flatMap((make) => make(x, y)));
}

const anchor = (x, right) => (x < LEFT + MIDDLE ? "start" : x > right - MIDDLE ? "end" : "middle");

function forecastPlot(forecasts, accuracy) {
  if (!forecasts.length) return [nothing("page.stats_compare")];
  const all = forecasts.flatMap(({ foretold, seconds, upper }) => [foretold, seconds, upper ?? foretold]);
  const least = Math.min(...all) / 1.3;
  const most = Math.max(Math.max(...all) * 1.3, least * DECADE);
  const at = (value) => Math.log(value / least) / Math.log(most / least);
  const marks = TIMES.filter((value) => value >= least && value <= most).map((value) => [value, duration(value)]);
  const verdict = accuracyWords(accuracy);
  const plot = frame(
    [say("page.stats_forecasts"), verdict].filter(Boolean).join(": "), at, at, { marksAcross: marks, marksUp: marks },
    (x, y) => [svg("line", { class: "true", x1: x(least), y1: y(least), x2: x(most), y2: y(most) })],
    (x, y) => forecasts.map(({ foretold, upper }) => svg("line", { class: "bound", x1: x(foretold), x2: x(foretold), y1: y(foretold), y2: y(upper ?? foretold) })),
    (x, y) => forecasts.map(({ foretold, seconds, is_kept: isKept }) => svg("circle", { class: isKept === false ? "late" : "point", cx: x(foretold), cy: y(seconds), r: 3.5 })),
  );
  return [plot, element("p", { class: "empty" }, verdict)];
}

function accuracyWords({ mape, coverage }) {
  const error = mape[0] ?? mape.find((value) => value !== null);
  const parts = [];
  if (error !== null && error !== undefined) parts.push(say("page.stats_error", { percent: number(error * 100) }));
  if (coverage !== null) parts.push(say("page.stats_kept", { percent: number(coverage * 100) }));
  return parts.join(" · ");
}

function speedPlot(finished) {
  if (!finished.length) return [nothing()];
  const factors = finished.map(({ seconds, voice_seconds: voice }) => seconds / voice);
  const most = Math.max(...factors) * 1.15;
  const middle = [...factors].sort((a, b) => a - b)[Math.floor(factors.length / 2)];
  const across = (place) => (factors.length > 1 ? place / (factors.length - 1) : 0.5);
  const ends = factors.length > 1 ? [0, factors.length - 1] : [0];
  const plot = frame(
    say("page.stats_speed_said", { median: number(middle, 2) }), across, (value) => value / most,
    {
      marksAcross: ends.map((place) => [place, moment(finished[place].began * 1000, { dateStyle: "medium" })]),
      marksUp: [0, most / 2, most].map((value) => [value, `${number(value, most < 3 ? 2 : 1)}×`]),
    },
    (x, y) => (most >= 1 ? [svg("line", { class: "true", x1: x(0), x2: x(factors.length - 1), y1: y(1), y2: y(1) })] : []),
    (x, y) => factors.map((factor, place) => svg("circle", { class: "point", cx: x(place), cy: y(factor), r: 3 })),
  );
  return [plot, element("p", { class: "empty" }, say("page.stats_speed_said", { median: number(middle, 2) }))];
}
