// A fresh token before the old one runs out, so that a call outlives its token.

const EARLY = 60_000; // ms before the end …
const SHARE = 0.8; // … or when so much of a short life is over
const AGAIN = 10_000; // ms after an attempt that failed
const LONGEST = 2 ** 31 - 1; // what a timer can wait

// `renew()` promises a token, `use(token)` sends it.
export class Renewal {
  #timer = null;
  #renew;
  #use;

  constructor(renew, use) {
    this.#renew = renew;
    this.#use = use;
  }

  // Unix seconds.
  until(expiresAt) {
    this.stop();
    if (!Number.isFinite(expiresAt)) return;
    const left = expiresAt * 1000 - Date.now();
    const wait = Math.max(left * SHARE, left - EARLY);
    if (left > 0) this.#timer = setTimeout(() => this.#go(), Math.min(wait, LONGEST));
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #go() {
    const timer = this.#timer;
    try {
      const token = await this.#renew();
      if (this.#timer !== timer) return;
      this.#use(token);
      this.until(endOf(token));
    } catch {
      // Without one the call ends as `token_expired`, which says what to do.
      if (this.#timer === timer) this.#timer = setTimeout(() => this.#go(), AGAIN);
    }
  }
}

// When a JWT expires, in Unix seconds; NaN where it does not say.
export function endOf(token) {
  try {
    const [, payload] = token.split(".");
    return Number(JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/"))).exp);
  } catch {
    return NaN;
  }
}
