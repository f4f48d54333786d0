/* What the page says and how: sentences, numbers and times in the reader's language. */

export let sentences = {}; // in the reader's language
export let english = {};
export let language = "en";

// A place may say how many digits, as in Python: {seconds:.1f}; or which word fits: {count:run|runs}.
const PLACE = /\{(\w+)(?::(?:\.(\d)f|g|([^|}]*)\|([^}]*)))?\}/g;
export const fill = (text, values) => text.replace(PLACE, (whole, name, digits, one, many) => {
  const value = values?.[name] ?? whole;
  if (many) return `${value} ${String(value) === "1" ? one : many}`;
  return digits && typeof value === "number" ? value.toFixed(digits) : value;
});
export const say = (code, values) => fill(sentences[code] ?? english[code] ?? code, values);

export function sentence(data) {
  const code = data?.message_code;
  if (language !== "en" && code && sentences[code]) return fill(sentences[code], data.metadata);
  return data?.message ?? "";
}

export const stageName = (stage) => (`stage.${stage}` in english ? say(`stage.${stage}`) : stage);
export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
const unit = (value, name, digits = 0) =>
  new Intl.NumberFormat(language, {
    style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits,
  }).format(value);

export const megabytes = (bytes) => `${number(bytes / 1e6, bytes < 1e7 ? 1 : 0)} MB`;

export function duration(seconds) {
  if (seconds < 59.5) return unit(seconds, "second", seconds < 9.95 ? 1 : 0);
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const parts = hours ? [[hours, "hour"], [minutes, "minute"]] : [[minutes, "minute"], [whole % 60, "second"]];
  return parts.filter(([count]) => count).map(([count, name]) => unit(count, name)).join(" ");
}

export function expected(seconds) {
  if (seconds < 60) return unit(Math.max(1, Math.round(seconds)), "second");
  const step = seconds < 300 ? 5 : 60;
  return duration(Math.round(seconds / step) * step);
}

const place = () => (navigator.languages ?? []).find((name) => name.startsWith(language)) ?? language;
export const moment = (stamp, more) => new Intl.DateTimeFormat(place(), more).format(new Date(stamp));
export const clock = (stamp) => moment(stamp, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export function day(stamp) {
  if (!stamp) return "";
  const isToday = new Date(stamp).toDateString() === new Date().toDateString();
  const time = { hour: "2-digit", minute: "2-digit", hour12: false };
  return moment(stamp, isToday ? time : { month: "short", day: "numeric" });
}

export async function speak(chosen) {
  language = chosen;
  const load = (name) => fetch(`locale/${name}.json`).then((answer) => answer.json());
  [english, sentences] = await Promise.all([load("en"), load(chosen)]);
  document.documentElement.lang = chosen;
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-say-label]")) element.ariaLabel = say(element.dataset.sayLabel);
  for (const element of document.querySelectorAll("[data-say-hint]")) element.placeholder = say(element.dataset.sayHint);
}

/* What this browser remembers; it may forbid a page to keep anything. */
export function keep(name, value) {
  try {
    localStorage.setItem(`vidgen-${name}`, value);
  } catch {}
}

export function kept(name) {
  try {
    return localStorage.getItem(`vidgen-${name}`);
  } catch {
    return null;
  }
}

/* The address's (?lang=ja), else the one chosen here before, else the browser's. */
export function preferred() {
  const asked = new URLSearchParams(location.search).get("lang");
  const wished = [asked, kept("language"), ...(navigator.languages ?? [])].map((name) => (name ?? "").slice(0, 2));
  return wished.find((name) => ["en", "ja", "zh"].includes(name)) ?? "en";
}
