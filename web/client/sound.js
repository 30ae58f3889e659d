// The audio of a call: one audio context, its speaker, and its microphone while it is open.

import { RelayError, errorOfMicrophone, errorOfSound } from "./errors.js";
import { openMicrophone } from "./microphone.js";
import { RATE } from "./pcm.js";
import { keepRunning } from "./running.js";
import { openSpeaker } from "./speaker.js";

// `listener` has: chunk(samples) every 20 ms while the microphone is open, levels({input, output}),
// progress(report) and heard(item, ms, last) as in speaker.js, fault(error) for a RelayError that does
// not end the call, and lost() when the microphone was disconnected.
export class Sound {
  levels = { input: 0, output: 0 };
  muted = false;
  speaker = null;
  microphone = null;
  #context = null;
  #listener;
  #opening = null;
  #closed = false;
  #leave = () => {};

  constructor(listener) {
    this.#listener = listener;
  }

  // Rejects with a RelayError if the browser cannot play.
  open() {
    this.#opening = this.#open();
    return this.#opening;
  }

  async #open() {
    try {
      // The permission to play depends on the click: ask before anything else.
      this.#context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      const context = this.#context;
      this.#leave = await keepRunning(context, (again) => {
        this.#listener.fault(new RelayError(again ? "sound_stopped" : "sound_blocked"));
      });
      if (this.#closed) this.#leave();
      const speaker = await openSpeaker(context, {
        progress: (report) => this.#played(report),
        heard: (...heard) => this.#listener.heard(...heard),
      });
      if (this.#context === context) this.speaker = speaker;
    } catch (error) {
      if (!this.#closed) throw errorOfSound(error);
    }
  }

  // Opens the microphone, or another one in its place.
  async listen(deviceId) {
    await this.#opening;
    const context = this.#context;
    if (context === null) throw new RelayError("not_connected");
    let opened;
    try {
      opened = await openMicrophone({
        context,
        deviceId,
        onChunk: ({ samples, level }) => {
          this.#level({ input: level });
          this.#listener.chunk(samples);
        },
        onMuted: () => this.#listener.fault(new RelayError("microphone_muted")),
        onLost: () => {
          this.deafen();
          this.#listener.lost();
          this.#listener.fault(new RelayError("microphone_lost"));
        },
      });
    } catch (error) {
      throw errorOfMicrophone(error);
    }
    if (this.#context !== context) {
      opened.close();
      throw new RelayError("not_connected");
    }
    this.microphone?.close();
    this.microphone = opened;
    opened.muted = this.muted;
  }

  mute(muted) {
    this.muted = muted;
    if (this.microphone) this.microphone.muted = muted;
  }

  deafen() {
    this.microphone?.close();
    this.microphone = null;
    this.#level({ input: 0 });
  }

  async setOutput(deviceId) {
    try {
      await this.#context?.setSinkId(deviceId);
    } catch (error) {
      throw errorOfSound(error);
    }
  }

  close() {
    const context = this.#context;
    this.#closed = true;
    this.#context = null;
    this.#leave();
    this.microphone?.close();
    this.speaker?.close();
    this.microphone = null;
    context?.close();
  }

  #played(report) {
    this.#level({ output: report.playing ? report.level : 0 });
    this.#listener.progress(report);
  }

  #level(change) {
    this.levels = { ...this.levels, ...change };
    this.#listener.levels(this.levels);
  }
}

// {inputs, outputs}, each [{deviceId, label}]; labels are empty until the microphone is allowed.
export async function devices() {
  const all = await navigator.mediaDevices.enumerateDevices();
  const of = (kind) => all
    .filter((device) => device.kind === kind && device.deviceId !== "")
    .map(({ deviceId, label }) => ({ deviceId, label }));
  return { inputs: of("audioinput"), outputs: of("audiooutput") };
}

export const canChooseOutput = () => typeof AudioContext.prototype.setSinkId === "function";
