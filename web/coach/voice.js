// The coach's audio in one call: plays the learner and the voice, and sends the coach's speech.

import { RelayError, missing, openMicrophone, openSpeaker } from "../relay-client.js";

const RATE = 24000;
const CHANNELS = ["learner", "model"]; // by the first byte of a frame
const LATE = RATE * 1.5; // samples that may be queued before all of them are dropped
const CONNECT_WITHIN = 10_000; // ms
const MOST_UNSENT = 48_000; // bytes that the network has not taken yet: one second

// `listener` has: changed() after a change of `listening` or `speaking`, level(value) of the coach's own
// microphone from 0 to 1, and fault(error), a RelayError, when the connection or the microphone is lost.
export class Voice {
  listening = false;
  speaking = false;
  #api;
  #listener;
  #context = null;
  #speakers = [];
  #sent = [0, 0]; // samples passed to each speaker, without the dropped ones
  #played = [0, 0];
  #socket = null;
  #microphone = null;

  constructor(api, listener) {
    this.#api = api;
    this.#listener = listener;
  }

  // Call it from a click or a key press: browsers do not play sound before one.
  async listen(session) {
    if (this.listening) return;
    const lacking = missing();
    if (lacking) throw lacking;
    this.#context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    try {
      await this.#context.resume();
      this.#speakers = await Promise.all(CHANNELS.map((_, channel) => this.#speaker(channel)));
      this.#socket = await this.#open(session);
    } catch (error) {
      this.close();
      throw error;
    }
    this.listening = true;
    this.#listener.changed();
  }

  // Opens the microphone; the learner hears it after the takeover.
  async speak() {
    try {
      this.#microphone = await openMicrophone({
        context: this.#context,
        deviceId: null,
        onChunk: ({ samples, level }) => this.#say(samples, level),
        onLost: () => this.#broke(new RelayError("microphone_lost")),
      });
    } catch (cause) {
      if (cause instanceof RelayError) throw cause;
      const code = cause.name === "NotFoundError" ? "no_microphone" : "microphone_denied";
      throw new RelayError(code, { cause });
    }
    this.speaking = true;
    this.#listener.changed();
  }

  hush() {
    this.#microphone?.close();
    this.#microphone = null;
    this.speaking = false;
    this.#listener.level(0);
    this.#listener.changed();
  }

  close() {
    if (this.#socket) {
      this.#socket.onclose = null;
      this.#socket.close(1000);
    }
    this.#socket = null;
    this.#microphone?.close();
    this.#microphone = null;
    for (const speaker of this.#speakers) speaker.close();
    this.#speakers = [];
    this.#context?.close();
    this.#context = null;
    [this.#sent, this.#played] = [[0, 0], [0, 0]];
    [this.listening, this.speaking] = [false, false];
    this.#listener.level(0);
    this.#listener.changed();
  }

  // Samples that were played, by channel.
  get heard() { return Object.fromEntries(CHANNELS.map((name, n) => [name, this.#played[n]])); }

  #speaker(channel) {
    return openSpeaker(this.#context, {
      progress: ({ progress }) => { this.#played[channel] = progress; },
      heard: () => {},
    });
  }

  async #open(session) {
    const socket = await this.#api.socket(`sessions/${session}/voice`);
    socket.binaryType = "arraybuffer";
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => socket.close(), CONNECT_WITHIN);
      socket.onopen = () => {
        clearTimeout(late);
        resolve();
      };
      socket.onclose = () => reject(new RelayError("unreachable"));
    });
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code, reason }) => this.#broke(code === 1000 ? null : new RelayError(
      "connection_lost", { message: "The sound of this call was lost.", closeReason: reason },
    ));
    return socket;
  }

  // A byte for the channel, then PCM16. Text is the relay's explanation of a refusal.
  #hear(data) {
    if (typeof data === "string") return;
    const [channel] = new Uint8Array(data, 0, 1);
    const speaker = this.#speakers[channel];
    if (!speaker) return; // a channel of a newer relay
    const samples = new Int16Array(data.slice(1, data.byteLength - ((data.byteLength - 1) % 2)));
    if (this.#sent[channel] - this.#played[channel] > LATE) {
      // This tab was suspended: skip to the live audio.
      speaker.flush();
      this.#sent[channel] = this.#played[channel];
    }
    this.#sent[channel] += samples.length;
    speaker.play(CHANNELS[channel], 0, samples);
  }

  #say(samples, level) {
    this.#listener.level(level);
    if (this.#socket?.bufferedAmount < MOST_UNSENT) this.#socket.send(samples);
  }

  #broke(error) {
    this.close();
    if (error) this.#listener.fault(error);
  }
}
