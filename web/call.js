// One call: loudspeaker, microphone and connection, opened together and closed together.

import { openMicrophone } from "./audio/microphone.js";
import { RATE } from "./audio/pcm.js";
import { openSpeaker } from "./audio/speaker.js";
import {
  LOST_MICROPHONE, NO_SETTINGS, SLOW_UPLOAD, endingSentence, microphoneSentence, soundSentence,
} from "./sentences.js";
import { Voice } from "./voice.js";

// `listener` has: event(event), changed(), level(0 to 1), answer({level, progress, playing}),
// notice({what, todo}) for what does not end the call, and ended({what, todo} or null) once.
export class Call {
  counters = { played: 0, loudest: 0, connectMs: null, answerMs: null };
  #listener;
  #context = null;
  #speaker = null;
  #microphone = null;
  #voice = null;
  #over = false;
  #stoppedAt = null;

  constructor(listener) {
    this.#listener = listener;
  }

  get turn() {
    return this.#voice?.turn ?? "connecting";
  }

  get listening() {
    return this.#microphone !== null;
  }

  // `asked` promises {url, token}, or null when they cannot be had. With `text` the call starts by
  // saying it, without a microphone. Where something is missing, the call ends with the reason.
  async start(asked, text = null) {
    try {
      // Permission to play and to record is tied to the click: ask before anything else.
      this.#context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      await this.#context.resume();
      this.#speaker = await openSpeaker(this.#context, (report) => this.#answered(report));
    } catch (error) {
      this.end(soundSentence(error));
    }
    if (text === null && !this.#over) await this.listen();
    const settings = await asked;
    if (this.#over) return;
    if (settings) this.#connect(settings, text);
    else this.end(NO_SETTINGS);
  }

  #connect(settings, text) {
    const from = performance.now();
    this.#voice = new Voice(settings, this.#speaker, {
      event: (event) => this.#heard(event, from),
      changed: () => this.#listener.changed(),
      warning: (what) => this.#listener.notice({ what, todo: "" }),
      slow: () => this.#listener.notice(SLOW_UPLOAD),
      ended: (end) => this.end(endingSentence(end)),
    });
    if (text !== null) this.#voice.say(text);
  }

  async listen() {
    try {
      const microphone = await openMicrophone(
        this.#context,
        ({ samples, level }) => {
          this.#listener.level(level);
          this.#voice?.append(samples);
        },
        () => this.end(LOST_MICROPHONE),
      );
      if (this.#over) microphone.close();
      else this.#microphone = microphone;
    } catch (error) {
      // A call that began by writing goes on without a microphone.
      if (this.#voice) this.#listener.notice(microphoneSentence(error));
      else this.end(microphoneSentence(error));
    }
  }

  say(text) {
    this.#voice.say(text);
  }

  end(sentence = null) {
    if (this.#over) return;
    this.#over = true;
    this.#voice?.close();
    this.#microphone?.close();
    this.#speaker?.close();
    this.#context?.close();
    this.#listener.ended(sentence);
  }

  // Numbers for the tests and for the curious; no token, no word.
  get numbers() {
    return { ...this.counters, ...this.#voice?.counters };
  }

  #heard(event, from) {
    if (event.type === "session.created") this.counters.connectMs = performance.now() - from;
    if (event.type === "input_audio_buffer.speech_stopped") this.#stoppedAt = performance.now();
    this.#listener.event(event);
  }

  #answered(report) {
    this.counters.played = report.progress;
    this.counters.loudest = Math.max(this.counters.loudest, report.level);
    if (report.playing && this.#stoppedAt !== null) {
      this.counters.answerMs = performance.now() - this.#stoppedAt;
      this.#stoppedAt = null;
    }
    this.#listener.answer(report);
    this.#listener.changed();
  }
}
