// The connection: one WebSocket that speaks GA Realtime events, and whose turn it is.

import { fromBase64, toBase64 } from "./audio/pcm.js";

const READY_WITHIN = 15000; // ms; the relay itself gives its engine 10 s
const MOST_UNSENT = 128 * 1024; // bytes the socket may hold back: two seconds of speech

// Errors that tell of a race which is already over (PROTOCOL §3): nobody needs to see them.
const BENIGN = new Set([
  "response_cancel_not_active",
  "conversation_already_has_active_response",
  "input_audio_buffer_commit_empty",
]);

// `listener` has: event(event) for each server event, changed() when `turn` may differ,
// warning(text), slow() when audio had to be dropped, and ended(end) once, unless we hung up.
export class Voice {
  counters = { framesUp: 0, audioDown: 0, flushes: 0, truncates: 0 };
  #socket;
  #speaker;
  #listener;
  #url;
  #timer;
  #ready = false;
  #opened = false;
  #hearing = false;
  #awaiting = false;
  #response = null;
  #wantsResponse = false;
  #silenced = new Set(); // items and responses of which nothing more is to be heard
  #texts = [];
  #error = null;

  constructor({ url, token }, speaker, listener) {
    this.#url = url;
    this.#speaker = speaker;
    this.#listener = listener;
    // A token in a subprotocol is in no log; one in the address would be (OUTSIDE, Listeners).
    this.#socket = new WebSocket(url, ["realtime", `openai-insecure-api-key.${token}`]);
    this.#socket.onopen = () => { this.#opened = true; };
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    this.#socket.onclose = ({ code, reason }) => this.#end(code, reason);
    this.#timer = setTimeout(() => this.#end("silent", ""), READY_WITHIN);
  }

  // "connecting", "listening", "hearing", "thinking" or "speaking".
  get turn() {
    if (!this.#ready) return "connecting";
    if (this.#hearing) return "hearing";
    if (this.#speaker.playing) return "speaking";
    return this.#response !== null || this.#awaiting ? "thinking" : "listening";
  }

  append(samples) {
    if (!this.#ready) return;
    if (this.#socket.bufferedAmount > MOST_UNSENT) {
      this.#listener.slow();
      return;
    }
    this.#send({ type: "input_audio_buffer.append", audio: toBase64(samples) });
    this.counters.framesUp += 1;
  }

  // A written message interrupts like a spoken one; before the voice is ready it waits.
  say(text) {
    if (!this.#ready) {
      this.#texts.push(text);
      return;
    }
    this.#interrupt();
    this.#send({
      type: "conversation.item.create",
      item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
    });
    this.#awaiting = true;
    if (this.#response === null) {
      this.#send({ type: "response.create" });
    } else {
      // The next answer may be asked for only when this one is done (PROTOCOL §4.8).
      this.#wantsResponse = true;
      this.#silenced.add(this.#response);
      this.#send({ type: "response.cancel", response_id: this.#response });
    }
    this.#listener.changed();
  }

  close() {
    this.#detach();
    this.#socket.close(1000);
  }

  #take(event) {
    RULES[event.type]?.call(this, event);
    this.#listener.event(event);
    this.#listener.changed();
  }

  #send(event) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(event));
  }

  // Silence at once; then the engine is told how much of each answer was heard. No
  // response.cancel here: the server's own voice detection cancels, and one of ours could hit the
  // next answer (PROTOCOL §4.4).
  async #interrupt() {
    if (this.#speaker.live.size === 0) return;
    for (const item of this.#speaker.live) this.#silenced.add(item);
    this.counters.flushes += 1;
    for (const { item, index, playedMs } of await this.#speaker.flush()) {
      this.counters.truncates += 1;
      this.#send({
        type: "conversation.item.truncate",
        item_id: item,
        content_index: index,
        audio_end_ms: playedMs,
      });
    }
  }

  #end(code, reason) {
    this.#detach();
    this.#socket.close();
    const [url, opened, error] = [this.#url, this.#opened, this.#error];
    this.#listener.ended({ code, reason, url, opened, error });
  }

  #detach() {
    clearTimeout(this.#timer);
    this.#socket.onopen = null;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
  }

  static rules = {
    __proto__: null,
    "session.created"() {
      this.#ready = true;
      clearTimeout(this.#timer);
      for (const text of this.#texts.splice(0)) this.say(text);
    },
    "input_audio_buffer.speech_started"() {
      this.#hearing = true;
      this.#interrupt();
    },
    "input_audio_buffer.speech_stopped"() {
      this.#hearing = false;
      this.#awaiting = true;
    },
    "conversation.item.input_audio_transcription.completed"() {
      this.#awaiting = false;
    },
    "conversation.item.input_audio_transcription.failed"() {
      this.#awaiting = false;
    },
    "response.created"({ response }) {
      this.#awaiting = false;
      this.#response = response.id;
    },
    "response.output_audio.delta"(event) {
      const { response_id: response, item_id: item, content_index: index, delta } = event;
      this.counters.audioDown += 1;
      if (this.#silenced.has(item) || this.#silenced.has(response)) return;
      this.#speaker.play(item, index, fromBase64(delta));
    },
    "response.output_audio.done"({ item_id: item }) {
      this.#speaker.finish(item);
    },
    "response.done"() {
      this.#response = null;
      this.#silenced.clear();
      this.#speaker.finishAll();
      if (!this.#wantsResponse) return;
      this.#wantsResponse = false;
      this.#awaiting = true;
      this.#send({ type: "response.create" });
    },
    error({ error }) {
      this.#error = error.message;
      if (error.code === "conversation_already_has_active_response") this.#wantsResponse = true;
      if (this.#ready && !BENIGN.has(error.code)) this.#listener.warning(error.message);
    },
  };
}

const RULES = Voice.rules;
