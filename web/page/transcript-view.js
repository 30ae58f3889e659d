// Shows a transcript as a list, touching only the entries that changed.

const WHO = { user: "You", assistant: "Voice", coach: "Coach" };

export class TranscriptView {
  #list;
  #spoken;
  #scroller;
  #rows = new Map();
  #announced = new Set();
  #height = 0;
  #pinned = true; // the reader is at the end and wants to stay there

  // `list` is an <ol>, `spoken` a polite live region for screen readers.
  constructor(list, spoken) {
    this.#list = list;
    this.#spoken = spoken;
    this.#scroller = list.parentElement;
    // A scroll event without a change of height comes from the reader, not from a resize.
    this.#scroller.addEventListener("scroll", () => {
      if (this.#scroller.clientHeight === this.#height) this.#pinned = this.#isAtEnd();
    });
    new ResizeObserver(() => {
      this.#height = this.#scroller.clientHeight;
      this.#follow();
    }).observe(this.#scroller);
  }

  show(transcript, changed) {
    if (changed.length === 0) return;
    const entries = transcript.entries;
    const known = new Set(entries.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (known.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    entries.forEach((entry, place) => {
      if (changed.includes(entry.id) || !this.#rows.has(entry.id)) this.#draw(entry);
      const row = this.#rows.get(entry.id);
      if (this.#list.children[place] !== row) {
        this.#list.insertBefore(row, this.#list.children[place] ?? null);
      }
    });
    this.#follow();
  }

  #follow() {
    if (this.#pinned) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  clear() {
    this.#list.replaceChildren();
    this.#rows.clear();
    this.#announced.clear();
    this.#spoken.textContent = "";
  }

  #isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < 40;
  }

  #draw(entry) {
    const row = this.#rows.get(entry.id) ?? document.createElement("li");
    this.#rows.set(entry.id, row);
    row.className = `${entry.speaker} ${entry.state}`;
    row.dataset.item = entry.id;
    const said = element("span", "said");
    const heard = entry.heardText;
    const unheard = entry.text.slice(heard.length);
    said.append(heard || (unheard ? "" : "…"));
    if (unheard) said.append(element("s", "unheard", unheard));
    row.replaceChildren(element("span", "who", WHO[entry.speaker]), said);
    const mark = markOf(entry);
    if (mark) row.append(" ", element("span", "mark", mark));
    if (entry.state !== "partial") this.#announce(entry, mark);
  }

  #announce({ id, speaker, text }, mark) {
    if (this.#announced.has(id) || !text) return;
    this.#announced.add(id);
    this.#spoken.textContent = `${WHO[speaker]}: ${text} ${mark}`;
  }
}

function markOf({ state, heard, text }) {
  if (state === "failed") return text ? "not fully transcribed" : "could not be transcribed";
  if (state !== "interrupted") return "";
  return heard === 0 ? "interrupted before it was heard" : "interrupted";
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
