// The transcript: assembled from GA events by item id, in conversation order.

// An entry: {id, role, speaker: "user" | "assistant" | "coach", text, heardText,
// state: "partial" | "final" | "interrupted" | "failed", heard}. `heard` is the part of an
// interrupted answer that was played, 0 to 1, or null if unknown; `heardText` is the text up to
// there, estimated by time and cut at a word.
export class Transcript {
  coaching = false; // a human coach speaks in the model's place
  #entries = new Map();
  #order = [];
  #placed = new Set();

  // Entries worth showing, in conversation order.
  get entries() {
    return this.#order.map((id) => this.#entries.get(id)).filter(isWorthShowing);
  }

  // Applies one server event; returns the ids of the entries that it changed.
  apply(event) {
    const rule = RULES[event.type];
    return rule ? [rule.call(this, event)].flat().filter(Boolean) : [];
  }

  get(id) {
    return this.#entries.get(id);
  }

  // At the end of the call: unfinished utterances stay as far as they came.
  settle() {
    const open = [...this.#entries.values()].filter(({ state }) => state === "partial");
    for (const entry of open) {
      if (entry.text === "") this.delete(entry.id);
      else entry.state = entry.role === "user" ? "failed" : "interrupted";
    }
    return open.map(({ id }) => id);
  }

  // Removes sounds that were mistaken for speech and produced no item (PROTOCOL §5.21).
  forgetFalseStarts() {
    const gone = [...this.#entries.values()].filter(({ id, role, state, text }) => (
      role === "user" && state === "partial" && text === "" && !this.#placed.has(id)
    ));
    for (const { id } of gone) this.delete(id);
    return gone.map(({ id }) => id);
  }

  entry(id, role) {
    if (!this.#entries.has(id)) {
      const speaker = role === "assistant" && this.coaching ? "coach" : role;
      this.#entries.set(id, {
        id, role, speaker, parts: [], text: "", state: "partial", heard: null, audioMs: 0,
        get heardText() { return heardOf(this); },
      });
      this.#order.push(id);
    }
    return this.#entries.get(id);
  }

  // The order comes from the first event that names the item before (PROTOCOL §5.3: later ones may say
  // null), never from the time of arrival.
  place(id, previous) {
    if (this.#placed.has(id)) return;
    this.#placed.add(id);
    const before = this.#order.indexOf(previous);
    const now = this.#order.indexOf(id);
    if (before < 0 || now < 0 || before === now - 1) return;
    this.#order.splice(now, 1);
    this.#order.splice(this.#order.indexOf(previous) + 1, 0, id);
  }

  write(id, role, index, change) {
    const entry = this.entry(id, role);
    entry.parts[index] = change(entry.parts[index] ?? "");
    entry.text = entry.parts.join("");
    return entry;
  }

  delete(id) {
    this.#entries.delete(id);
    this.#order = this.#order.filter((other) => other !== id);
  }
}

function heardOf({ text, state, heard }) {
  if (state !== "interrupted" || heard === null || heard >= 1) return text;
  return text.slice(0, text.lastIndexOf(" ", Math.round(text.length * heard)) + 1);
}

function isWorthShowing({ role, state, text }) {
  // A final turn without words is noise, but one that could not be transcribed is not.
  return text.trim() !== "" || (role === "user" && ["partial", "failed"].includes(state));
}

function added(event) {
  const { item, previous_item_id: previous } = event;
  if (item.type !== "message" || !["user", "assistant"].includes(item.role)) return null;
  const entry = this.entry(item.id, item.role);
  this.place(item.id, previous);
  const written = item.content?.filter(({ type }) => type === "input_text" || type === "text");
  if (item.role === "user" && written?.length) {
    this.write(item.id, "user", 0, () => written.map(({ text }) => text).join(" "));
    entry.state = "final";
  }
  return item.id;
}

function done(event) {
  const { item } = event;
  if (item.role !== "assistant") return added.call(this, event);
  const entry = this.get(item.id);
  if (!entry) return null;
  if (item.status === "incomplete") entry.state = "interrupted";
  else if (entry.state === "partial") entry.state = "final";
  return item.id;
}

function assistantDelta(event) {
  const { item_id: id, content_index: index, delta } = event;
  this.write(id, "assistant", index, (text) => text + delta);
  return id;
}

function assistantDone(event) {
  const { item_id: id, content_index: index } = event;
  this.write(id, "assistant", index, () => event.transcript ?? event.text ?? "");
  return id;
}

const RULES = {
  __proto__: null,
  "input_audio_buffer.speech_started"({ item_id: id }) {
    const gone = this.forgetFalseStarts();
    this.entry(id, "user");
    return [...gone, id];
  },
  "input_audio_buffer.committed"({ item_id: id, previous_item_id: previous }) {
    this.entry(id, "user");
    this.place(id, previous);
    return id;
  },
  "conversation.item.added": added,
  "conversation.item.done": done,
  "conversation.item.input_audio_transcription.delta"(event) {
    const { item_id: id, content_index: index = 0, delta = "" } = event;
    const entry = this.write(id, "user", index, (text) => text + delta);
    entry.state = "partial";
    return id;
  },
  "conversation.item.input_audio_transcription.completed"(event) {
    const { item_id: id, content_index: index = 0, transcript } = event;
    this.write(id, "user", index, () => transcript.trim()).state = "final";
    return id;
  },
  "conversation.item.input_audio_transcription.failed"({ item_id: id }) {
    this.entry(id, "user").state = "failed";
    return id;
  },
  "response.output_audio_transcript.delta": assistantDelta,
  "response.output_audio_transcript.done": assistantDone,
  "response.output_text.delta": assistantDelta,
  "response.output_text.done": assistantDone,
  "response.output_audio.delta"({ item_id: id, delta }) {
    const entry = this.get(id);
    if (entry) entry.audioMs += (delta.length * 3) / 4 / 48; // bytes of base64, 48 bytes a ms
    return null;
  },
  "conversation.item.truncated"({ item_id: id, audio_end_ms: heardMs }) {
    const entry = this.get(id);
    if (!entry) return null;
    entry.state = "interrupted";
    entry.heard = entry.audioMs > 0 ? Math.min(1, heardMs / entry.audioMs) : null;
    return id;
  },
  "relay.coach"({ speaking }) {
    this.coaching = Boolean(speaking);
    return null;
  },
  "conversation.item.deleted"({ item_id: id }) {
    this.delete(id);
    return id;
  },
};
