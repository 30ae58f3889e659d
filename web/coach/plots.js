// Two small plots of one call: response times and cost.

import { element } from "./format.js";

const [WIDTH, HEIGHT, EDGE] = [240, 64, 4];
const SVG = "http://www.w3.org/2000/svg";
const MOST = 600; // points; beyond that every second one is dropped

export class Plot {
  #points = []; // [seconds into the call, value]
  #figure = element("figure");
  #value = element("strong");
  #note = element("span", "hint");
  #picture = document.createElementNS(SVG, "svg");
  #kind;
  #shown = "";

  // `kind` has: title, draw "bars" or "line", tell(value) and told(values) for its two figures.
  constructor(parent, kind) {
    this.#kind = kind;
    const caption = element("figcaption", "", kind.title);
    caption.append(this.#value);
    this.#picture.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.#picture.setAttribute("role", "img");
    this.#figure.append(caption, this.#picture, this.#note);
    this.#figure.className = `plot ${kind.draw}`;
    parent.append(this.#figure);
    this.#redraw();
  }

  clear() {
    this.#points = [];
    this.#redraw();
  }

  add(at, value) {
    this.#points.push([at, value]);
    if (this.#points.length > MOST) this.#points = this.#points.filter((_, n) => n % 2);
    this.#redraw();
  }

  // Shows the reason why there is nothing to draw.
  absent(why) {
    if (this.#points.length === 0) this.#note.textContent = why;
  }

  #redraw() {
    const values = this.#points.map(([, value]) => value);
    const last = values.at(-1);
    this.#value.textContent = last === undefined ? "" : this.#kind.tell(last);
    this.#note.textContent = last === undefined ? "Nothing yet." : this.#kind.told(values);
    const label = `${this.#kind.title} ${this.#value.textContent}. ${this.#note.textContent}`;
    this.#picture.setAttribute("aria-label", label);
    const marks = this.#kind.draw === "bars" ? bars(values) : line(this.#points);
    if (marks.join() === this.#shown) return;
    this.#shown = marks.join();
    this.#picture.replaceChildren(path("ground", `M0 ${HEIGHT - 0.5}H${WIDTH}`),
      ...marks.map((mark, n) => path(n === marks.length - 1 ? "mark last" : "mark", mark)));
  }
}

// One bar for each value, the latest on the right.
function bars(values) {
  const shown = values.slice(-30);
  const top = Math.max(1, ...shown);
  const step = WIDTH / 30;
  return shown.map((value, n) => {
    const height = Math.max(2, (value / top) * (HEIGHT - 2 * EDGE));
    const x = (n + 30 - shown.length) * step + 1;
    return `M${x.toFixed(1)} ${HEIGHT - 1}v${-height.toFixed(1)}h${(step - 2).toFixed(1)}V${HEIGHT - 1}Z`;
  });
}

// A step line of a growing sum over the time of the call.
function line(points) {
  if (points.length === 0) return [];
  const [from, to] = [0, Math.max(1, points.at(-1)[0])];
  const top = Math.max(1e-9, points.at(-1)[1]);
  const place = ([at, value]) => [
    ((at - from) / (to - from)) * WIDTH,
    HEIGHT - EDGE - (value / top) * (HEIGHT - 2 * EDGE),
  ];
  let drawn = `M0 ${HEIGHT - EDGE}`;
  for (const point of points) {
    const [x, y] = place(point);
    drawn += `H${x.toFixed(1)}V${y.toFixed(1)}`;
  }
  return [`${drawn}V${HEIGHT}H0Z`, drawn];
}

function path(className, d) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", className);
  made.setAttribute("d", d);
  return made;
}

// The lower median.
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length / 2) - 1];
}
