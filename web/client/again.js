// When to try again: soon, then less often, and never all clients at the same moment.

const FIRST = 500; // ms
const MOST = 8000;
const ATTEMPTS = 8; // about half a minute in all

// The waits between attempts, in ms; `least` is what the server asked for. `random` is 0 to 1.
export function* waits(least = 0, random = Math.random) {
  for (let n = 0; n < ATTEMPTS; n += 1) {
    const span = Math.min(MOST, FIRST * 2 ** n);
    yield Math.round((n === 0 ? least : 0) + span * (0.5 + random() / 2));
  }
}

// Resolves after so many ms, at once when the network comes back, or when `signal` is aborted.
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
