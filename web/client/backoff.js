// Delays between attempts to reconnect: growing, and randomized so that clients do not return at once.

const FIRST = 500; // ms
const MOST = 8000;
const ATTEMPTS = 8; // about half a minute in all

// The delays between attempts, in ms. `least` is added to the first, as the server asked; `random` gives
// 0 to 1.
export function* delays(least = 0, random = Math.random) {
  for (let n = 0; n < ATTEMPTS; n += 1) {
    const span = Math.min(MOST, FIRST * 2 ** n);
    yield Math.round((n === 0 ? least : 0) + span * (0.5 + random() / 2));
  }
}

// Resolves after `ms`, or earlier when the network comes back or `signal` is aborted.
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener("online", over);
      signal.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    addEventListener("online", over);
    signal.addEventListener("abort", over);
    if (signal.aborted) over();
  });
}
