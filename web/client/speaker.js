// Passes audio to the playback worklet and reports how much of each item was heard.

import { milliseconds } from "./pcm.js";

// `listener` has: progress({progress, level, playing}), and heard(item, ms, last) while an item plays
// and, with `last`, at its end. `context` must run at 24 kHz.
export async function openSpeaker(context, listener) {
  await context.audioWorklet.addModule(new URL("./playback-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "relay-playback", {
    numberOfInputs: 0,
    outputChannelCount: [1],
  });
  node.connect(context.destination);
  return new Speaker(context, node, listener);
}

class Speaker {
  // Items that were neither played to their end nor flushed.
  live = new Set();
  playing = false;
  #context;
  #listener;
  #flushes = new Map();
  #number = 0;

  constructor(context, node, listener) {
    this.#context = context;
    this.node = node;
    this.#listener = listener;
    node.port.onmessage = ({ data }) => this.#told(data);
  }

  // Transfers the samples: the caller's array is empty afterwards.
  play(item, index, samples) {
    this.live.add(item);
    this.node.port.postMessage({ play: item, index, samples }, [samples.buffer]);
  }

  // No more sound of this item will come.
  finish(item) {
    this.node.port.postMessage({ finish: item });
  }

  finishAll() {
    for (const item of this.live) this.finish(item);
  }

  // Stops at once. Resolves to the items that were cut: [{item, index, playedMs}] in order of playing.
  flush() {
    this.live.clear();
    this.#number += 1;
    this.node.port.postMessage({ flush: this.#number });
    return new Promise((resolve) => this.#flushes.set(this.#number, resolve));
  }

  close() {
    this.node.port.onmessage = null;
    this.node.disconnect();
    for (const resolve of this.#flushes.values()) resolve([]);
    this.#flushes.clear();
  }

  #told(report) {
    if ("ended" in report) {
      this.live.delete(report.ended);
      this.#listener.heard(report.ended, Math.floor(milliseconds(report.played)), true);
    } else if ("flushed" in report) {
      const cut = report.cut.map(({ item, index, played }) => (
        { item, index, playedMs: this.#heardMs(played) }
      ));
      this.#flushes.get(report.flushed)?.(cut);
      this.#flushes.delete(report.flushed);
    } else {
      this.playing = report.playing;
      this.#listener.progress(report);
      if (report.item !== undefined) {
        this.#listener.heard(report.item, this.#heardMs(report.played), false);
      }
    }
  }

  // The audio that was rendered last has not reached the loudspeaker yet.
  #heardMs(samples) {
    const { baseLatency = 0, outputLatency = 0 } = this.#context;
    const late = (baseLatency + outputLatency) * 1000;
    return Math.max(0, Math.floor(milliseconds(samples) - late));
  }
}
