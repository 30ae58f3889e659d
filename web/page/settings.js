// The settings panel: microphone, loudspeaker, push-to-talk, and facts about the call.

import { canChooseOutput, devices } from "../relay-client.js";

export class Settings {
  #panel;
  #input;
  #output;
  #push;
  #facts;
  #known = new Map();

  // `listener` has: input(deviceId), output(deviceId), push(use).
  constructor($, listener) {
    this.#panel = $("settings");
    [this.#input, this.#output, this.#push] = [$("input"), $("output"), $("push")];
    this.#facts = $("facts");
    this.#output.disabled = !canChooseOutput();
    this.#input.addEventListener("change", () => listener.input(this.#input.value));
    this.#output.addEventListener("change", () => listener.output(this.#output.value));
    this.#push.addEventListener("change", () => listener.push(this.#push.checked));
    this.#panel.addEventListener("toggle", () => this.#panel.open && this.refresh());
    navigator.mediaDevices.addEventListener?.("devicechange", () => this.refresh());
    this.#panel.addEventListener("keydown", ({ key }) => key === "Escape" && this.#shut());
    addEventListener("pointerdown", ({ target }) => {
      for (const panel of document.querySelectorAll(".panel[open]")) {
        if (!panel.contains(target)) panel.open = false;
      }
    });
  }

  get input() { return this.#input.value || null; }

  get output() { return this.#output.value; }

  get push() { return this.#push.checked; }

  async refresh() {
    const { inputs, outputs } = await devices();
    offer(this.#input, inputs);
    offer(this.#output, outputs);
  }

  fact(name, value) {
    if (!this.#known.has(name)) {
      const [term, words] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      this.#facts.append(term, words);
      this.#known.set(name, words);
    }
    this.#known.get(name).textContent = value;
  }

  #shut() {
    this.#panel.open = false;
    this.#panel.querySelector("summary").focus();
  }
}

// Browsers name no devices before the microphone is allowed; until then only the default is offered.
function offer(select, found) {
  const chosen = select.value;
  const options = found.filter(({ deviceId }) => deviceId !== "default")
    .map(({ deviceId, label }, n) => new Option(label || `Device ${n + 1}`, deviceId));
  select.replaceChildren(new Option("System default", ""), ...options);
  select.value = options.some(({ value }) => value === chosen) ? chosen : "";
}
