// The page: its buttons, its states and its words. Everything that is heard is in call.js.

import { Call } from "./call.js";
import { missing } from "./sentences.js";
import { Transcript } from "./transcript.js";
import { TranscriptView } from "./transcript-view.js";

const STATES = {
  idle: "Ready",
  connecting: "Connecting …",
  listening: "Listening",
  hearing: "Hearing you …",
  thinking: "Thinking …",
  speaking: "Speaking. To interrupt, just speak.",
  error: "Not connected",
};
const WRITING = { listening: "Connected. Write, or press Talk.", speaking: "Speaking" };

const $ = (id) => document.getElementById(id);
const view = new TranscriptView($("transcript"), $("spoken"));
let transcript = new Transcript();
let call = null;
let state = "idle";
let numbers = {};

function show(next) {
  const talking = call?.listening ?? false;
  const label = (talking || call === null ? null : WRITING[next]) ?? STATES[next];
  if ($("state").textContent !== label) $("state").textContent = label;
  state = next;
  document.body.dataset.state = next;
  document.body.classList.toggle("talking", talking || next === "connecting");
  $("talk").textContent = talking || next === "connecting" ? "Stop" : "Talk";
  $("welcome").hidden = call !== null || transcript.entries.length > 0;
  if (!talking) level(0);
}

function tell(sentence, mild = false) {
  const box = $("problem");
  box.className = mild ? "notice mild" : "notice";
  box.replaceChildren();
  if (!sentence) return;
  const what = document.createElement("strong");
  what.textContent = sentence.what;
  box.append(what, sentence.todo);
}

function level(rms) {
  // The ear hears in decibels: -60 dB is the left end, 0 dB the right.
  const shown = rms > 0 ? Math.min(1, Math.max(0, (20 * Math.log10(rms) + 60) / 60)) : 0;
  $("level").firstElementChild.style.transform = `scaleX(${shown})`;
  $("level").setAttribute("aria-valuenow", Math.round(shown * 100));
}

function newCall() {
  return new Call({
    event: (event) => view.show(transcript, transcript.apply(event)),
    changed: () => call && show(call.turn),
    level,
    answer: (report) => document.body.style.setProperty("--answer", Math.min(1, report.level * 4)),
    notice: (sentence) => tell(sentence, true),
    ended(sentence) {
      numbers = call.numbers;
      call = null;
      view.show(transcript, transcript.settle());
      tell(sentence);
      show(sentence ? "error" : "idle");
    },
  });
}

function start(text = null) {
  tell(null);
  transcript = new Transcript();
  view.clear();
  call = newCall();
  show("connecting");
  call.start($("where").hidden ? readSettings() : Promise.resolve(typedSettings()), text);
}

// The relay's own machine gets an address and a fresh token; elsewhere they are typed in.
async function readSettings() {
  try {
    const answer = await fetch("config.json", { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

function typedSettings() {
  return { url: $("address").value, token: $("token").value };
}

function talk() {
  if (call === null) {
    if ($("where").hidden || $("where").reportValidity()) start();
  } else if (call.listening || call.turn === "connecting") {
    call.end();
  } else {
    call.listen().then(() => call && show(call.turn));
  }
}

function write(event) {
  event.preventDefault();
  const text = $("message").value.trim();
  if (!text || (call === null && !$("where").hidden && !$("where").reportValidity())) return;
  if (call?.turn === "connecting") return;
  $("message").value = "";
  if (call === null) start(text);
  else call.say(text);
}

const ABOUT = {
  offline: ["Demonstration voice", [
    "This voice runs on the relay's own machine, without a key. It recognises English roughly " +
      "and knows about a dozen topics. For a real voice, start the relay with one of these:",
    ["OPENAI_API_KEY", " set to a key of OpenAI,"],
    ["OPENAI_BASE_URL", " set to a local server that speaks /v1/realtime, such as LocalAI or " +
      "speaches."],
  ]],
  echo: ["Echo", ["There is no voice here: what you say is played back to you."]],
};

function introduce(engine) {
  if (!ABOUT[engine]) return;
  const [name, lines] = ABOUT[engine];
  $("voice").hidden = false;
  $("voice-name").textContent = name;
  $("voice-about").replaceChildren(...lines.map((line) => {
    const paragraph = document.createElement("p");
    const [variable, rest] = Array.isArray(line) ? line : [null, line];
    if (variable) {
      const code = document.createElement("code");
      code.textContent = variable;
      paragraph.append(code);
    }
    paragraph.append(rest);
    return paragraph;
  }));
}

async function begin() {
  $("too-old").hidden = true;
  const lacking = missing();
  if (lacking) {
    tell(lacking);
    show("error");
    return;
  }
  const settings = await readSettings();
  if (settings) {
    introduce(settings.engine);
  } else {
    $("where").hidden = false;
    $("address").value = `${location.origin.replace("http", "ws")}/v1/realtime`;
  }
  $("talk").addEventListener("click", talk);
  $("write").addEventListener("submit", write);
  $("where").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("pagehide", () => call?.end());
  for (const id of ["talk", "message", "send"]) $(id).disabled = false;
  show("idle");
}

// For tests: what the page did, in numbers.
window.relayPage = {
  get state() { return state; },
  get numbers() { return call?.numbers ?? numbers; },
};

begin();
