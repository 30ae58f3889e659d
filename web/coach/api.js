// The relay's API for this page: token, JSON requests, and readable errors.

import { closed, isClosed } from "../page/entry.js";

const FRESH_FOR = 50 * 60_000; // ms; the development token lasts an hour
const ADVICE = {
  __proto__: null,
  unauthorized: "The token is no longer valid.",
  not_a_coach: "This token is a learner's. Ask for a coach's token.",
  not_found: "It does not exist, or you may not see it.",
  name_a_user: "You follow too many learners for one list. Choose a call first.",
  taken: "Another coach is speaking, or too much is waiting to be said.",
  silent: "The voice is paused or taken over, so it cannot speak.",
  over: "The call is over.",
  nothing_said: "Nothing has been said yet.",
  unavailable: "The relay cannot reach its database. Try again soon.",
};

const { message, advice } = closed("coach");
export const CLOSED = `${message} ${advice}`;

export class Refused extends Error {
  constructor(status, { code = "failed", message = "The relay did not answer." } = {}) {
    super(ADVICE[code] ?? message);
    this.status = status;
    this.code = code;
  }
}

export class Api {
  #token = null;
  #since = 0;
  #typed = null;
  me = null; // the coach's own user id
  isClosed = false; // on the relay's own machine, and this browser has not been let in

  // True if the relay gives this page a token, as `relay dev` does on its own machine.
  async hasOwnToken() {
    return (await this.#ownToken()).ok;
  }

  async #ownToken() {
    const answer = await fetch("coach/config.json", { cache: "no-store" });
    this.isClosed = isClosed(answer);
    return answer;
  }

  type(token) {
    this.#typed = token;
    this.me = subjectOf(token);
  }

  async token() {
    if (this.#typed !== null) return this.#typed;
    if (this.#token === null || performance.now() - this.#since > FRESH_FOR) {
      const answer = await this.#ownToken();
      if (this.isClosed) throw new Refused(401, { code: "closed", message: CLOSED });
      if (!answer.ok) throw new Refused(401, { code: "unauthorized" });
      const { token, user_id: me } = await answer.json();
      [this.#token, this.#since, this.me] = [token, performance.now(), me];
    }
    return this.#token;
  }

  // Makes the next request fetch a fresh token.
  forgetToken() {
    this.#token = null;
  }

  get(path) {
    return this.#ask("GET", path);
  }

  post(path, body = {}) {
    return this.#ask("POST", path, JSON.stringify(body));
  }

  // Opens a WebSocket of the API; a browser can send a token only in a subprotocol.
  async socket(path) {
    const address = new URL(`/api/${path}`, location.href.replace(/^http/, "ws"));
    return new WebSocket(address, ["relay.v1", `openai-insecure-api-key.${await this.token()}`]);
  }

  async #ask(method, path, body = null, again = true) {
    const headers = { Authorization: `Bearer ${await this.token()}` };
    if (body !== null) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(`/api/${path}`, { method, headers, body, cache: "no-store" });
    } catch {
      throw new Refused(0, { code: "unreachable", message: "The relay cannot be reached." });
    }
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told;
    if (answer.status === 401 && again && this.#typed === null) {
      this.forgetToken();
      return this.#ask(method, path, body, false);
    }
    throw new Refused(answer.status, told.error);
  }
}

// The user id in a token, unverified: the relay verifies it.
function subjectOf(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload)).sub ?? null;
  } catch {
    return null;
  }
}
