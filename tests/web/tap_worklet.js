// Writes down what is really heard: 24 quanta at a time, with the frame at which they began.

class Tap extends AudioWorkletProcessor {
  #chunk = new Int16Array(24 * 128);
  #filled = 0;

  process([[channel]]) {
    if (this.#filled === 0) this.from = currentFrame;
    if (channel) {
      for (let at = 0; at < 128; at += 1) this.#chunk[this.#filled + at] = channel[at] * 32768;
    }
    this.#filled += 128;
    if (this.#filled === this.#chunk.length) {
      this.port.postMessage({ from: this.from, samples: this.#chunk }, [this.#chunk.buffer]);
      this.#chunk = new Int16Array(24 * 128);
      this.#filled = 0;
    }
    return true;
  }
}

registerProcessor("tap", Tap);
