// Records PCM16 at 24 kHz in chunks of 20 ms, each with its level, at any rate of the device.
//
// Out: {samples, level}  480 samples, and their root mean square from 0 to 1

const RATE = 24000;
const CHUNK = 480; // samples: 20 ms, like most clients
const PHASES = 160; // filters, one for each position between two input samples
const REACH = 12; // zero crossings of the filter on each side

class Capture extends AudioWorkletProcessor {
  #chunk = new Int16Array(CHUNK);
  #filled = 0;
  #energy = 0;
  #rate = sampleRate === RATE ? null : new Resampler(sampleRate, RATE);

  process([[channel]]) {
    const samples = channel ?? [];
    for (const sample of this.#rate?.resample(samples) ?? samples) this.#take(sample);
    return true;
  }

  #take(sample) {
    const value = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    this.#chunk[this.#filled] = value;
    this.#energy += (value / 32768) ** 2;
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

// Resamples with a windowed sinc, for browsers that open a microphone only at the device's own rate.
class Resampler {
  #step;
  #half;
  #filters;
  #known;
  #at;

  constructor(from, to) {
    const narrow = Math.min(1, (to / from) * 0.94); // share of the input's band that the output can represent
    this.#step = from / to;
    this.#half = Math.ceil(REACH / narrow);
    this.#known = new Float32Array(2 * this.#half);
    this.#at = this.#half;
    this.#filters = Array.from({ length: PHASES }, (_, phase) => (
      lowPass(this.#half, phase / PHASES, narrow)
    ));
  }

  resample(samples) {
    const input = new Float32Array(this.#known.length + samples.length);
    input.set(this.#known);
    input.set(samples, this.#known.length);
    const out = [];
    while (Math.floor(this.#at) + this.#half + 1 < input.length) {
      out.push(this.#one(input));
      this.#at += this.#step;
    }
    const used = Math.max(0, Math.floor(this.#at) - this.#half);
    this.#known = input.slice(used);
    this.#at -= used;
    return out;
  }

  #one(input) {
    const nearest = Math.round(this.#at * PHASES);
    const filter = this.#filters[nearest % PHASES];
    const from = Math.floor(nearest / PHASES) - this.#half + 1;
    let sum = 0;
    for (let n = 0; n < filter.length; n += 1) sum += filter[n] * input[from + n];
    return sum;
  }
}

function lowPass(half, phase, narrow) {
  const taps = Float64Array.from({ length: 2 * half }, (_, n) => {
    const x = n - half + 1 - phase;
    const sinc = x === 0 ? 1 : Math.sin(Math.PI * narrow * x) / (Math.PI * narrow * x);
    return sinc * (0.5 + 0.5 * Math.cos((Math.PI * x) / (half + 1)));
  });
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return taps.map((tap) => tap / sum);
}

registerProcessor("relay-capture", Capture);
