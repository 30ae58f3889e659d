// The microphone's end: gathers samples into chunks of 20 ms and says how loud each is.

const CHUNK = 480; // samples: 20 ms at 24 kHz, as most clients send

class Capture extends AudioWorkletProcessor {
  #chunk = new Int16Array(CHUNK);
  #filled = 0;
  #energy = 0;

  process([[channel]]) {
    for (const sample of channel ?? []) this.#take(sample);
    return true;
  }

  #take(sample) {
    const clipped = Math.max(-1, Math.min(1, sample));
    this.#chunk[this.#filled] = clipped * 32767;
    this.#energy += clipped * clipped;
    this.#filled += 1;
    if (this.#filled === CHUNK) this.#deliver();
  }

  #deliver() {
    const samples = this.#chunk;
    this.port.postMessage({ samples, level: Math.sqrt(this.#energy / CHUNK) }, [samples.buffer]);
    this.#chunk = new Int16Array(CHUNK);
    this.#filled = 0;
    this.#energy = 0;
  }
}

registerProcessor("capture", Capture);
