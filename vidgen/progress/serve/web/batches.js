/* The batches of this machine, each with a bar; a click lists its films. */
import { $, element, keyed, put, set, write } from "./elements.js";
import { batchLine, drawBatchBar } from "./list.js";
import { ask } from "./server.js";
import { day, say } from "./words.js";

export async function load() {
  try {
    const { batches } = await ask("api/batches");
    put("batches-said", batches.length ? "" : say("page.batches_none"));
    keyed($("batches-list"), batches, (batch) => batch.batch_id, row, fillRow);
  } catch (refusal) {
    put("batches-said", refusal.message);
  }
}

function row() {
  return element(
    "li", {},
    element("a", {}),
    element("span", { class: "time" }),
    element("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, element("div"), element("div", { class: "bad" })),
    element("p", { class: "under" }),
  );
}

function fillRow(item, batch) {
  const [name, time, bar, under] = item.children;
  const address = new URLSearchParams(location.search);
  address.set("batch", batch.batch_id);
  set(name, "href", `./?${address}`);
  write(name, batch.batch_id);
  write(time, day(batch.updated));
  set(bar, "aria-label", batch.batch_id);
  drawBatchBar(bar, batch);
  write(under, batchLine(batch));
}
