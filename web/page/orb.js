// The animated orb: it moves only with the real audio level.

const POINTS = 48;
const PACE = 30; // ms between two pictures: calm, and cheap on a phone
const LAYERS = [1, 0.82, 0.64]; // how far each layer swings, from the outermost
const COLOURS = {
  listening: "--accent", hearing: "--accent", thinking: "--quiet", speaking: "--voice",
  paused: "--quiet", reconnecting: "--quiet", connecting: "--quiet",
};

export class Orb {
  #canvas;
  #paint;
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  #state = "idle";
  #colour = null;
  #levels = { input: 0, output: 0 };
  #shown = 0; // the smoothed level
  #frame = null;
  #drawnAt = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#paint = canvas.getContext("2d");
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#dye());
  }

  // `human` when a coach speaks in the model's place.
  set({ state, human }) {
    this.#state = state;
    this.#colour = state === "speaking" && human ? "--human" : COLOURS[state] ?? null;
    this.#dye();
    if (this.#colour !== null && this.#frame === null) {
      this.#frame = requestAnimationFrame((now) => this.#draw(now));
    }
  }

  levels(levels) {
    this.#levels = levels;
  }

  #dye() {
    if (this.#colour === null) return;
    this.#paint.fillStyle = getComputedStyle(document.body).getPropertyValue(this.#colour);
  }

  #draw(now) {
    this.#frame = requestAnimationFrame((next) => this.#draw(next));
    if (now - this.#drawnAt < PACE) return;
    this.#drawnAt = now;
    const { width, height } = this.#canvas;
    this.#paint.clearRect(0, 0, width, height);
    if (this.#colour === null) {
      cancelAnimationFrame(this.#frame);
      this.#frame = null;
      return;
    }
    const wanted = this.#loudness();
    this.#shown += (wanted - this.#shown) * (wanted > this.#shown ? 0.5 : 0.15);
    LAYERS.forEach((swing, layer) => this.#blob(now, swing, layer));
  }

  // 0 to 1, in decibels like hearing.
  #loudness() {
    const { input, output } = this.#levels;
    const level = this.#state === "speaking" ? output : input;
    if (this.#state === "paused" || this.#state === "thinking" || level <= 0) return 0;
    return Math.min(1, Math.max(0, (20 * Math.log10(level) + 50) / 40));
  }

  #blob(now, swing, layer) {
    const { width, height } = this.#canvas;
    const paint = this.#paint;
    const time = this.#still.matches ? 0 : now / 1000;
    const thinking = ["thinking", "connecting", "reconnecting"].includes(this.#state);
    const breath = thinking ? 0.05 * Math.sin(time * 2.4 + layer) + 0.05 : 0.03;
    const rest = 0.305 * width;
    const reach = (breath + 0.62 * this.#shown * swing) * 0.19 * width + 0.02 * width * swing;
    const wobble = this.#still.matches ? 0 : (thinking ? 0.22 : 0.12 + 0.14 * this.#shown);
    paint.globalAlpha = [0.16, 0.22, 0.34][layer];
    paint.beginPath();
    for (let n = 0; n <= POINTS; n += 1) {
      const angle = (n / POINTS) * 2 * Math.PI;
      const wave = Math.sin(3 * angle + time * (1.1 + layer * 0.5) + layer * 2)
        + 0.6 * Math.sin(5 * angle - time * (1.7 - layer * 0.3));
      const radius = rest + reach * (1 + wobble * wave);
      paint.lineTo(
        width / 2 + radius * Math.cos(angle), height / 2 + radius * Math.sin(angle),
      );
    }
    paint.closePath();
    paint.fill();
  }
}
