// Every way in which a call fails, as a sentence that says what to do.

const RELOAD = "Reload the page and try again.";

// [close code, close reason or null for any, what happened, what to do]; the first match counts.
const ENDINGS = [
  [1000, null, "The call was ended.", "Press Talk to start another."],
  [1001, null, "The relay or something before it is going away.", "Try again in a moment."],
  [1002, null, "The relay could not make sense of this page.", RELOAD],
  [1003, null, "The relay could not make sense of this page.", RELOAD],
  [1007, null, "The relay could not make sense of this page.", RELOAD],
  [1008, null, "The relay is full.", "Wait a minute, then press Talk again."],
  [1009, null, "A message was too long for the relay.", "Send a shorter one."],
  [1011, "OpenAI API key not configured", "The relay has no key for a voice.",
    "Set OPENAI_API_KEY where the relay runs, and start it again."],
  [1011, "OpenAI connection closed", "The voice hung up.", "Press Talk to start another call."],
  [1011, "OpenAI connection timed out", "The voice did not answer.",
    "Try again; if it lasts, run “relay check” where the relay runs."],
  [1011, null, "Something went wrong in the relay.", "Try again; its log says more."],
  [1012, null, "The relay is being restarted.", "Press Talk again in a few seconds."],
  [1013, null, "The relay is full.", "Wait a minute, then press Talk again."],
  [3000, null, "The relay does not accept this token.",
    "Reload the page for a new one, or make one with “relay token”."],
  [4000, "Missing token or agent_id", "The relay was not told who is calling.", RELOAD],
  [4000, null, "The relay refused what this page asked for.", "Check the address of the relay."],
  [4001, "Token expired", "Your token has expired.", "Reload the page for a new one."],
  [4001, null, "The relay does not accept this token.",
    "Reload the page for a new one, or make one with “relay token”."],
  [4003, null, "This agent or conversation is not yours.", "Ask for access, or choose another."],
  [4008, null, "The budget of this conversation is used up.", "Ask whoever runs the relay."],
  [4009, null, "The call went on in another window.", "Press Talk to take part here again."],
  [4010, null, "The call reached its time limit.", "Press Talk to start another."],
  [4011, null, "Nothing was said for a while, so the call ended.", "Press Talk to start again."],
  [4012, null, "The connection was lost.", "Check your network, then press Talk again."],
  [4013, null, "Your connection is too slow for the answers.",
    "Find a better network, then press Talk again."],
  [4029, null, "You have too many calls open, or asked too often.",
    "Close other windows with a call, wait a minute, then press Talk again."],
];

// `end` is {code, reason, url, opened, error}; answers {what, todo}.
export function endingSentence(end) {
  if (end.code === "silent") {
    return say("The relay did not answer in time.",
      "Try again; if it lasts, run “relay check” where the relay runs.");
  }
  if (end.code === 1006 && !end.opened) {
    return say(`The relay cannot be reached at ${end.url}.`,
      `Is it running, and does it accept pages from ${location.origin} (ALLOWED_ORIGINS)?`);
  }
  const known = ENDINGS.find(([code, reason]) => (
    code === end.code && (reason === null || reason === end.reason)
  ));
  if (known) return say(known[2], known[3]);
  if (end.code === 1006 || end.code === 1005) {
    return say("The connection was lost.", "Check your network, then press Talk again.");
  }
  const details = end.error ?? [end.code, end.reason].filter(Boolean).join(" ");
  return say(`The call ended: ${details}.`, "Press Talk to try again.");
}

const MICROPHONE = {
  NotAllowedError: ["The microphone is blocked.",
    "Allow it for this page in the browser's address bar, and for the browser in your system's " +
      "privacy settings, then press Talk again. You can also write."],
  NotFoundError: ["No microphone was found.",
    "Plug one in, then press Talk again. You can also write."],
  NotReadableError: ["The microphone is in use or does not work.",
    "Close other programs that use it, then press Talk again. You can also write."],
  NotSupportedError: ["This browser cannot record at 24 kHz.",
    "Use a current Chrome, Edge or Safari. You can also write."],
};

export const LOST_MICROPHONE = say("The microphone went away.",
  "Plug it in, then press Talk again.");

export const NO_SETTINGS = say("The relay's page settings cannot be read.",
  "Is the relay still running? Start it with “make run”, then press Talk again.");

export const SLOW_UPLOAD = say("Your connection is slow: some of what you say is lost.",
  "Find a better network, or write.");

export function microphoneSentence(error) {
  return say(...(MICROPHONE[error.name] ?? [`The microphone failed (${error.name}).`, RELOAD]));
}

export function soundSentence(error) {
  return say(`The browser cannot play sound (${error.name}).`,
    "Use a current Chrome, Edge or Safari.");
}

// What this browser lacks, as {what, todo}, or null when a call can work.
export function missing() {
  if (!window.isSecureContext) {
    return say("The browser gives this address no microphone.",
      "Open this page at http://localhost (on the relay's own machine) or over https.");
  }
  const has = window.AudioWorkletNode && navigator.mediaDevices?.getUserMedia && window.WebSocket;
  if (has) return null;
  return say("This browser is too old for a call.", "Use a current Chrome, Edge or Safari.");
}

function say(what, todo) {
  return { what, todo };
}
