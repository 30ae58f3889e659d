// The coach's page: the lists, the conversation that is shown, and navigation.

import { Api, CLOSED } from "./api.js";
import { Call } from "./call.js";
import { Keys } from "./keys.js";
import { Lists } from "./lists.js";
import { SummaryView } from "./summary.js";
import { TranscriptView } from "./transcript.js";
import { day, short, write } from "./format.js";
import { enter, whenEntered } from "../page/entry.js";

const POLL_EVERY = 2000; // ms between two requests of the list of live calls
const ADDRESS = /^#(sessions|conversations)\/([0-9a-f-]{36})$/;

const $ = (id) => document.getElementById(id);
const api = new Api();
const view = new TranscriptView($("transcript"), $("spoken"));
const lists = new Lists($, (address) => { location.hash = address; });
const call = new Call($, api, view, {
  problem: tell,
  changed: showLink,
  began: (session) => {
    view.clear(session);
    title(session.user_id);
    learner(session.user_id);
  },
  caughtUp: () => { $("silence").hidden = !view.isEmpty; },
});
const summary = new SummaryView($, api, tell);
let shown = null; // "sessions/ID" or "conversations/ID"
let followed = null; // user whose past conversations are listed, null for everyone's
let wasLive = 0;
let reachable = true;

function tell(error) {
  const box = $("problem");
  const words = error ? [error.message, error.advice].filter(Boolean).join(" ") : "";
  write(box, words);
}

function showLink() {
  const words = !reachable ? "The relay cannot be reached. Trying again …"
    : shown?.startsWith("sessions/") && call.link === "reconnecting" ? "Reconnecting …" : "";
  write($("link"), words);
  document.body.dataset.link = words ? "broken" : "good";
  document.body.classList.toggle("live", call.isLive);
  if (!view.isEmpty) $("silence").hidden = true;
}

function title(user) {
  write($("who"), short(user));
  document.title = `${short(user)} – relay: coach`;
}

// Lists the past conversations of one learner, or everyone's for null.
function learner(user) {
  if (followed === user) return;
  followed = user;
  write($("past-title"), user === null ? "Earlier" : `Earlier with ${short(user)}`);
  $("past-all").hidden = user === null;
  lookBack();
}

async function open(address) {
  if (address === shown) return;
  shown = address;
  call.close();
  tell(null);
  document.body.dataset.view = address ? "talk" : "list";
  $("nothing").hidden = address !== null;
  $("talk").hidden = address === null;
  $("side").hidden = address === null;
  $("silence").hidden = true;
  lists.mark(address);
  view.clear();
  if (address === null) {
    document.title = "relay: coach";
    showLink();
    return;
  }
  summary.show(address);
  const [kind, id] = address.split("/");
  write($("who"), "");
  write($("about"), "");
  document.body.classList.toggle("past", kind === "conversations");
  if (kind === "sessions") call.open(id);
  else await read(address);
  if (address === shown) $("who").focus({ preventScroll: true });
}

async function read(address) {
  showLink();
  try {
    const { user_id: user, utterances } = await api.get(`${address}/transcript`);
    if (address !== shown) return;
    title(user);
    learner(user);
    view.all(utterances);
    write($("about"), utterances.length ? day(utterances[0].created_at) : "");
    $("standing").dataset.kind = "ended";
    write($("standing"), "over");
    $("silence").hidden = utterances.length > 0;
    $("scroller").scrollTop = 0;
  } catch (error) {
    tell(error);
  }
}

async function look() {
  if (document.visibilityState === "hidden") return;
  try {
    const { sessions } = await api.get("sessions");
    reachable = true;
    $("closed").hidden = true;
    lists.live(sessions);
    if (sessions.length < wasLive) lookBack();
    wasLive = sessions.length;
  } catch (error) {
    reachable = error.status !== 0;
    if (reachable) tell(error);
    if (error.status === 401) $(api.isClosed ? "closed" : "where").hidden = false;
  }
  showLink();
}

async function lookBack() {
  const whose = followed === null ? "" : `&user_id=${encodeURIComponent(followed)}`;
  try {
    const { conversations } = await api.get(`conversations?limit=30${whose}`);
    lists.past(conversations);
  } catch (error) {
    if (error.status !== 0) write($("past-none"), error.message);
  }
}

function go() {
  const [, kind, id] = ADDRESS.exec(location.hash) ?? [];
  open(kind ? `${kind}/${id}` : null);
}

async function begin() {
  $("too-old").hidden = true;
  write($("closed"), CLOSED);
  await enter();
  whenEntered(() => api.isClosed && location.reload());
  const hasToken = await api.hasOwnToken().catch(() => false);
  $("closed").hidden = !api.isClosed;
  if (api.isClosed) return;
  if (!hasToken) {
    $("where").hidden = false;
    $("token").focus();
    await new Promise((resolve) => {
      $("where").addEventListener("submit", (event) => {
        event.preventDefault();
        api.type($("token").value.trim());
        $("where").hidden = true;
        resolve();
      });
    });
  }
  $("back").addEventListener("click", () => { location.hash = ""; });
  $("past-all").addEventListener("click", () => learner(null));
  new Keys($("use-keys"), {
    p: () => call.pause(),
    l: () => call.listen(),
    t: () => call.takeOver(),
    e: () => call.end(),
    w: () => call.write("context"),
    s: () => call.write("say"),
    n: () => call.write("note"),
    j: () => lists.step(1),
    k: () => lists.step(-1),
    escape: leave,
  });
  addEventListener("hashchange", go);
  addEventListener("pagehide", () => call.close());
  document.addEventListener("visibilitychange", look);
  setInterval(look, POLL_EVERY);
  setInterval(() => call.tick(), 1000);
  await look();
  lookBack();
  go();
}

function leave() {
  if ($("keys").open) {
    $("keys").open = false;
    $("keys").querySelector("summary").focus();
  } else {
    location.hash = "";
  }
}

// For tests and debugging; without the token.
window.coachPage = {
  get session() { return call.session; },
  get link() { return call.link; },
  get heard() { return call.heard; },
};

begin();
