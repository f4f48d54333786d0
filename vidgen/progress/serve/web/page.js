/* The page: the door, the addresses, and who is shown. Each view has a file of its own. */
import * as batches from "./batches.js";
import { $, put, set, show } from "./elements.js";
import * as jobs from "./jobs.js";
import * as list from "./list.js";
import * as order from "./order.js";
import * as run from "./run.js";
import { Refusal, whenStranger } from "./server.js";
import * as stats from "./stats.js";
import { keep, preferred, say, speak } from "./words.js";

const LIST_MS = 3000;
const WIDE = 820; // pixels, as in style.css

let listing = 0;
let newest = "";
let ready = null; // the promise of it

// The door

function knock() {
  clearTimeout(listing);
  run.leave();
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

/* No token stays in the address; the server says there when one was refused. */
function tidyAddress() {
  const address = new URL(location.href);
  if (address.searchParams.has("refused")) put("door-said", say("page.token_wrong"));
  for (const name of ["token", "access_token", "refused"]) address.searchParams.delete(name);
  if (address.href !== location.href) history.replaceState(null, "", address);
}

// The list

async function refresh() {
  clearTimeout(listing);
  if (document.visibilityState === "visible") {
    try {
      await prepare();
      const found = await list.load();
      if (found) seeRuns(found);
    } catch (error) {
      if (!(error instanceof Refusal)) reportError(error);
      if (!$("door").hidden) return;
      if (error.status === 404 && list.BATCH) seeNoBatch(error.message);
      else if (!run.isLive()) run.link("lost_server");
    }
  }
  clearTimeout(listing);
  listing = setTimeout(refresh, LIST_MS);
}

function seeRuns(found) {
  const before = newest;
  newest = list.draw(found);
  show("house", true);
  if (!run.isLive()) run.link("");
  if (wantsNewest(before)) go(newest);
  else run.choose(chosen()); // again, if the server was away when it was asked for
  run.redrawWaiting();
  if (view() === "batches") batches.load();
  const isEmpty = found.total === 0 && !list.isNarrowed();
  show("list", !isEmpty);
  show("nothing", isEmpty && !chosen() && !view());
}

/* It may still begin: it is asked for again. */
function seeNoBatch(why) {
  list.drawNoBatch(why);
  show("house", true);
  run.link("");
}

/* Whether to go to the newest run: it is followed, or nothing else was asked for. */
function wantsNewest(before) {
  if (!newest || view()) return false;
  const isNew = before !== "" && before !== newest;
  return (isNew && list.isFollowing() && !list.isNarrowed()) || (!chosen() && innerWidth > WIDE);
}

// Addresses: #TASK is a run, #/VIEW another view

const VIEWS = { batches: batches.load, stats: stats.load, new: () => {} };

const view = () => Object.keys(VIEWS).find((name) => location.hash === `#/${name}`) ?? "";

function chosen() {
  const name = location.hash.slice(1);
  if (view()) return "";
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // no run is called so, and the page says it
  }
}

function go(task) {
  if (chosen() === task) return;
  history.replaceState(null, "", `#${task}`);
  turn();
}

function turn() {
  const [task, chosenView] = [chosen(), view()];
  document.body.classList.toggle("one", Boolean(task || chosenView));
  for (const anchor of $("views").children) {
    set(anchor, "aria-current", anchor.getAttribute("href") === (chosenView ? `#/${chosenView}` : "#") ? "page" : null);
  }
  list.markRows();
  run.choose(task);
  for (const name of Object.keys(VIEWS)) show(name, name === chosenView);
  if (!chosenView) return;
  show("nothing", false);
  document.title = `${$(`${chosenView}-title`).textContent} – vidgen`;
  $(`${chosenView}-title`).focus({ preventScroll: true });
  VIEWS[chosenView]();
}

$("runs").addEventListener("click", ({ target }) => {
  if (!target.closest("a")) return;
  list.stopFollowing();
  if (innerWidth > WIDE) scrollTo(0, 0); // the run is shown from its head on
});
$("follow").addEventListener("change", () => list.isFollowing() && newest && go(newest));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // its address would be taken for a run's
  $("run").focus();
});

// Beginning

async function enter() {
  await refresh();
  turn();
}

/* What may be done here is asked once, as soon as somebody is let in. */
const prepare = () => (ready ??= order.prepare(seeOrdered).catch((error) => {
  ready = null;
  throw error;
}));

function seeOrdered(task) {
  list.stopFollowing();
  location.hash = task;
  refresh();
}

$("language").addEventListener("change", async (event) => {
  keep("language", event.target.value);
  await speak(event.target.value);
  refresh();
  run.redraw();
  VIEWS[view()]?.();
});
whenStranger(knock);
list.listen(refresh);
jobs.listen(() => {
  location.hash = "";
  $("run").focus(); // its button is gone
  refresh();
});
addEventListener("hashchange", () => {
  if (innerWidth <= WIDE) scrollTo(0, 0);
  turn();
});
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && $("door").hidden && refresh());
$("language").value = preferred();
await speak(preferred());
tidyAddress();
await enter();
