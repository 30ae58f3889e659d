// The live feed of one session: a WebSocket that reconnects and continues where it broke off.

import { pause, delays } from "../client/backoff.js";

const FOR_GOOD = new Set([1000, 4000, 4003]);

// `listener` has: message(message) for each message of the feed, and link(state, words) with "live",
// "reconnecting" or "over".
export class Feed {
  #api;
  #listener;
  #stop = new AbortController();
  #since = 0;
  #socket = null;
  #over = false;

  constructor(api, session, listener) {
    this.#api = api;
    this.#listener = listener;
    this.session = session;
  }

  // Reads until the session is over or the feed is closed, however often the connection breaks.
  async follow() {
    let tries = delays();
    while (!this.#stop.signal.aborted) {
      const { code, heard, words } = await this.#once();
      if (this.#stop.signal.aborted) return;
      if (this.#over || FOR_GOOD.has(code)) {
        this.#listener.link("over", this.#over ? "" : words);
        return;
      }
      if (code === 4001) this.#api.forgetToken();
      if (heard) tries = delays();
      this.#listener.link("reconnecting", words);
      let wait = tries.next();
      if (wait.done) wait = (tries = delays(8000)).next();
      await pause(wait.value, this.#stop.signal);
    }
  }

  close() {
    this.#stop.abort();
    this.#socket?.close(1000);
  }

  // Runs one connection; resolves to its close code, whether any message came, and the relay's error text.
  async #once() {
    let socket;
    try {
      const path = `sessions/${this.session}/feed?since=${this.#since}`;
      socket = await this.#api.socket(path);
    } catch (error) {
      return { code: 0, heard: false, words: error.message };
    }
    this.#socket = socket;
    if (this.#stop.signal.aborted) socket.close(1000);
    return new Promise((resolve) => {
      let [heard, words] = [false, ""];
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "error") words = message.error.message;
        else if (!heard) this.#listener.link("live", "");
        heard ||= message.type !== "error";
        this.#take(message);
      };
      socket.onclose = ({ code }) => resolve({ code, heard, words });
    });
  }

  #take(message) {
    if (this.#stop.signal.aborted) return;
    if (["final", "caught_up", "ended"].includes(message.type)) this.#since = message.seq;
    if (message.type === "ended") this.#over = true;
    this.#listener.message(message);
  }
}
