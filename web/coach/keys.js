// Single-key shortcuts. They can be turned off, and do not act in a text field.

const SETTING = "relay.coach.keys";

export class Keys {
  #use;
  #actions;

  // `actions` are functions by key, in lower case.
  constructor(box, actions) {
    this.#use = localStorage.getItem(SETTING) !== "off";
    this.#actions = actions;
    box.checked = this.#use;
    box.addEventListener("change", () => {
      this.#use = box.checked;
      localStorage.setItem(SETTING, box.checked ? "on" : "off");
    });
    addEventListener("keydown", (event) => this.#press(event));
  }

  #press(event) {
    const { target, key, ctrlKey, metaKey, altKey } = event;
    if (event.repeat || ctrlKey || metaKey || altKey || document.querySelector("dialog[open]")) return;
    const writing = target.closest("input:not([type=radio], [type=checkbox]), textarea, select");
    if (key === "Escape") {
      if (writing) target.blur();
      else this.#actions.escape();
    } else if (this.#use && !writing && Object.hasOwn(this.#actions, key.toLowerCase())) {
      event.preventDefault();
      this.#actions[key.toLowerCase()]();
    }
  }
}
