// Fetches a fresh token before the old one expires, so that a call can outlast its token.

const EARLY = 60_000; // ms before the expiry …
const SHARE = 0.8; // … or after this share of a short lifetime
const AGAIN = 10_000; // ms after a failed attempt
const LONGEST = 2 ** 31 - 1; // longest delay of a timer, in ms

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
      // Without a fresh token the call ends as `token_expired`, with advice.
      if (this.#timer === timer) this.#timer = setTimeout(() => this.#go(), AGAIN);
    }
  }
}

// The expiry of a JWT in Unix seconds, NaN if it has none.
export function endOf(token) {
  try {
    const [, payload] = token.split(".");
    return Number(JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/"))).exp);
  } catch {
    return NaN;
  }
}
