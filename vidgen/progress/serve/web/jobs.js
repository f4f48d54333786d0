/* What this server lets its page do: the queue of orders, ending a run, removing one. */
import { $, put, show } from "./elements.js";
import { ask } from "./server.js";
import { say } from "./words.js";

const OVER = new Set(["complete", "failed", "cancelled", "interrupted"]);

let about = null; // what may be done here
let waiting = []; // the ids of the orders that wait, the next one first
let acting = ""; // the task whose buttons are shown

/* Asked once: {accepts_jobs, upload_bytes, options}. */
export async function permissions() {
  about ??= await ask("api/session");
  return about;
}

/* Look at the queue anew, if there is one. */
export async function lookAtQueue(tasks) {
  if (!about?.accepts_jobs || !tasks.some(({ state }) => state === "queued")) waiting = [];
  else ({ waiting } = await ask("api/queue"));
}

/* What a waiting run says of its place; without a place, that it waits. */
export function placeOf(task) {
  const place = waiting.indexOf(task) + 1;
  return place ? say("page.queued_at", { place }) : say("page.is_queued");
}

/* The buttons of the run that is shown; a run of another machine is ended there. */
export function drawActions({ task, state, host }) {
  if (acting !== task) put("action-said", "");
  acting = task;
  show("actions", Boolean(about?.accepts_jobs) && !host);
  show("cancel", !OVER.has(state));
  show("delete", OVER.has(state));
}

async function act(path, method) {
  put("action-said", "");
  for (const button of $("actions").querySelectorAll("button")) button.disabled = true;
  try {
    await ask(path, { method });
    return true;
  } catch (refusal) {
    put("action-said", refusal.message);
    return false;
  } finally {
    for (const button of $("actions").querySelectorAll("button")) button.disabled = false;
  }
}

/* `onGone` hears of a run that was removed. */
export function listen(onGone) {
  const address = () => `api/tasks/${encodeURIComponent(acting)}`;
  $("cancel").addEventListener("click", () => act(`${address()}/cancel`, "POST"));
  $("delete").addEventListener("click", () => $("sure").showModal());
  $("sure-no").addEventListener("click", () => $("sure").close());
  $("sure-yes").addEventListener("click", async () => {
    $("sure").close();
    if (await act(address(), "DELETE")) onGone();
  });
}
