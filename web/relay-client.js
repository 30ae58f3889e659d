// A voice call from a browser to the relay, or to any other OpenAI Realtime server (GA).
// Types and events: relay-client.d.ts. Guide: docs/client.md.

import { Emitter } from "./client/emitter.js";
import { RelayError, missing } from "./client/errors.js";
import { Connection } from "./client/connection.js";
import { RelayEvents } from "./client/relay-events.js";
import { PushToTalk } from "./client/push-to-talk.js";
import { Renewal } from "./client/renewal.js";
import { created, merged, replayed, sessionOf, sessionUpdate } from "./client/setup.js";
import { Sound } from "./client/sound.js";
import { Transcript } from "./client/transcript.js";
import { Turn } from "./client/turn.js";
import { Uplink } from "./client/uplink.js";

export { openMicrophone } from "./client/microphone.js";
export { fromBase64, fromFloat, toBase64, toFloat } from "./client/pcm.js";
export { canChooseOutput, devices } from "./client/sound.js";
export { openSpeaker } from "./client/speaker.js";
export { RelayError, Transcript, missing };

const DEFAULTS = { protocols: ["realtime", "relay.v1"], reconnect: true };
const MOST_QUEUED = 50; // events that wait for a connection; later ones are dropped

export class RelayClient {
  transcript;
  counters = { audioDown: 0, flushes: 0, truncates: 0, played: 0, loudest: 0, reconnects: 0 };
  #emitter = new Emitter();
  #sound = new Sound({
    chunk: (samples) => this.#uplink.append(samples, this.#connection.socket),
    levels: (levels) => this.#emitter.emit("level", levels),
    progress: (report) => this.#progress(report),
    heard: (...heard) => this.#relay.heard(...heard),
    fault: (error) => this.#fault(error),
    lost: () => this.#showMicrophone(),
  });
  #connection = new Connection({
    ready: (again) => this.#ready(again),
    event: (event) => this.#take(event),
    phase: (detail) => this.#show(detail),
    isQuiet: () => ["listening", "paused"].includes(this.state),
    ended: (error) => this.#ended(error),
  });
  #relay = new RelayEvents({
    send: (event) => this.#connection.send(event),
    emit: (type, detail) => this.#emitter.emit(type, detail),
  });
  #renewal = new Renewal(() => this.#connection.token(), (token) => (
    this.#connection.send({ type: "relay.token", token })
  ));
  #uplink = new Uplink((ms) => {
    this.#emitter.emit("dropped", { direction: "up", ms });
    this.#fault(new RelayError("upload_slow"));
  });
  #push = new PushToTalk(this.#uplink, (event) => this.#connection.send(event));
  #turn = null;
  #options = null;
  #session = {};
  #queue = [];
  #shown = "idle";
  #stoppedAt = null;
  #brokenAt = null;
  #detection = { type: "server_vad" };

  // `transcript` is that of an earlier call, to which this one adds.
  constructor({ transcript = null } = {}) {
    this.transcript = transcript ?? new Transcript();
  }

  // Returns a function that removes the handler. relay-client.d.ts lists the events.
  on(type, handler) {
    return this.#emitter.on(type, handler);
  }

  // "idle", "connecting", "listening", "hearing", "thinking", "speaking", "paused", "reconnecting"
  // or "ended".
  get state() {
    if (this.#connection.phase !== "live") return this.#connection.phase;
    const turn = this.#turn.state;
    const isWaiting = turn === "listening" || turn === "thinking";
    return isWaiting && this.#relay.paused ? "paused" : turn;
  }

  get utterances() { return this.transcript.entries; }

  get conversationId() { return this.#relay.conversationId ?? this.#options?.conversationId ?? null; }

  get paused() { return this.#relay.paused; }

  get coach() { return this.#relay.coach; }

  get levels() { return this.#sound.levels; }

  get listening() { return this.#sound.microphone !== null; }

  get inputDevice() { return this.#sound.microphone?.deviceId ?? null; }

  get muted() { return this.#sound.muted; }

  get pushToTalk() { return this.#push.on; }

  // The AudioNode that plays everything, for a page that records or draws it; null before `connect`.
  get output() { return this.#sound.speaker?.node ?? null; }

  // One client is one call. Call this from a click or a key press, because browsers do not play sound
  // before one. Resolves when the voice is ready; rejects with the RelayError that ended the call.
  async connect(options) {
    const lacking = missing();
    if (lacking) throw lacking;
    if (this.#connection.phase !== "idle") throw new RelayError("already_connected");
    this.#options = { ...DEFAULTS, ...options };
    this.#session = merged(sessionOf(this.#options), this.#session);
    const since = performance.now();
    const sound = this.#sound.open().then(() => { this.#turn = this.#newTurn(); });
    await this.#connection.open(this.#options, () => this.conversationId, sound);
    this.#emitter.emit("latency", { kind: "connect", ms: performance.now() - since });
  }

  // Opens the microphone, or switches to another one. Rejects with a RelayError; the call continues.
  async listen({ deviceId = null } = {}) {
    await this.#sound.listen(deviceId);
    this.#showMicrophone();
  }

  deafen() {
    this.#sound.deafen();
    this.#showMicrophone();
  }

  // The microphone stays open and records silence, so that the server's turn detection ends a turn.
  mute(muted = true) {
    this.#sound.mute(muted);
    this.#uplink.muted = muted;
    this.#showMicrophone();
  }

  // A written message interrupts like speech; before the voice is ready it is queued.
  say(text) {
    this.#whenReady(() => {
      this.#turn.cut();
      this.#connection.send(created({
        type: "message", role: "user", content: [{ type: "input_text", text }],
      }));
      this.#turn.ask();
    });
  }

  // Returns the result of a `function_call`; the model continues with it.
  answer(callId, output) {
    const text = typeof output === "string" ? output : JSON.stringify(output);
    this.#whenReady(() => {
      this.#connection.send(created({ type: "function_call_output", call_id: callId, output: text }));
      this.#turn.ask();
    });
  }

  // Sends any event of the Realtime API that has no method here.
  send(event) {
    this.#whenReady(() => this.#connection.send(event));
  }

  // Sets fields of the session, also after reconnecting; fields that the server locks do not change.
  update(session) {
    this.#session = merged(this.#session, session);
    this.#connection.send(sessionUpdate(session));
  }

  // Stops playback; the engine is told how much of its answer was heard.
  interrupt() {
    this.#turn?.cut();
    this.#show();
  }

  usePushToTalk(use = true) {
    this.#push.on = use;
    this.update({ audio: { input: { turn_detection: use ? null : this.#detection } } });
    this.#showMicrophone();
  }

  press() {
    if (this.#connection.phase === "live") this.#push.press(this.#turn);
    this.#show();
  }

  release() {
    if (this.#connection.phase === "live") this.#push.release(this.#turn);
    this.#show();
  }

  // "" is the system's default. Only if `canChooseOutput()`.
  setOutput(deviceId) {
    return this.#sound.setOutput(deviceId);
  }

  close() {
    this.#connection.end();
  }

  #newTurn() {
    return new Turn(this.#sound.speaker, this.counters, {
      send: (event) => this.#connection.send(event),
      fault: (error) => this.#fault(new RelayError("server_error", { message: error?.message })),
      cut: (item, ms) => this.#relay.heard(item, ms, true),
      stopped: () => { this.#stoppedAt = performance.now(); },
    });
  }

  #whenReady(act) {
    if (["idle", "ended"].includes(this.#connection.phase)) throw new RelayError("not_connected");
    if (this.#connection.phase === "live") act();
    else if (this.#queue.length < MOST_QUEUED) this.#queue.push(act);
    this.#show();
  }

  #ready(again) {
    if (Object.keys(this.#session).length > 0) this.#connection.send(sessionUpdate(this.#session));
    // A relay remembers the conversation; any other server needs it again.
    if (again && this.#relay.conversationId === null) {
      for (const event of replayed(this.utterances)) this.#connection.send(event);
    }
    this.#uplink.drain(this.#connection.socket);
    for (const act of this.#queue.splice(0)) act();
    if (again) {
      this.counters.reconnects += 1;
      this.#emitter.emit("reconnected", { lostMs: Math.round(performance.now() - this.#brokenAt) });
    }
    this.#show();
  }

  #take(event) {
    if (event.type === "session.created") {
      this.#detection = event.session?.audio?.input?.turn_detection ?? this.#detection;
    }
    this.#turn.take(event);
    this.#relay.take(event);
    if (event.type === "relay.session") this.#renewal.until(event.expires_at);
    if (event.type === "relay.reconnect") this.#connection.move(event.after_ms ?? 0);
    if (event.type === "response.output_item.done") this.#called(event.item);
    this.#written(this.transcript.apply(event));
    this.#emitter.emit("event", event);
    this.#show();
  }

  #called(item) {
    if (item?.type !== "function_call") return;
    const { call_id: callId, name, arguments: text } = item;
    this.#emitter.emit("function_call", { callId, name, arguments: text });
  }

  #written(changed) {
    if (changed.length === 0) return;
    this.#emitter.emit("transcript", { utterances: this.utterances, changed });
  }

  #progress({ progress, level, playing }) {
    this.counters.played = progress;
    this.counters.loudest = Math.max(this.counters.loudest, level);
    if (playing && this.#stoppedAt !== null) {
      this.#emitter.emit("latency", { kind: "answer", ms: performance.now() - this.#stoppedAt });
      this.#stoppedAt = null;
    }
    this.#show();
  }

  // Emits a change of `state`, and every phase, because its details may be new.
  #show(detail = null) {
    if (this.#connection.phase === "reconnecting" && detail) this.#broken(detail);
    const { state } = this;
    if (state === this.#shown && detail === null) return;
    this.#shown = state;
    this.#emitter.emit("state", { state, ...detail });
  }

  #showMicrophone() {
    const { listening, muted, pushToTalk, inputDevice: deviceId } = this;
    this.#emitter.emit("microphone", { listening, muted, pushToTalk, deviceId });
  }

  // Unfinished utterances of the lost connection stay as far as they came.
  #broken({ error, inMs }) {
    if (this.#shown !== "reconnecting") this.#brokenAt = performance.now();
    this.#sound.speaker.finishAll();
    this.#turn = this.#newTurn();
    this.#push.drop();
    this.#renewal.stop();
    this.#relay.reset();
    this.#written(this.transcript.settle());
    this.#emitter.emit("reconnecting", { error, inMs });
  }

  #fault(error) {
    this.#emitter.emit("error", error);
    this.#show();
  }

  #ended(error) {
    this.#renewal.stop();
    this.#sound.close();
    this.#queue = [];
    this.#written(this.transcript.settle());
    this.#emitter.emit("ended", { error });
  }
}
