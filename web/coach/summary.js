// Requests and shows the summary of a conversation.

import { clock, element } from "./format.js";

const LISTS = [
  ["main_topics", "Topics"],
  ["action_items", "To do"],
  ["next_week_goals", "Goals"],
];

export class SummaryView {
  #box;
  #button;
  #api;
  #address = null;

  constructor($, api, failed) {
    [this.#box, this.#button, this.#api] = [$("summary"), $("summarise"), api];
    this.#button.addEventListener("click", () => this.#ask().catch(failed));
  }

  show(address) {
    this.#address = address;
    this.#box.replaceChildren();
    this.#button.disabled = false;
    this.#button.textContent = "Summarise";
  }

  async #ask() {
    const address = this.#address;
    this.#button.disabled = true;
    this.#button.textContent = "Summarising …";
    try {
      const summary = await this.#api.post(`${address}/summary`);
      if (address === this.#address) this.#draw(summary);
    } finally {
      if (address === this.#address) {
        this.#button.disabled = false;
        this.#button.textContent = this.#box.firstChild ? "Summarise again" : "Summarise";
      }
    }
  }

  #draw(summary) {
    const by = summary.by === "model" ? `Written by ${summary.model}.`
      : `Sentences that were said, chosen by counting words: ${summary.reason}.`;
    const figures = [
      `${clock(summary.duration)} long`,
      `${summary.total_interactions} said`,
      `${summary.ai_responses} by the voice`,
      `${summary.coach_interventions} by a coach`,
    ];
    this.#box.replaceChildren(
      ...summary.text ? [element("p", "", summary.text)] : [],
      ...LISTS.flatMap(([field, title]) => listOf(title, summary[field])),
      element("p", "hint", figures.join(" · ")),
      element("p", "hint", by),
    );
  }
}

function listOf(title, items) {
  if (items.length === 0) return [];
  const list = element("ul");
  list.append(...items.map((item) => element("li", "", item)));
  return [element("h3", "", title), list];
}
