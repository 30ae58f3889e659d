// The two lists at the side: live calls and past conversations.

import { clock, day, element, secondsBetween, short, write } from "./format.js";

export class Lists {
  #live;
  #past;
  #none;
  #choose;
  #entries = new Map();
  chosen = null; // an address: "sessions/ID" or "conversations/ID"

  // `choose(address)` is called with the clicked entry.
  constructor($, choose) {
    [this.#live, this.#past] = [$("live"), $("past")];
    this.#none = { live: $("live-none"), past: $("past-none") };
    this.#choose = choose;
    setInterval(() => this.#tick(), 1000);
  }

  live(sessions) {
    this.#fill(this.#live, sessions.map((one) => ({
      address: `sessions/${one.id}`,
      name: short(one.user_id),
      kind: one.speaker !== null ? "taken" : one.paused ? "paused" : "live",
      state: one.speaker !== null ? "coach speaks" : one.paused ? "paused" : "",
      note: one.agent_id,
      since: one.started_at,
    })));
    this.#none.live.hidden = sessions.length > 0;
  }

  past(conversations) {
    this.#fill(this.#past, conversations.map((one) => ({
      address: `conversations/${one.id}`,
      name: short(one.user_id),
      kind: "over",
      state: "",
      note: `${day(one.last_active)} · ${one.utterances} said`,
      since: null,
    })));
    this.#none.past.hidden = conversations.length > 0;
  }

  // Marks the entry that is shown, if it is still in a list.
  mark(address) {
    this.chosen = address;
    for (const [one, { button }] of this.#entries) {
      if (one === address) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  // Chooses the next or the previous entry.
  step(by) {
    const addresses = [...this.#live.children, ...this.#past.children]
      .map((item) => item.dataset.address);
    if (addresses.length === 0) return;
    const at = addresses.indexOf(this.chosen);
    const next = at < 0 ? 0 : Math.min(addresses.length - 1, Math.max(0, at + by));
    this.#choose(addresses[next]);
  }

  #fill(list, entries) {
    const wanted = new Set(entries.map(({ address }) => address));
    for (const item of [...list.children]) {
      if (wanted.has(item.dataset.address)) continue;
      this.#entries.delete(item.dataset.address);
      item.remove();
    }
    entries.forEach((entry, place) => {
      const { item } = this.#draw(entry);
      if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
    });
    this.mark(this.chosen);
    this.#tick();
  }

  #draw(entry) {
    const known = this.#entries.get(entry.address) ?? this.#made(entry.address);
    known.item.className = entry.kind;
    known.since = entry.since;
    write(known.name, entry.name);
    write(known.state, entry.state);
    write(known.note, entry.note);
    return known;
  }

  #made(address) {
    const item = element("li");
    const button = element("button");
    button.type = "button";
    const [name, state] = [element("span", "name"), element("span", "state")];
    const [note, time] = [element("span", "hint"), element("span", "time")];
    button.append(name, state, note, time);
    button.addEventListener("click", () => this.#choose(address));
    item.dataset.address = address;
    item.append(button);
    const made = { item, button, name, state, note, time, since: null };
    this.#entries.set(address, made);
    return made;
  }

  #tick() {
    for (const { since, time } of this.#entries.values()) {
      if (since !== null) time.textContent = clock(secondsBetween(since, Date.now()));
    }
  }
}
