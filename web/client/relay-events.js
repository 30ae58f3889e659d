// The relay's own events: its session, a human coach, the budget, warnings.

const REPORT_EVERY = 200; // ms between two playback reports

// `listener` has: send(event) and emit(type, detail).
export class RelayEvents {
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

  // For a new connection: the old state no longer holds.
  reset() {
    this.sessionId = null;
    if (this.paused) RULES["relay.resumed"].call(this);
    if (this.coach.present) RULES["relay.coach"].call(this, { present: false });
  }

  // Reports playback to the relay, which can otherwise only estimate what was heard.
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

const RULES = RelayEvents.rules;
