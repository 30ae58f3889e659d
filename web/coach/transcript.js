// Shows a transcript with speakers and with the part of each utterance that was heard.

import { clock, element, secondsBetween } from "./format.js";

const WHO = { learner: "Learner", model: "Voice", coach: "Coach" };

export class TranscriptView {
  #list;
  #spoken;
  #scroller;
  #rows = new Map(); // key -> {row, said}; a final has the key of its partial
  #announced = new Set();
  #call = { id: "", started_at: null };
  #pinned = true; // the reader is at the end and wants to stay there

  // `list` is an <ol>, `spoken` a polite live region for screen readers.
  constructor(list, spoken) {
    this.#list = list;
    this.#spoken = spoken;
    this.#scroller = list.parentElement;
    this.#scroller.addEventListener("scroll", () => { this.#pinned = this.#isAtEnd(); });
    new ResizeObserver(() => this.#follow()).observe(this.#scroller);
  }

  get isEmpty() { return this.#rows.size === 0; }

  // `call` is the session that is followed, null if a whole conversation is shown.
  clear(call = null) {
    this.#list.replaceChildren();
    this.#rows.clear();
    this.#announced.clear();
    this.#spoken.textContent = "";
    this.#call = call ?? { id: "", started_at: null };
    this.#pinned = true;
  }

  // Shows a whole conversation, in its order.
  all(utterances) {
    for (const said of utterances) {
      const row = element("li");
      this.#rows.set(this.#key(said), { row, said });
      this.#draw(row, said);
      this.#list.append(row);
    }
    this.#follow();
  }

  // Shows a final utterance, or a newer version of it.
  final(said, { silent = false } = {}) {
    const key = this.#key(said);
    const row = this.#rows.get(key)?.row ?? element("li");
    this.#rows.set(key, { row, said });
    this.#draw(row, said);
    this.#place(row, said);
    if (!silent && !this.#announced.has(said.id)) {
      this.#announced.add(said.id);
      this.#spoken.textContent = `${WHO[said.speaker]}: ${said.text} ${markOf(said)}`;
    }
    this.#follow();
  }

  // Shows the words so far of an unfinished utterance, always at the end.
  partial(said) {
    const key = this.#key(said);
    const known = this.#rows.get(key);
    if (known?.said.id) return; // it is final already
    const row = known?.row ?? element("li");
    this.#rows.set(key, { row, said });
    row.className = `${said.speaker} open`;
    row.replaceChildren(...this.#head(said), element("p", "said", said.text || "…"));
    if (!known) this.#list.append(row);
    this.#follow();
  }

  // After a reconnect the feed sends unfinished utterances again.
  forgetPartials() {
    for (const [key, { row, said }] of this.#rows) {
      if (said.id) continue;
      row.remove();
      this.#rows.delete(key);
    }
  }

  #place(row, said) {
    let next = null;
    for (const one of this.#rows.values()) {
      const later = one.said.id && isAfter(one.said, said);
      if (later && (next === null || isAfter(next.said, one.said))) next = one;
    }
    const anchor = next ? next.row : this.#firstPartial();
    if (row.nextElementSibling !== anchor || !row.parentElement) this.#list.insertBefore(row, anchor);
  }

  #firstPartial() {
    return this.#list.querySelector(":scope > .open");
  }

  // A partial does not name its session: it belongs to the one that is followed.
  #key({ session_id: session, item_id: item, content_index: index }) {
    return `${session ?? this.#call.id}/${item}/${index}`;
  }

  #head(said) {
    const { started_at: began } = this.#call;
    const time = said.created_at ? timeOf(said.created_at, began) : "";
    return [element("span", "who", WHO[said.speaker]), element("time", "", time)];
  }

  #draw(row, said) {
    row.className = `${said.speaker} ${said.state}`;
    row.dataset.item = said.item_id;
    const words = element("p", "said");
    const heard = said.speaker === "learner" ? said.text : said.heard_text;
    const unheard = said.text.startsWith(heard) ? said.text.slice(heard.length) : "";
    words.append(heard);
    if (unheard.trim()) {
      const rest = element("s", "unheard");
      rest.append(element("span", "for-readers", " (not heard: "), unheard,
        element("span", "for-readers", ")"));
      words.append(rest);
    }
    row.replaceChildren(...this.#head(said), words);
    const mark = markOf(said);
    if (mark) row.append(element("p", "mark", mark));
  }

  #follow() {
    if (this.#pinned) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < 40;
  }
}

function timeOf(iso, began) {
  if (began !== null) return clock(secondsBetween(began, Date.parse(iso)));
  return new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

// Sessions of one conversation come one after the other; within one, `position` is the order.
function isAfter(one, other) {
  if (one.session_id !== other.session_id) return one.created_at > other.created_at;
  return (one.position - other.position || one.content_index - other.content_index) > 0;
}

function markOf({ state, speaker, text, heard_ms: heard, heard_estimated: guessed, origin }) {
  if (state === "failed") return text ? "not fully transcribed" : "could not be transcribed";
  if (state === "unheard") return "not heard";
  if (state === "partial") return "cut off by the end of the call";
  if (state === "interrupted" && heard !== null) {
    return heard === 0 ? "interrupted before it was heard"
      : `interrupted after ${guessed ? "about " : ""}${(heard / 1000).toFixed(1)} s`;
  }
  if (state === "interrupted") return "interrupted";
  return speaker === "learner" && origin === "text" ? "written" : "";
}
