// Shows a transcript as a list, touching only the entries that changed.

const WHO = { user: "You", assistant: "Voice" };

export class TranscriptView {
  #list;
  #spoken;
  #scroller;
  #rows = new Map();
  #announced = new Set();

  // `list` is an <ol>, `spoken` a polite live region for people who read with their ears.
  constructor(list, spoken) {
    this.#list = list;
    this.#spoken = spoken;
    this.#scroller = list.parentElement;
  }

  show(transcript, changed) {
    if (changed.length === 0) return;
    const atEnd = this.#isAtEnd();
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
    if (atEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;
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
    row.className = `${entry.role} ${entry.state}`;
    row.dataset.item = entry.id;
    const said = element("span", "said");
    const [heard, unheard] = split(entry);
    said.append(heard || (unheard ? "" : "…"));
    if (unheard) said.append(element("span", "unheard", unheard));
    row.replaceChildren(element("span", "who", WHO[entry.role]), said);
    const mark = markOf(entry);
    if (mark) row.append(" ", element("span", "mark", mark));
    if (entry.state !== "partial") this.#announce(entry, mark);
  }

  #announce({ id, role, text }, mark) {
    if (this.#announced.has(id) || !text) return;
    this.#announced.add(id);
    this.#spoken.textContent = `${WHO[role]}: ${text} ${mark}`;
  }
}

// Where an interrupted answer stopped is estimated by time, at the end of a word.
function split({ text, state, heard }) {
  if (state !== "interrupted" || heard === null || heard >= 1) return [text, ""];
  const end = text.lastIndexOf(" ", Math.round(text.length * heard)) + 1;
  return [text.slice(0, end), text.slice(end)];
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
