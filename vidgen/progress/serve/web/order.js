/* Order a film: photo and voice by choice or by drop, the main options, the sending. */
import { $, drawBar, element, put, show } from "./elements.js";
import { permissions } from "./jobs.js";
import { Refusal, stranger } from "./server.js";
import { english, language, megabytes, number, say } from "./words.js";

const FILES = ["photo", "voice"];
const CHOICES = { // of options that take other words, too: those that a page can offer
  language: ["en", "cmn", "de", "es", "fr", "hi", "it", "ja", "ko", "pt", "ru"],
  person: ["auto", "largest", "left", "right", "center"],
  background: ["keep", "blur", "transparent", "colour"],
};

let sending = null; // the request that is on its way
let most = Infinity; // bytes that the server takes

/* Ready the form, once. `onOrdered` hears the new run's id. */
export async function prepare(onOrdered) {
  const { accepts_jobs: isOpen, upload_bytes: bytes, options } = await permissions();
  show("to-new", isOpen);
  show("order", isOpen);
  show("closed", !isOpen);
  if (!isOpen) return;
  most = bytes;
  drawOptions(options);
  for (const name of FILES) $(name).addEventListener("change", () => drawFile(name));
  $("order").addEventListener("submit", (event) => {
    event.preventDefault();
    send(options, onOrdered);
  });
  $("stop").addEventListener("click", () => sending?.abort());
  listenToDrops();
}

// The options

function drawOptions(options) {
  $("options").replaceChildren(...options.map((option) => {
    const id = `option-${option.name}`;
    const words = element("span", { "data-say": `page.option_${option.name}` }, say(`page.option_${option.name}`));
    return element("label", { class: option.name === "text" ? "wide" : null }, words, field(id, option));
  }));
  const colour = element("input", { id: "colour", type: "color", value: "#1e90ff", "data-say-label": "page.choice_colour", hidden: "" });
  colour.ariaLabel = say("page.choice_colour");
  $("option-background").after(colour);
  $("option-background").addEventListener("change", ({ target }) => (colour.hidden = target.value !== "colour"));
}

function field(id, { name, default: usual, choices, least, most: highest }) {
  const offered = choices.length ? choices : CHOICES[name];
  if (offered) return element("select", { id }, ...offered.map((value) => choice(name, value)));
  if (name === "text") return element("textarea", { id, rows: 2, maxlength: 20000 });
  const isHeight = name === "height"; // empty: as the photo allows
  return element("input", { id, type: "number", value: isHeight ? "" : usual, placeholder: isHeight ? "512–720" : null, min: isHeight ? 256 : least, max: highest, step: isHeight ? 2 : 0.1 });
}

function choice(name, value) {
  if (name === "language") return element("option", { value }, new Intl.DisplayNames(language, { type: "language" }).of(value));
  const code = `page.choice_${value}`;
  return code in english ? element("option", { value, "data-say": code }, say(code)) : element("option", { value }, value);
}

/* Only what was changed is sent: the rest is the server's business. */
function chosen(options) {
  const typed = (name) => ($(`option-${name}`).value === "colour" ? $("colour") : $(`option-${name}`)).value.trim();
  const given = options.map(({ name, default: usual }) => [name, typed(name), String(usual)]);
  return given.filter(([, value, usual]) => value && value !== usual);
}

// The files

async function drawFile(name) {
  const file = $(name).files[0];
  put(`${name}-name`, file ? `${file.name} · ${megabytes(file.size)}` : "");
  put("order-said", "");
  if (name === "photo") await drawPhoto(file);
  else playVoice(file);
}

/* Onto a canvas, so that the page's rules need not allow pictures from elsewhere. */
async function drawPhoto(file) {
  const picture = file ? await createImageBitmap(file).catch(() => null) : null; // HEIC, for example
  show("photo-picture", Boolean(picture));
  if (!picture) return;
  const canvas = $("photo-picture");
  const scale = Math.min(1, 480 / Math.max(picture.width, picture.height));
  [canvas.width, canvas.height] = [picture.width * scale, picture.height * scale].map(Math.round);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
}

function playVoice(file) {
  const player = $("voice-player");
  if (player.src) URL.revokeObjectURL(player.src);
  show("voice-player", Boolean(file));
  if (file) player.src = URL.createObjectURL(file);
  else player.removeAttribute("src");
}

/* Files may be dropped anywhere; what is a picture is the photo. */
function listenToDrops() {
  const hasFiles = ({ dataTransfer }) => [...(dataTransfer?.types ?? [])].includes("Files");
  const mark = (is) => document.body.classList.toggle("dropping", is);
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", ({ relatedTarget }) => !relatedTarget && mark(false));
  addEventListener("drop", (event) => {
    mark(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (sending) return;
    location.hash = "/new";
    for (const file of event.dataTransfer.files) take(file);
  });
}

function take(file) {
  const isPicture = file.type.startsWith("image/") || /\.(heic|heif|avif)$/i.test(file.name); // "" here and there
  const name = isPicture ? "photo" : "voice";
  const held = new DataTransfer();
  held.items.add(file);
  $(name).files = held.files;
  drawFile(name);
}

// The sending

function send(options, onOrdered) {
  const files = FILES.map((name) => $(name).files[0]);
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  if (bytes > most) return put("order-said", say("page.too_large", { size: megabytes(bytes), most: megabytes(most) }));
  const form = new FormData();
  for (const [name, value] of chosen(options)) form.append(name, value);
  FILES.forEach((name, place) => form.append(name, files[place]));
  put("order-said", "");
  drawSent(0, bytes);
  sending = new XMLHttpRequest(); // fetch cannot tell how far an upload is
  sending.open("POST", "api/video-generation/generate");
  sending.responseType = "json";
  sending.upload.onprogress = ({ loaded, total }) => drawSent(loaded, total);
  sending.onload = ({ target: { status, response } }) => {
    if (status === 202) return finish("", () => onOrdered(response.task_id));
    if (status === 401) stranger();
    finish(new Refusal(status, response?.error).message);
  };
  sending.onerror = () => finish(new Refusal(0).message);
  sending.onabort = () => finish(say("page.not_sent"));
  sending.send(form);
  busy(true);
}

function drawSent(sent, total) {
  const share = total ? sent / total : 1;
  drawBar($("sent-bar"), share * 100, "running");
  put("sent", share < 1 ? say("page.sent", { sent: megabytes(sent), total: megabytes(total), percent: number(share * 100) }) : say("page.sent_all"));
}

function busy(is) {
  show("sending", is);
  $("send").disabled = is;
  $("order").setAttribute("aria-busy", is);
  if (is) $("stop").focus();
}

function finish(said, then = () => {}) {
  sending = null;
  busy(false);
  put("order-said", said);
  if (said) $("send").focus();
  else {
    $("order").reset();
    for (const name of FILES) drawFile(name);
  }
  then();
}
