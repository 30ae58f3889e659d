// The voice page: buttons, states and texts. relay-client.js does the call itself.

import { RelayClient, RelayError, missing } from "./relay-client.js";
import { introduce } from "./page/about.js";
import { closed, enter, isClosed, whenEntered } from "./page/entry.js";
import { Holding } from "./page/holding.js";
import { Orb } from "./page/orb.js";
import { Settings } from "./page/settings.js";
import { TranscriptView } from "./page/transcript-view.js";

const STATES = {
  idle: "Ready",
  connecting: "Connecting …",
  listening: "Listening",
  hearing: "Hearing you …",
  thinking: "Thinking …",
  speaking: "Speaking. To interrupt, just speak.",
  paused: "Paused. You are still heard.",
  reconnecting: "Connecting again …",
  error: "Not connected",
};
const WRITING = { listening: "Connected. Write, or press Talk.", speaking: "Speaking" };
const HOLDING = { listening: "Hold the button to speak", speaking: "Speaking" };
const MUTED = { listening: "You are muted", speaking: "Speaking. You are muted." };
const CONVERSATION = "relay.conversation"; // key of this tab's conversation in the session storage
const LITTLE = 100_000; // micro-dollars; the page warns below it
const LOOK_EVERY = 1000; // ms, while the voice is being installed
const STARTS = ["talk", "message", "send"]; // what begins a call

const $ = (id) => document.getElementById(id);
const view = new TranscriptView($("transcript"), $("spoken"));
const orb = new Orb($("orb"));
let settings = null;
let transcript = null;
let client = null;
let failure = null;
let engine = {}; // the page's configuration: url and engine, or null if the user types them
let shut = false; // on the relay's own machine, and this browser has not been let in
let state = "idle";
let times = {};
let numbers = {};

function show(next) {
  state = next;
  const live = client !== null;
  const talking = client?.listening ?? false;
  const opening = next === "connecting";
  const push = live && talking && client.pushToTalk;
  const special = !live || opening ? {} : !talking ? WRITING : push ? HOLDING : {};
  const label = (client?.muted ? MUTED : special)[next] ?? STATES[next];
  const hasCoach = live && client.coach.present;
  const human = hasCoach && client.coach.speaking;
  write($("state"), human && next === "speaking" ? "Speaking" : label);
  write($("coach"), !hasCoach ? "" : human ? "A coach is speaking" : "A coach is here");
  document.body.dataset.state = next;
  document.body.classList.toggle("live", live && !opening);
  document.body.classList.toggle("has-coach", hasCoach);
  document.body.classList.toggle("talking", talking || opening);
  write($("talk"), talking || opening ? "Stop" : "Talk");
  write($("mute").querySelector("span"), client?.muted ? "Muted" : "Mute");
  $("mute").setAttribute("aria-pressed", String(client?.muted ?? false));
  $("mute").disabled = !talking;
  $("interrupt").disabled = next !== "speaking";
  $("interrupt").hidden = push;
  $("hold").hidden = !push;
  $("welcome").hidden = live || Boolean(transcript?.entries.length);
  orb.set({ state: next, human });
  if (!talking) level(0);
}

// Writes only changes, because screen readers read a live region out whenever it is written.
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function tell(problem, mild = false) {
  const box = $("problem");
  box.className = mild ? "notice mild" : "notice";
  box.replaceChildren();
  if (!problem) return;
  const what = document.createElement("strong");
  what.textContent = problem.message;
  box.append(what, problem.advice ?? "");
}

let shownAt = 0;

function level(rms) {
  if (rms > 0 && performance.now() - shownAt < 50) return;
  shownAt = performance.now();
  // In decibels, like hearing: -60 dB is the left end, 0 dB the right.
  const shown = rms > 0 ? Math.min(1, Math.max(0, (20 * Math.log10(rms) + 60) / 60)) : 0;
  $("level").firstElementChild.style.transform = `scaleX(${shown})`;
  $("level").setAttribute("aria-valuenow", Math.round(shown * 100));
}

const dollars = (micro) => `$${(micro / 1e6).toFixed(2)}`;

function newClient() {
  const made = new RelayClient({ transcript });
  const handlers = {
    state: ({ state: next }) => next !== "ended" && show(next),
    transcript: ({ changed }) => view.show(made.transcript, changed),
    level(levels) {
      level(levels.input);
      orb.levels(levels);
    },
    latency({ kind, ms }) {
      times[kind] = ms;
      settings.fact(kind === "answer" ? "Answered in" : "Connected in", `${Math.round(ms)} ms`);
    },
    session: ({ conversationId }) => sessionStorage.setItem(CONVERSATION, conversationId),
    microphone: () => show(made.state),
    coach: () => show(made.state),
    budget({ left }) {
      settings.fact("Budget left", dollars(left));
      if (left < LITTLE) tell({ message: `Little budget is left: ${dollars(left)}.` }, true);
    },
    warning: (warning) => tell({ message: warning.message }, true),
    error: (error) => tell(error, true),
    reconnecting: ({ error }) => tell({ message: error.message, advice: "Trying again …" }, true),
    reconnected: () => tell(null),
    ended: ({ error }) => over(error),
  };
  for (const [type, handler] of Object.entries(handlers)) made.on(type, handler);
  return made;
}

function over(error) {
  const problem = error ?? failure;
  numbers = measured();
  if (problem?.code === "forbidden") sessionStorage.removeItem(CONVERSATION);
  client = null;
  tell(problem);
  show(problem ? "error" : "idle");
}

// With `text` the call starts with that message, without a microphone.
function start(text = null) {
  const conversationId = sessionStorage.getItem(CONVERSATION);
  tell(null);
  failure = null;
  times = {};
  if (conversationId === null || transcript === null) forget();
  client = newClient();
  transcript = client.transcript;
  if (settings.push) client.usePushToTalk();
  const options = { conversationId, ...(engine ? { url: engine.url, getToken } : typed()) };
  client.connect(options).catch(() => {}); // `ended` reports it
  if (settings.output) client.setOutput(settings.output).catch((error) => tell(error, true));
  if (text === null) listen(client, (error) => {
    failure = error;
    client.close();
  });
  else client.say(text);
}

// A failing microphone ends a spoken call; a written one continues.
function listen(mine, failed) {
  mine.listen({ deviceId: settings.input }).then(() => settings.refresh(), (error) => {
    if (mine === client && error.code !== "not_connected") failed(error);
  });
}

function forget() {
  transcript = null;
  view.clear();
}

// On the relay's own machine the page gets address and token; elsewhere the user types them in.
async function readSettings() {
  const answer = await fetch("config.json", { cache: "no-store" });
  shut = isClosed(answer);
  if (shut) throw new RelayError("token_unavailable", closed("page"));
  if (!answer.ok) throw new RelayError("token_unavailable");
  return answer.json();
}

async function getToken() {
  return (await readSettings()).token;
}

function typed() {
  return { url: $("address").value, token: $("token").value };
}

function complete() {
  return $("where").hidden || $("where").reportValidity();
}

function talk() {
  if (client === null) {
    if (complete()) start();
  } else if (client.listening || client.state === "connecting") {
    client.close();
  } else {
    listen(client, (error) => tell(error, true));
  }
}

function send(event) {
  event.preventDefault();
  const text = $("message").value.trim();
  if (!text || (client === null && !complete())) return;
  $("message").value = "";
  if (client === null) start(text);
  else client.say(text);
}

function startAfresh() {
  client?.close();
  sessionStorage.removeItem(CONVERSATION);
  forget();
  tell(null);
  show("idle");
  $("talk").focus();
}

function measured() {
  const { connect = null, answer = null } = times;
  return { ...client?.counters, connectMs: connect, answerMs: answer };
}

async function begin() {
  $("too-old").hidden = true;
  const lacking = missing();
  if (lacking) {
    tell(lacking);
    show("error");
    return;
  }
  settings = new Settings($, {
    input: () => client?.listening && listen(client, (error) => tell(error, true)),
    output: (id) => client?.setOutput(id).catch((error) => tell(error, true)),
    push: (use) => client?.usePushToTalk(use),
  });
  await enter();
  whenEntered(() => shut && location.reload());
  engine = await readSettings().catch((error) => {
    if (shut) tell(error);
    return null;
  });
  if (shut) {
    show("error");
    return;
  }
  if (engine === null) {
    $("where").hidden = false;
    $("address").value = `${location.origin.replace("http", "ws")}/v1/realtime`;
  }
  $("talk").addEventListener("click", talk);
  $("mute").addEventListener("click", () => client?.mute(!client.muted));
  $("interrupt").addEventListener("click", () => client?.interrupt());
  $("fresh").addEventListener("click", startAfresh);
  $("write").addEventListener("submit", send);
  $("where").addEventListener("submit", (event) => event.preventDefault());
  new Holding($("hold"), () => client);
  addEventListener("pagehide", () => client?.close());
  if (engine) await voiceIsThere();
  for (const id of STARTS) $(id).disabled = false;
  show("idle");
}

// While the voice is being installed nobody can call; a reload is not needed when it is there.
async function voiceIsThere() {
  while (introduce($, engine)) {
    $("welcome").hidden = false;
    write($("state"), "The voice is coming");
    await new Promise((go) => setTimeout(go, LOOK_EVERY));
    engine = await readSettings().catch(() => engine);
  }
}

// For tests and debugging: figures of the call, without the token.
window.relayPage = {
  get state() { return state; },
  get numbers() { return client ? measured() : numbers; },
  get client() { return client; },
};

begin();
