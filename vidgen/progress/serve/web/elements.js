/* Small hands for the page: find, make and fill elements. Text stays text. */

export const $ = (id) => document.getElementById(id);
export const show = (id, is) => ($(id).hidden = !is);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/* Only what is new is written: a reader's place and a screen reader are left in peace. */
export function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
export const put = (id, text) => write($(id), text);

export function set(target, name, value) {
  if (value === null || value === undefined) target.removeAttribute(name);
  else if (target.getAttribute(name) !== String(value)) target.setAttribute(name, value);
}

export function drawBar(bar, percent, state) {
  set(bar, "aria-valuenow", Math.round(percent));
  set(bar, "data-state", state);
  bar.firstElementChild.style.width = `${percent}%`;
}

/* Make `list` hold one child per item, in order. Those that stay are the same elements as before,
 * so focus, selection and pictures stay, too. `make(item)` gives one, `fill(child, item)` its words. */
export function keyed(list, items, key, make, fill) {
  const focused = document.activeElement;
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const name = key(item);
    const child = known.get(name) ?? make(item);
    known.delete(name);
    child.dataset.key = name;
    fill(child, item);
    if (list.children[place] !== child) list.insertBefore(child, list.children[place] ?? null);
  });
  for (const gone of known.values()) gone.remove();
  if (focused !== document.activeElement && list.contains(focused)) focused.focus({ preventScroll: true });
}
