// Plays a queue of answers and counts how much of each was really played.
//
// In:  {play, index, samples}  more audio of item `play`, content part `index`
//      {finish}                no more audio of item `finish` will come
//      {flush}                 silence now; answered by `flushed` with the same number
// Out: {progress, level, playing, item, played}  samples played so far, in all and of the item that
//                              is playing; every few quanta and at each change
//      {ended, played}         an item was played to its end
//      {flushed, cut}              `cut`: items not played to their end, [{item, index, played}]

const QUANTUM = 128; // samples per call, 5.3 ms
const START = 1440; // jitter buffer: playback starts when 60 ms are queued …
const PATIENCE = 12; // … or when the first of them have waited for this many quanta (64 ms)
const REPORT = 8; // quanta between two reports
const MOST = 24000 * 600; // ten minutes: audio beyond that is dropped, to limit memory

class Playback extends AudioWorkletProcessor {
  #queue = []; // {item, samples, at}
  #items = new Map(); // item -> {index, played, waiting, finished}
  #waiting = 0;
  #held = 0;
  #flowing = false;
  #tail = null;
  #progress = 0;
  #energy = 0;
  #quanta = 0;
  #wasPlaying = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if ("play" in data) this.#add(data.play, data.index, data.samples);
      else if ("finish" in data) this.#finish(data.finish);
      else this.#flush(data.flush);
    };
  }

  #add(item, index, samples) {
    if (this.#waiting + samples.length > MOST) return;
    if (!this.#items.has(item)) {
      this.#items.set(item, { index, played: 0, waiting: 0, finished: false });
    }
    this.#items.get(item).waiting += samples.length;
    this.#queue.push({ item, samples, at: 0 });
    this.#waiting += samples.length;
  }

  #finish(item) {
    const known = this.#items.get(item);
    if (!known) return;
    known.finished = true;
    this.#forgetIfOver(item, known);
  }

  #flush(number) {
    const cut = [...this.#items].map(([item, { index, played }]) => ({ item, index, played }));
    if (this.#flowing) this.#tail = this.#take(new Float32Array(QUANTUM));
    this.#queue = [];
    this.#items.clear();
    this.#waiting = 0;
    this.#flowing = false;
    this.port.postMessage({ flushed: number, cut });
    this.#report();
  }

  process(_inputs, [[channel]]) {
    if (this.#tail) {
      // A hard cut clicks: the last quantum fades out instead.
      for (let at = 0; at < channel.length; at += 1) {
        channel[at] = this.#tail[at] * (1 - at / channel.length);
      }
      this.#tail = null;
    } else if (this.#mayFlow()) {
      this.#take(channel);
    }
    this.#quanta += 1;
    if (this.#quanta % REPORT === 0 || Boolean(this.#playing()) !== this.#wasPlaying) {
      this.#report();
    }
    return true;
  }

  #mayFlow() {
    if (this.#waiting === 0) {
      this.#flowing = false;
      this.#held = 0;
    } else if (!this.#flowing) {
      this.#held += 1;
      this.#flowing = this.#waiting >= START || this.#held > PATIENCE;
    }
    return this.#flowing;
  }

  #take(out) {
    let filled = 0;
    while (filled < out.length && this.#queue.length > 0) {
      const head = this.#queue[0];
      const count = Math.min(out.length - filled, head.samples.length - head.at);
      for (let n = 0; n < count; n += 1) {
        const sample = head.samples[head.at + n] / 32768;
        out[filled + n] = sample;
        this.#energy += sample * sample;
      }
      filled += count;
      head.at += count;
      this.#played(head.item, count);
      if (head.at === head.samples.length) this.#queue.shift();
    }
    return out;
  }

  #played(item, count) {
    const known = this.#items.get(item);
    known.played += count;
    known.waiting -= count;
    this.#waiting -= count;
    this.#progress += count;
    this.#forgetIfOver(item, known);
  }

  #forgetIfOver(item, { finished, waiting, played }) {
    if (!finished || waiting > 0) return;
    this.#items.delete(item);
    this.port.postMessage({ ended: item, played });
  }

  // The item that is playing or waiting for the network; null in silence.
  #playing() {
    for (const [item, { played }] of this.#items) if (played > 0) return { item, played };
    return null;
  }

  #report() {
    const now = this.#playing();
    const playing = now !== null;
    if (!playing && !this.#wasPlaying) return;
    const level = Math.sqrt(this.#energy / (REPORT * QUANTUM));
    this.port.postMessage({ progress: this.#progress, level, playing, ...now });
    this.#wasPlaying = playing;
    this.#energy = 0;
  }
}

registerProcessor("relay-playback", Playback);
