// The way to the server: dialled, lost, dialled again; one line for as long as the call lasts.

import { pause, waits } from "./again.js";
import { RelayError, errorOfEnding } from "./errors.js";
import { Socket, dialled } from "./socket.js";

const STEADY = 10_000; // ms after which a connection that is lost was a good one
const QUIET_WITHIN = 10_000; // ms that a server which restarts is kept waiting for a quiet moment
const LOOK_EVERY = 100; // ms

// `listener` has: greeted(again) when a voice is ready, event(event), phase(detail) when `phase`
// changed, quiet() which tells whether nobody speaks, and ended(error) once, with the RelayError
// or null.
export class Line {
  phase = "idle"; // then "connecting", "live", "reconnecting", "ended"
  socket = null;
  #listener;
  #wishes = null;
  #conversationId = () => null;
  #stop = new AbortController();
  #waits = null;
  #liveSince = 0;
  #least = 0;
  #renewed = false;

  constructor(listener) {
    this.#listener = listener;
  }

  // `wishes` are those of `connect`; `conversationId()` is the conversation to go on with, `before`
  // what must be there first. Rejects with the RelayError that also ends the line.
  async open(wishes, conversationId, before) {
    this.#wishes = wishes;
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

  // The server means to restart: go where it goes on, in `afterMs` and between two sentences.
  async move(afterMs) {
    const socket = this.socket;
    this.#least = afterMs;
    await pause(afterMs, this.#stop.signal);
    const latest = performance.now() + QUIET_WITHIN;
    while (!this.#listener.quiet() && performance.now() < latest) {
      await pause(LOOK_EVERY, this.#stop.signal);
    }
    if (this.socket !== socket || this.#stop.signal.aborted) return;
    this.#least = 0;
    socket.close();
    this.#lost(new RelayError("service_restart", { retry: true }));
  }

  async token() {
    const { token = null, getToken } = this.#wishes;
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
    const wishes = { ...this.#wishes, conversationId: this.#conversationId() };
    let socket;
    const listener = {
      event: (event) => {
        if (event.type === "session.created" && this.phase !== "live") {
          this.#live();
          this.#listener.event(event);
          this.#listener.greeted(again);
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
      socket = new Socket(...dialled(wishes, token), listener);
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
    this.socket = null; // what is said from now on waits for the next one
    if (this.#wishes.reconnect && this.#mayRetry(error)) this.#again(error);
    else this.end(error);
  }

  // A token that ran out is worth one more attempt, with a fresh one.
  #mayRetry(error) {
    const stale = ["token_expired", "unauthorized"].includes(error.code);
    if (!stale || !this.#wishes.getToken || this.#renewed) return error.retry;
    this.#renewed = true;
    return true;
  }

  async #again(error) {
    const steady = performance.now() - this.#liveSince > STEADY;
    if (steady || this.#waits === null) this.#waits = waits(this.#least);
    this.#least = 0;
    let last = error;
    for (let wait = this.#waits.next(); !wait.done; wait = this.#waits.next()) {
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
