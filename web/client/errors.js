// Errors of a call: a code for programs and two sentences for people.

export class RelayError extends Error {
  // `code` is a key of SENTENCES; `advice` tells the user what to do. `retry`: the same call may succeed
  // a moment later. `closeCode` and `closeReason` are the socket's, if it was closed.
  constructor(code, { message, advice, retry = false, closeCode, closeReason, cause } = {}) {
    const [known, what] = SENTENCES[code] ?? [code, ""];
    super(message ?? known, { cause });
    this.name = "RelayError";
    this.code = code;
    this.advice = advice ?? what;
    this.retry = retry;
    this.closeCode = closeCode ?? null;
    this.closeReason = closeReason ?? "";
  }
}

const CURRENT = "Use a current Chrome, Edge, Firefox or Safari.";
const PERMIT = "Allow it for this page in the browser's address bar, and for the browser in your "
  + "system's privacy settings, then try again. You can also write.";
const NETWORK = "Check your network, then try again.";
const RELOAD = "Reload the page and try again.";
const OPERATOR = "If it continues, tell the operator of the relay.";
const SERVER = `Try again. ${OPERATOR}`;
const TOKEN = "Reload the page for a new one, or ask the operator of the relay.";

// code: [what happened, what to do]
const SENTENCES = {
  __proto__: null,
  // The browser and its devices.
  browser_too_old: ["This browser is too old for a call.", CURRENT],
  insecure_page: ["The browser does not allow a microphone on this address.",
    "Open this page at http://localhost (on the relay's own machine) or over https."],
  sound_failed: ["The browser cannot play sound.", CURRENT],
  sound_blocked: ["The browser waits for a click before it plays sound.",
    "Click or press a key anywhere on the page."],
  sound_stopped: ["The system stopped the sound of this page.",
    "When it is free again, click or press a key anywhere on the page."],
  microphone_denied: ["The microphone is blocked.", PERMIT],
  no_microphone: ["No microphone was found.",
    "Plug one in, then try again. You can also write."],
  microphone_busy: ["The microphone is in use or does not work.",
    "Close other programs that use it, then try again. You can also write."],
  microphone_failed: ["The microphone failed.", RELOAD],
  microphone_muted: ["The system muted the microphone.",
    "Switch it on at the headset or in the system. You can also write."],
  microphone_lost: ["The microphone was disconnected.", "Plug it in, or choose another one."],
  // The connection to the server.
  token_unavailable: ["The page could not get a token for the call.",
    "Check that the relay is still running, then try again."],
  bad_address: ["This is not the address of a relay.", "It begins with ws:// or wss://."],
  unreachable: ["The relay cannot be reached.", NETWORK],
  offline: ["This device is offline.", NETWORK],
  no_answer: ["The relay did not answer in time.", SERVER],
  connection_lost: ["The connection was lost.", NETWORK],
  going_away: ["The server ended the connection.", "Try again in a moment."],
  upload_slow: ["Your connection is slow: some of what you said was lost.",
    "Find a better network, or write."],
  // Endings, named as the relay names them.
  client_left: ["You ended the call.", "Start another when you like."],
  hung_up: ["The call was ended.", "Start another when you like."], // for example by a coach
  protocol_error: ["The relay did not understand this page.", RELOAD],
  binary_refused: ["The relay did not understand this page.", RELOAD],
  not_utf8: ["The relay did not understand this page.", RELOAD],
  frame_too_big: ["A message was too long for the relay.", "Send a shorter one."],
  at_capacity: ["The relay is full.", "Wait a minute, then try again."],
  missing_parameters: ["The relay does not know who is calling.", RELOAD],
  unauthorized: ["The relay does not accept this token.", TOKEN],
  token_too_long: ["The token is too long for the relay.", "Ask the operator of the relay."],
  auth_unavailable: ["The relay cannot check tokens at the moment.",
    "Wait a minute, then try again."],
  token_expired: ["Your token has expired.", "Reload the page for a new one."],
  forbidden: ["This agent or conversation is not yours.", "Ask for access, or choose another."],
  budget_exhausted: ["Today's budget is used up.",
    "Try again tomorrow, or ask the operator of the relay."],
  replaced: ["The call continues in another window.", "Start again to continue it here."],
  session_time_limit: ["The call reached its time limit.", "Start another to continue."],
  idle: ["The call was idle for a while, so it ended.", "Start again when you like."],
  client_too_slow: ["Your connection is too slow for the answers.",
    "Find a better network, then try again."],
  too_many_sessions: ["You have too many calls open.",
    "Close other windows with a call, then try again."],
  too_many_requests: ["There were too many attempts.", "Wait a minute, then try again."],
  no_provider_key: ["The relay has no key for the voice.",
    "Ask the operator of the relay to add one."],
  engine_closed: ["The voice disconnected.", "Start another call."],
  engine_timed_out: ["The voice did not answer.", SERVER],
  internal_error: ["Something went wrong in the relay.", SERVER],
  unknown_path: ["The relay refused this page's request.", "Check the address of the relay."],
  not_built: ["The relay refused this page's request.", "Check the address of the relay."],
  unsupported_call: ["The relay refused this page's request.", "Check the address of the relay."],
  service_restart: ["The relay is restarting.", "Try again in a few seconds."],
  // Errors that do not end the call, and others.
  server_error: ["The voice reported a problem.", ""],
  ended: ["The call ended.", "Try again."],
  not_connected: ["There is no call.", "Connect first."],
  already_connected: ["There is a call already.", "End it first."],
};

// [close code, close reason or null for any, error code, `retry`]; the first match counts.
const ENDINGS = [
  [1000, null, "hung_up"],
  [1001, null, "going_away", true],
  [1002, null, "protocol_error"],
  [1003, null, "binary_refused"],
  [1005, null, "connection_lost", true],
  [1006, null, "connection_lost", true],
  [1007, null, "not_utf8"],
  [1008, null, "at_capacity"],
  [1009, null, "frame_too_big"],
  [1011, "OpenAI API key not configured", "no_provider_key"],
  [1011, "OpenAI connection closed", "engine_closed", true],
  [1011, "OpenAI connection timed out", "engine_timed_out", true],
  [1011, null, "internal_error", true],
  [1012, null, "service_restart", true],
  [1013, "Authentication unavailable", "auth_unavailable", true],
  [1013, null, "at_capacity", true],
  [3000, null, "unauthorized"],
  [4000, "Missing token or agent_id", "missing_parameters"],
  [4000, "invalid_request_error.unsupported_intent", "not_built"],
  [4000, "invalid_request_error.unsupported_call_id", "unsupported_call"],
  [4000, null, "unknown_path"],
  [4001, "Token expired", "token_expired"],
  [4001, "Token too long", "token_too_long"],
  [4001, null, "unauthorized"],
  [4003, null, "forbidden"],
  [4008, null, "budget_exhausted"],
  [4009, null, "replaced"],
  [4010, null, "session_time_limit"],
  [4011, null, "idle"],
  [4012, null, "connection_lost", true],
  [4013, null, "client_too_slow"],
  [4029, "Too many sessions", "too_many_sessions"],
  [4029, null, "too_many_requests"],
];

// `end` is {code, reason, url, opened, said}: the socket's close code ("silent" when the server did
// not answer in time) and reason, its address, whether it ever opened, and the text of the server's
// last `error`.
export function errorOfEnding({ code, reason, url, opened, said }) {
  const close = { closeCode: code, closeReason: reason };
  if (code === "silent") return new RelayError("no_answer", { retry: true });
  if (code === 1006 && !opened) return unreachable(url);
  const found = ENDINGS.find(([number, words]) => (
    number === code && (words === null || words === reason)
  ));
  if (found) return new RelayError(found[2], { retry: found[3], ...close });
  const details = (said ?? reason).replace(/\.$/, "");
  const message = details ? `The call ended: ${details}.` : "The call ended.";
  return new RelayError("ended", { message, ...close });
}

function unreachable(url) {
  if (navigator.onLine === false) return new RelayError("offline", { retry: true });
  const { protocol, host, pathname } = new URL(url);
  return new RelayError("unreachable", {
    message: `The relay cannot be reached at ${protocol}//${host}${pathname}.`,
    advice: `Check that it is running, and that it accepts pages from ${location.origin}.`,
    retry: true,
    closeCode: 1006,
  });
}

const MICROPHONE = {
  __proto__: null,
  NotAllowedError: "microphone_denied",
  SecurityError: "microphone_denied",
  NotFoundError: "no_microphone",
  OverconstrainedError: "no_microphone",
  NotReadableError: "microphone_busy",
  AbortError: "microphone_busy",
};

export function errorOfMicrophone(cause) {
  if (cause instanceof RelayError) return cause;
  const code = MICROPHONE[cause.name];
  if (code) return new RelayError(code, { cause });
  return new RelayError("microphone_failed", {
    message: `The microphone failed (${cause.name}).`, cause,
  });
}

export function errorOfSound(cause) {
  return new RelayError("sound_failed", {
    message: `The browser cannot play sound (${cause.name}).`, cause,
  });
}

// The error for a browser that lacks something for a call, or null.
export function missing() {
  if (!window.isSecureContext) return new RelayError("insecure_page");
  const has = window.AudioWorkletNode && navigator.mediaDevices?.getUserMedia && window.WebSocket;
  return has ? null : new RelayError("browser_too_old");
}
