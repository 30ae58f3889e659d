// Push-to-talk by a button to hold, or by the space bar where no other control uses it.

export class Holding {
  #button;
  #client;

  // `client()` gives the current call, or null.
  constructor(button, client) {
    this.#button = button;
    this.#client = client;
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      this.#press();
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
      button.addEventListener(kind, () => this.#release());
    }
    addEventListener("keydown", (event) => {
      if (!this.#isOurs(event)) return;
      event.preventDefault();
      if (!event.repeat) this.#press();
    });
    addEventListener("keyup", (event) => this.#isOurs(event) && this.#release());
    addEventListener("blur", () => this.#release());
  }

  #isOurs({ code, target }) {
    if (this.#button.hidden) return false;
    if (target === this.#button) return code === "Space" || code === "Enter";
    return code === "Space" && !target.closest("input, select, button, summary");
  }

  #press() {
    this.#button.classList.add("held");
    this.#client()?.press();
  }

  #release() {
    this.#button.classList.remove("held");
    this.#client()?.release();
  }
}
