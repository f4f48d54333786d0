/* Ask the server; what it refuses becomes a sentence. Draws nothing. */
import { language, say, sentences } from "./words.js";

/* What the server did not do, and why: `status` 0 is nobody there, `message` is for people. */
export class Refusal extends Error {
  constructor(status, { code = "", message = "" } = {}) {
    super(inWords(status, code, message));
    Object.assign(this, { status, code });
  }
}

function inWords(status, code, message) {
  const known = sentences[`refusal.${code}`];
  if (known && (language !== "en" || !message)) return known;
  return message || say(status ? "page.refused" : "page.lost_server", { status });
}

let onStranger = () => {};
export const whenStranger = (act) => (onStranger = act);
export const stranger = () => onStranger(); // the server asks for its token

export async function ask(path, options) {
  const answer = await fetch(path, { credentials: "same-origin", ...options }).catch(() => null);
  if (!answer) throw new Refusal(0);
  if (answer.status === 401) stranger();
  if (answer.status === 204) return null;
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(answer.status, said.error);
  return said;
}
