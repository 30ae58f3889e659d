// Sends the microphone's audio; buffers a limited amount of it without a connection.

import { milliseconds, toBase64 } from "./pcm.js";

const MOST_UNSENT = 128 * 1024; // bytes in the socket's buffer: two seconds of speech
const MOST_WAITING = 250; // chunks of 20 ms that are buffered without a connection: five seconds
const SILENCE = 500; // chunks of silence after muting: ten seconds, so that any turn ends

export class Uplink {
  framesUp = 0;
  pushed = false; // push-to-talk: nothing is sent between two presses
  pressed = false;
  #muted = false;
  #silent = 0;
  #waiting = [];
  #lost = 0;
  #onLost;

  // `onLost(ms)` is called once at the end of a gap, with the length of the audio that was dropped.
  constructor(onLost) {
    this.#onLost = onLost;
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    this.#silent = 0;
  }

  // `socket` may be null or not ready: then the chunk is buffered, and the oldest is dropped if needed.
  append(samples, socket) {
    if (this.pushed && !this.pressed) return;
    if (this.#muted) {
      this.#silent += 1;
      if (this.#silent > SILENCE) return;
    }
    if (socket?.ready && socket.unsent <= MOST_UNSENT) {
      this.drain(socket);
      this.#send(samples, socket);
      return;
    }
    this.#waiting.push(samples);
    if (this.#waiting.length > MOST_WAITING) this.#lost += this.#waiting.shift().length;
  }

  // Sends the buffered audio first; it may come fast, because the server's clock is the audio itself.
  drain(socket) {
    if (this.#lost > 0) {
      this.#onLost(Math.round(milliseconds(this.#lost)));
      this.#lost = 0;
    }
    for (const samples of this.#waiting.splice(0)) this.#send(samples, socket);
  }

  #send(samples, socket) {
    socket.send({ type: "input_audio_buffer.append", audio: toBase64(samples) });
    this.framesUp += 1;
  }
}
