// The connection of one call to the server, over several sockets: reconnects when one is lost.

import { pause, delays } from "./backoff.js";
import { RelayError, errorOfEnding } from "./errors.js";
import { Socket, endpointOf } from "./socket.js";

const STABLE = 10_000; // ms after which a socket counts as stable: delays start again
const QUIET_WITHIN = 10_000; // ms to wait for a pause in the conversation when the server restarts
const CHECK_EVERY = 100; // ms

// `listener` has: ready(again) when the engine is ready, event(event), phase(detail) when `phase`
// changed, isQuiet(), which tells whether neither side speaks, and ended(error) once, with the
// RelayError or null.
export class Connection {
  phase = "idle"; // then "connecting", "live", "reconnecting", "ended"
  socket = null;
  #listener;
  #options = null;
  #conversationId = () => null;
  #stop = new AbortController();
  #delays = null;
  #liveSince = 0;
  #least = 0;
  #renewed = false;

  constructor(listener) {
    this.#listener = listener;
  }

  // `options` are those of `connect`; `conversationId()` gives the conversation to continue, `before`
  // is awaited first. Rejects with the RelayError that also ends the connection.
  async open(options, conversationId, before) {
    this.#options = options;
    this.#conversationId = conversationId;
    this.#set("connecting");
    try {
      await before;
      await this.#dial(false);
    } catch (error) {
      this.end(error);
      throw error;
    }
  }

  send(event) {
    if (this.socket?.ready) this.socket.send(event);
  }

  end(error = null) {
    if (this.phase === "ended") return;
    this.#stop.abort();
    this.socket?.close();
    this.socket = null;
    this.#set("ended", { error });
    this.#listener.ended(error);
  }

  // The server is about to restart: reconnect after `afterMs`, between two sentences.
  async move(afterMs) {
    const socket = this.socket;
    this.#least = afterMs;
    await pause(afterMs, this.#stop.signal);
    const latest = performance.now() + QUIET_WITHIN;
    while (!this.#listener.isQuiet() && performance.now() < latest) {
      await pause(CHECK_EVERY, this.#stop.signal);
    }
    if (this.socket !== socket || this.#stop.signal.aborted) return;
    this.#least = 0;
    socket.close();
    this.#lost(new RelayError("service_restart", { retry: true }));
  }

  async token() {
    const { token = null, getToken } = this.#options;
    if (!getToken) return token;
    try {
      return await getToken();
    } catch (cause) {
      if (cause instanceof RelayError) throw cause;
      throw new RelayError("token_unavailable", { cause, retry: true });
    }
  }

  async #dial(again) {
    const token = await this.token();
    const signal = this.#stop.signal;
    await new Promise((resolve, reject) => {
      const left = () => reject(new RelayError("client_left"));
      if (signal.aborted) left();
      else signal.addEventListener("abort", left);
      if (!signal.aborted) this.#call(token, again, { resolve, reject });
    });
  }

  #call(token, again, { resolve, reject }) {
    const options = { ...this.#options, conversationId: this.#conversationId() };
    let socket;
    const listener = {
      event: (event) => {
        if (event.type === "session.created" && this.phase !== "live") {
          this.#live();
          this.#listener.event(event);
          this.#listener.ready(again);
          resolve();
        } else {
          this.#listener.event(event);
        }
      },
      ended: (end) => {
        const error = errorOfEnding(end);
        if (socket.ready) this.#lost(error);
        else reject(error);
      },
    };
    try {
      socket = new Socket(...endpointOf(options, token), listener);
    } catch (cause) {
      reject(new RelayError("bad_address", { cause }));
    }
    this.socket = socket;
  }

  #live() {
    this.#liveSince = performance.now();
    this.#renewed = false;
    this.#set("live");
  }

  #lost(error) {
    if (this.phase !== "live") return;
    this.socket = null; // audio is buffered from now on, for the next socket
    if (this.#options.reconnect && this.#mayRetry(error)) this.#again(error);
    else this.end(error);
  }

  // An expired token justifies one more attempt, with a fresh one.
  #mayRetry(error) {
    const stale = ["token_expired", "unauthorized"].includes(error.code);
    if (!stale || !this.#options.getToken || this.#renewed) return error.retry;
    this.#renewed = true;
    return true;
  }

  async #again(error) {
    const stable = performance.now() - this.#liveSince > STABLE;
    if (stable || this.#delays === null) this.#delays = delays(this.#least);
    this.#least = 0;
    let last = error;
    for (let wait = this.#delays.next(); !wait.done; wait = this.#delays.next()) {
      this.#set("reconnecting", { error: last, inMs: wait.value });
      await pause(wait.value, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      try {
        await this.#dial(true);
        return;
      } catch (failure) {
        last = failure;
        if (!this.#mayRetry(failure)) break;
      }
    }
    this.end(last);
  }

  #set(phase, detail = {}) {
    this.phase = phase;
    this.#listener.phase(detail);
  }
}
