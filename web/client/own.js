// What the relay itself tells a client that asks: its session, a human coach, money, trouble.

const REPORT_EVERY = 200; // ms between two reports of how much of an item was heard

// `listener` has: send(event) and emit(type, detail).
export class Own {
  sessionId = null;
  conversationId = null;
  expiresAt = null; // Unix seconds
  paused = false;
  coach = { present: false, speaking: false };
  #listener;
  #reportedAt = 0;

  constructor(listener) {
    this.#listener = listener;
  }

  take(event) {
    RULES[event.type]?.call(this, event);
  }

  // A new connection: what was so may not be so any more.
  reset() {
    this.sessionId = null;
    if (this.paused) RULES["relay.resumed"].call(this);
    if (this.coach.present) RULES["relay.coach"].call(this, { present: false });
  }

  // What was heard is known here alone, to the millisecond.
  heard(item, ms, last) {
    const now = performance.now();
    if (this.sessionId === null || (!last && now - this.#reportedAt < REPORT_EVERY)) return;
    this.#reportedAt = now;
    this.#listener.send({ type: "relay.playback", item_id: item, played_ms: ms });
  }

  static rules = {
    __proto__: null,
    "relay.session"(event) {
      this.sessionId = event.session_id;
      this.conversationId = event.conversation_id;
      this.expiresAt = event.expires_at;
      const { sessionId, conversationId, expiresAt } = this;
      this.#listener.emit("session", { sessionId, conversationId, expiresAt });
    },
    "relay.paused"() {
      this.paused = true;
      this.#listener.emit("paused");
    },
    "relay.resumed"() {
      this.paused = false;
      this.#listener.emit("resumed");
    },
    "relay.coach"({ speaking = false, present = true }) {
      this.coach = { present, speaking: present && Boolean(speaking) };
      this.#listener.emit("coach", this.coach);
    },
    "relay.budget"({ left }) {
      this.#listener.emit("budget", { left });
    },
    "relay.audio_dropped"({ ms }) {
      this.#listener.emit("dropped", { direction: "down", ms });
    },
    "relay.warning"({ code, message }) {
      this.#listener.emit("warning", { code, message });
    },
  };
}

const RULES = Own.rules;
