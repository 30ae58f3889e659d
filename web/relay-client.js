// A voice call from a browser: to the relay, or to anything else that speaks OpenAI Realtime (GA).
// Types and events: relay-client.d.ts. How to use it: docs/client.md.

import { Emitter } from "./client/emitter.js";
import { RelayError, missing } from "./client/errors.js";
import { Line } from "./client/line.js";
import { Own } from "./client/own.js";
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
const MOST_QUEUED = 50; // events that wait for a connection; the eldest are kept

export class RelayClient {
  transcript;
  counters = { audioDown: 0, flushes: 0, truncates: 0, played: 0, loudest: 0, reconnects: 0 };
  #emitter = new Emitter();
  #sound = new Sound({
    chunk: (samples) => this.#uplink.append(samples, this.#line.socket),
    levels: (levels) => this.#emitter.emit("level", levels),
    progress: (report) => this.#progress(report),
    heard: (...heard) => this.#own.heard(...heard),
    fault: (error) => this.#fault(error),
    lost: () => this.#showMicrophone(),
  });
  #line = new Line({
    greeted: (again) => this.#greeted(again),
    event: (event) => this.#take(event),
    phase: (detail) => this.#show(detail),
    quiet: () => ["listening", "paused"].includes(this.state),
    ended: (error) => this.#ended(error),
  });
  #own = new Own({
    send: (event) => this.#line.send(event),
    emit: (type, detail) => this.#emitter.emit(type, detail),
  });
  #renewal = new Renewal(() => this.#line.token(), (token) => (
    this.#line.send({ type: "relay.token", token })
  ));
  #uplink = new Uplink((ms) => {
    this.#emitter.emit("dropped", { direction: "up", ms });
    this.#fault(new RelayError("upload_slow"));
  });
  #push = new PushToTalk(this.#uplink, (event) => this.#line.send(event));
  #turn = null;
  #wishes = null;
  #session = {};
  #queue = [];
  #shown = "idle";
  #stoppedAt = null;
  #brokenAt = null;
  #detection = { type: "server_vad" };

  // With `transcript`, that of an earlier call, the words of this one are added to it.
  constructor({ transcript = null } = {}) {
    this.transcript = transcript ?? new Transcript();
  }

  // Answers a function that ends it. The events are in relay-client.d.ts.
  on(type, handler) {
    return this.#emitter.on(type, handler);
  }

  // "idle", "connecting", "listening", "hearing", "thinking", "speaking", "paused", "reconnecting"
  // or "ended".
  get state() {
    if (this.#line.phase !== "live") return this.#line.phase;
    const turn = this.#turn.state;
    const waits = turn === "listening" || turn === "thinking";
    return waits && this.#own.paused ? "paused" : turn;
  }

  get utterances() { return this.transcript.entries; }

  get conversationId() { return this.#own.conversationId ?? this.#wishes?.conversationId ?? null; }

  get paused() { return this.#own.paused; }

  get coach() { return this.#own.coach; }

  get levels() { return this.#sound.levels; }

  get listening() { return this.#sound.microphone !== null; }

  get inputDevice() { return this.#sound.microphone?.deviceId ?? null; }

  get muted() { return this.#sound.muted; }

  get pushToTalk() { return this.#push.on; }

  // The AudioNode that everything is heard through, for who records or draws it; null before.
  get output() { return this.#sound.speaker?.node ?? null; }

  // One client is one call. Call it from a click or a key: browsers want one before they play.
  // Resolves when the voice is ready; rejects with the RelayError that ended the call.
  async connect(wishes) {
    const lacking = missing();
    if (lacking) throw lacking;
    if (this.#line.phase !== "idle") throw new RelayError("already_connected");
    this.#wishes = { ...DEFAULTS, ...wishes };
    this.#session = merged(sessionOf(this.#wishes), this.#session);
    const since = performance.now();
    const sound = this.#sound.open().then(() => { this.#turn = this.#newTurn(); });
    await this.#line.open(this.#wishes, () => this.conversationId, sound);
    this.#emitter.emit("latency", { kind: "connect", ms: performance.now() - since });
  }

  // Opens the microphone, or another one. Rejects with a RelayError; the call itself goes on.
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

  // A written message interrupts like a spoken one; before the voice is ready it waits.
  say(text) {
    this.#whenReady(() => {
      this.#turn.cut();
      this.#line.send(created({
        type: "message", role: "user", content: [{ type: "input_text", text }],
      }));
      this.#turn.ask();
    });
  }

  // The result of a `function_call`; the voice goes on with it.
  answer(callId, output) {
    const text = typeof output === "string" ? output : JSON.stringify(output);
    this.#whenReady(() => {
      this.#line.send(created({ type: "function_call_output", call_id: callId, output: text }));
      this.#turn.ask();
    });
  }

  // Any event of the Realtime API, for what has no method here.
  send(event) {
    this.#whenReady(() => this.#line.send(event));
  }

  // Fields of the session, kept across a reconnect; what the server locks stays as it is.
  update(session) {
    this.#session = merged(this.#session, session);
    this.#line.send(sessionUpdate(session));
  }

  // Silence now; the voice is told how much of its answer was heard.
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
    if (this.#line.phase === "live") this.#push.press(this.#turn);
    this.#show();
  }

  release() {
    if (this.#line.phase === "live") this.#push.release(this.#turn);
    this.#show();
  }

  // "" is the system's own choice. Only where `canChooseOutput()`.
  setOutput(deviceId) {
    return this.#sound.setOutput(deviceId);
  }

  close() {
    this.#line.end();
  }

  #newTurn() {
    return new Turn(this.#sound.speaker, this.counters, {
      send: (event) => this.#line.send(event),
      fault: (error) => this.#fault(new RelayError("server_error", { message: error?.message })),
      cut: (item, ms) => this.#own.heard(item, ms, true),
      stopped: () => { this.#stoppedAt = performance.now(); },
    });
  }

  #whenReady(act) {
    if (["idle", "ended"].includes(this.#line.phase)) throw new RelayError("not_connected");
    if (this.#line.phase === "live") act();
    else if (this.#queue.length < MOST_QUEUED) this.#queue.push(act);
    this.#show();
  }

  #greeted(again) {
    if (Object.keys(this.#session).length > 0) this.#line.send(sessionUpdate(this.#session));
    // The relay knows what was said; any other server has to be told.
    if (again && this.#own.conversationId === null) {
      for (const event of replayed(this.utterances)) this.#line.send(event);
    }
    this.#uplink.drain(this.#line.socket);
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
    this.#own.take(event);
    if (event.type === "relay.session") this.#renewal.until(event.expires_at);
    if (event.type === "relay.reconnect") this.#line.move(event.after_ms ?? 0);
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

  // Tells of a change of `state`; of a phase always, since its details may be new.
  #show(detail = null) {
    if (this.#line.phase === "reconnecting" && detail) this.#broken(detail);
    const { state } = this;
    if (state === this.#shown && detail === null) return;
    this.#shown = state;
    this.#emitter.emit("state", { state, ...detail });
  }

  #showMicrophone() {
    const { listening, muted, pushToTalk, inputDevice: deviceId } = this;
    this.#emitter.emit("microphone", { listening, muted, pushToTalk, deviceId });
  }

  // What was being said on the lost connection stays as far as it came.
  #broken({ error, inMs }) {
    if (this.#shown !== "reconnecting") this.#brokenAt = performance.now();
    this.#sound.speaker.finishAll();
    this.#turn = this.#newTurn();
    this.#push.drop();
    this.#renewal.stop();
    this.#own.reset();
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
