// Tracks the turn on one connection and handles interruptions (PROTOCOL §4.4 and §4.8).

import { fromBase64 } from "./pcm.js";

// Errors of a race that is already over, which the user need not see.
const BENIGN = new Set([
  "response_cancel_not_active",
  "conversation_already_has_active_response",
  "input_audio_buffer_commit_empty",
]);

// `speaker` comes from speaker.js; `listener` has: send(event), fault(error) for an `error` event that
// matters, cut(item, ms) for how much of an interrupted answer was heard, and stopped() when the user
// stopped speaking.
export class Turn {
  #speaker;
  #listener;
  #counters;
  #hearing = false;
  #awaiting = false;
  #response = null;
  #wantsResponse = false;
  #silenced = new Set(); // items and responses that must not be played any further

  constructor(speaker, counters, listener) {
    this.#speaker = speaker;
    this.#counters = counters;
    this.#listener = listener;
  }

  // "listening", "hearing", "thinking" or "speaking".
  get state() {
    if (this.#hearing) return "hearing";
    if (this.#speaker.playing) return "speaking";
    return this.#response !== null || this.#awaiting ? "thinking" : "listening";
  }

  take(event) {
    RULES[event.type]?.call(this, event);
  }

  // Requests an answer as soon as the current one is done.
  ask() {
    this.#awaiting = true;
    if (this.#response === null) this.#listener.send({ type: "response.create" });
    else this.#wantsResponse = true;
  }

  // The user takes the turn without speaking: by writing, a key or a button.
  cut() {
    this.interrupt();
    if (this.#response === null) return;
    this.#silenced.add(this.#response);
    this.#listener.send({ type: "response.cancel", response_id: this.#response });
  }

  // For push-to-talk, which has no voice detection.
  hears(hearing) {
    this.#hearing = hearing;
    if (!hearing) this.#listener.stopped();
  }

  // Stops playback at once, then tells the engine how much of each answer was heard. No response.cancel
  // here: the server's own voice detection cancels, and a second one could hit the next answer.
  async interrupt() {
    if (this.#speaker.live.size === 0) return;
    for (const item of this.#speaker.live) this.#silenced.add(item);
    this.#counters.flushes += 1;
    for (const { item, index, playedMs } of await this.#speaker.flush()) {
      this.#counters.truncates += 1;
      this.#listener.cut(item, playedMs);
      this.#listener.send({
        type: "conversation.item.truncate",
        item_id: item,
        content_index: index,
        audio_end_ms: playedMs,
      });
    }
  }

  static rules = {
    __proto__: null,
    "input_audio_buffer.speech_started"() {
      this.#hearing = true;
      this.interrupt();
    },
    "input_audio_buffer.speech_stopped"() {
      this.hears(false);
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
      this.#counters.audioDown += 1;
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
      this.ask();
    },
    // A coach silences the model, or speaks in its place: the rest of its answer is not played.
    "relay.paused"() {
      this.#awaiting = false;
      this.interrupt();
    },
    "relay.coach"({ speaking }) {
      if (speaking) this.interrupt();
    },
    error({ error }) {
      if (error?.code === "conversation_already_has_active_response") this.#wantsResponse = true;
      if (!BENIGN.has(error?.code)) this.#listener.fault(error);
    },
  };
}

const RULES = Turn.rules;
