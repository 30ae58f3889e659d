// A live call: its transcript, its state, and the coach's commands.

import { Feed } from "./feed.js";
import { Plot, median } from "./plots.js";
import { Voice } from "./voice.js";
import { clock, dollars, secondsBetween, short, write } from "./format.js";

const DONE = {
  context: "The voice knows. The learner does not hear it.",
  say: "The voice says it next.",
  note: "Written down, for coaches.",
};
const STANDING = { live: "live", paused: "paused", mine: "you speak", taken: "coach speaks", ended: "over" };
const TOTALS = [["text_in", "in, text"], ["audio_in", "in, sound"], ["text_out", "out, text"],
  ["audio_out", "out, sound"]];

export class Call {
  session = null; // as the feed shows it, null before its first message
  link = "connecting";
  #api;
  #view;
  #$;
  #page;
  #feed = null;
  #voice;
  #plots;
  #answers = 0;
  #busy = false;

  // `page` has: problem(error) and changed().
  constructor($, api, view, page) {
    [this.#$, this.#api, this.#view, this.#page] = [$, api, view, page];
    this.#plots = {
      answers: new Plot($("plots"), {
        title: "Answers begin after",
        draw: "bars",
        tell: wait,
        told: (all) => (all.length === 1 ? "One answer so far."
          : `Half of ${all.length} within ${wait(median(all))}.`),
      }),
      cost: new Plot($("plots"), {
        title: "Cost so far",
        draw: "line",
        tell: dollars,
        told: () => `after ${clock(this.#age())}`,
      }),
    };
    this.#voice = new Voice(api, {
      changed: () => this.#show(),
      level: (level) => $("takeover").style.setProperty("--level", String(Math.min(1, level * 4))),
      fault: (error) => this.#page.problem(error),
    });
    $("pause").addEventListener("click", () => this.pause());
    $("listen").addEventListener("click", () => this.listen());
    $("takeover").addEventListener("click", () => this.takeOver());
    $("end").addEventListener("click", () => this.end());
    $("write").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#tell();
    });
    this.#ask();
  }

  // Samples that the coach has heard, by speaker.
  get heard() { return this.#voice.heard; }

  get isLive() { return this.session?.state === "live"; }

  open(id) {
    this.close();
    this.session = null;
    this.link = "connecting";
    this.#answers = 0;
    for (const plot of Object.values(this.#plots)) plot.clear();
    const feed = new Feed(this.#api, id, {
      message: (message) => { if (feed === this.#feed) this.#take(message); },
      link: (link, words) => { if (feed === this.#feed) this.#linked(link, words); },
    });
    this.#feed = feed;
    feed.follow();
  }

  close() {
    this.#feed?.close();
    this.#feed = null;
    this.#voice.close();
    this.session = null;
    write(this.#$("done"), "");
  }

  pause() {
    return this.#do(this.session?.paused ? "resume" : "pause");
  }

  async listen() {
    if (!this.isLive) return;
    if (this.#voice.listening) {
      if (this.#voice.speaking) await this.#do("release");
      this.#voice.close();
    } else {
      await this.#trying(() => this.#voice.listen(this.session.id));
    }
  }

  // Opens the microphone first: a coach who cannot speak must not silence the voice.
  async takeOver() {
    if (!this.isLive) return;
    const { speaker } = this.session;
    if (speaker !== null) {
      this.#voice.hush();
      await this.#do("release");
      return;
    }
    await this.#trying(async () => {
      await this.#voice.listen(this.session.id);
      await this.#voice.speak();
      await this.#command("takeover").catch((error) => {
        this.#voice.hush();
        throw error;
      });
    });
  }

  end() {
    if (!this.isLive) return;
    write(this.#$("sure-text"), `${short(this.session.user_id)} has been talking for ${clock(this.#age())}.`);
    this.#$("reason").value = "";
    this.#$("sure").showModal();
  }

  // Focuses the text field for a whisper ("context"), the next sentence ("say") or a "note".
  write(mode) {
    if (!this.isLive) return;
    this.#$(`mode-${mode}`).checked = true;
    this.#$("text").focus();
    this.#prompt();
  }

  tick() {
    if (this.session) write(this.#$("about"), this.#about());
  }

  #ask() {
    for (const mode of ["context", "say", "note"]) {
      this.#$(`mode-${mode}`).addEventListener("change", () => this.#prompt());
    }
    this.#prompt();
    const [sure, no] = [this.#$("sure"), this.#$("sure-no")];
    no.addEventListener("click", () => sure.close());
    sure.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      sure.close();
      this.#do("end", { reason: this.#$("reason").value.trim() });
    });
  }

  #prompt() {
    const { value } = document.querySelector("input[name=mode]:checked");
    this.#$("text").placeholder = {
      context: "Only the voice hears it",
      say: "The voice says exactly this",
      note: "Only coaches read it",
    }[value];
    write(this.#$("done"), "");
  }

  async #tell() {
    const text = this.#$("text").value.trim();
    const { value: mode } = document.querySelector("input[name=mode]:checked");
    if (!text) return;
    const asked = mode === "note" ? this.#do("note", { text }) : this.#do("whisper", { text, mode });
    if (!await asked) return;
    this.#$("text").value = "";
    write(this.#$("done"), DONE[mode]);
  }

  // Runs one command at a time; resolves to true if it succeeded.
  async #do(action, body) {
    if (!this.isLive) return false;
    return this.#trying(() => this.#command(action, body));
  }

  async #trying(act) {
    if (this.#busy) return false;
    this.#busy = true;
    this.#page.problem(null);
    write(this.#$("done"), "");
    try {
      await act();
      return true;
    } catch (error) {
      this.#page.problem(error);
      return false;
    } finally {
      this.#busy = false;
      this.#show();
    }
  }

  async #command(action, body = {}) {
    const { id } = this.session;
    const { session } = await this.#api.post(`sessions/${id}/${action}`, body);
    if (this.session?.id === session.id) this.#stands(session);
  }

  #take(message) {
    switch (message.type) {
      case "session": this.#stands(message.session); break;
      case "final": this.#view.final(message.utterance, { silent: this.link !== "live" }); break;
      case "partial": this.#view.partial(message); break;
      case "caught_up": this.#page.caughtUp(); break;
      case "ended": this.#ended(message); break;
      default:
    }
  }

  #linked(link, words) {
    this.link = link;
    if (link === "live") this.#view.forgetPartials();
    if (link === "over") {
      this.#view.forgetPartials();
      if (words) this.#page.problem(new Error(words));
    }
    this.#page.changed();
  }

  #ended({ ended_at: at, complete }) {
    if (this.session) this.#stands({ ...this.session, state: "ended", ended_at: at ?? this.session.ended_at });
    if (!complete) this.#page.problem(new Error("Some of the last words were lost."));
    this.#voice.close();
  }

  // An ended session stays ended: a late message must not revive it.
  #stands(session) {
    if (this.session?.state === "ended" && session.state !== "ended") return;
    const first = this.session === null;
    this.session = session;
    if (first) this.#page.began(session);
    const { answers = 0, answer_ms: ms = null, cost_dollars: cost } = session;
    if (answers > this.#answers && ms !== null) this.#plots.answers.add(this.#age(), ms);
    this.#answers = answers;
    if (cost === null) this.#plots.cost.absent("This voice has no price.");
    else if (cost > 0 || !first) this.#plots.cost.add(this.#age(), cost);
    if (session.speaker !== this.#api.me && this.#voice.speaking && !this.#busy) this.#voice.hush();
    this.#show();
  }

  #age() {
    const { started_at: began, ended_at: ended } = this.session;
    return secondsBetween(began, ended === null ? Date.now() : Date.parse(ended));
  }

  #about() {
    const { agent_id: agent, model } = this.session;
    return `${clock(this.#age())} · ${[agent, model].filter(Boolean).map(short).join(" · ")}`;
  }

  #show() {
    const $ = this.#$;
    const { session } = this;
    const live = this.isLive;
    const taken = live && session.speaker !== null;
    const mine = taken && session.speaker === this.#api.me;
    const kind = !session ? "" : !live ? "ended" : mine ? "mine" : taken ? "taken"
      : session.paused ? "paused" : "live";
    const who = taken && !mine ? `${short(session.speaker)} speaks` : STANDING[kind] ?? "";
    write($("standing"), session?.paused && taken ? `${who}, paused` : who);
    $("standing").dataset.kind = kind;
    $("actions").hidden = session !== null && !live;
    for (const id of ["pause", "listen", "takeover", "end", "text", "send"]) $(id).disabled = !live;
    label($("pause"), session?.paused ? "Resume" : "Pause", session?.paused);
    $("listen").setAttribute("aria-pressed", String(this.#voice.listening));
    label($("takeover"), taken ? (mine ? "Hand back" : "Give it back") : "Take over", taken);
    $("takeover").classList.toggle("speaking", this.#voice.speaking);
    if (session) this.#facts(session);
    this.tick();
    this.#page.changed();
  }

  #facts({ tokens, voice, door, engine, conversation_id: conversation }) {
    const facts = [
      ["Voice", [engine, voice].filter(Boolean).join(", ")],
      ["Door", door],
      ["Conversation", short(conversation)],
      ...TOTALS.filter(([kind]) => tokens[kind]).map(([kind, name]) => (
        [`Tokens ${name}`, tokens[kind].toLocaleString("en")])),
    ];
    const list = this.#$("facts");
    const written = facts.flat().join("\n");
    if (list.dataset.written === written) return;
    list.dataset.written = written;
    list.replaceChildren(...facts.flatMap(([name, value]) => {
      const [term, words] = [document.createElement("dt"), document.createElement("dd")];
      [term.textContent, words.textContent] = [name, value];
      return [term, words];
    }));
  }
}

const wait = (ms) => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`);

function label(button, text, on = false) {
  write(button.querySelector("span"), text);
  button.classList.toggle("on", Boolean(on));
}
