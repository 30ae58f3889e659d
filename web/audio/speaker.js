// The page's half of playback: hands answers to the worklet and learns how much was heard.

import { milliseconds } from "./pcm.js";

export async function openSpeaker(context, onProgress) {
  await context.audioWorklet.addModule(new URL("playback-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "playback", {
    numberOfInputs: 0,
    outputChannelCount: [1],
  });
  node.connect(context.destination);
  return new Speaker(context, node, onProgress);
}

class Speaker {
  // Items that were handed over and neither played to their end nor flushed.
  live = new Set();
  playing = false;
  #context;
  #node;
  #onProgress;
  #flushes = new Map();
  #number = 0;

  constructor(context, node, onProgress) {
    this.#context = context;
    this.#node = node;
    this.#onProgress = onProgress;
    node.port.onmessage = ({ data }) => this.#heard(data);
  }

  play(item, index, samples) {
    this.live.add(item);
    this.#node.port.postMessage({ play: item, index, samples }, [samples.buffer]);
  }

  finish(item) {
    this.#node.port.postMessage({ finish: item });
  }

  finishAll() {
    for (const item of this.live) this.finish(item);
  }

  // Silence at once. Resolves to what was cut: [{item, index, playedMs}] in order of playing.
  flush() {
    this.live.clear();
    this.#number += 1;
    this.#node.port.postMessage({ flush: this.#number });
    return new Promise((resolve) => this.#flushes.set(this.#number, resolve));
  }

  close() {
    this.#node.port.onmessage = null;
    this.#node.disconnect();
  }

  #heard(report) {
    if ("ended" in report) {
      this.live.delete(report.ended);
    } else if ("flushed" in report) {
      this.#flushes.get(report.flushed)(report.cut.map((cut) => this.#inMilliseconds(cut)));
      this.#flushes.delete(report.flushed);
    } else {
      this.playing = report.playing;
      this.#onProgress(report);
    }
  }

  #inMilliseconds({ item, index, played }) {
    // What was rendered last is still on its way to the ear.
    const { baseLatency = 0, outputLatency = 0 } = this.#context;
    const late = (baseLatency + outputLatency) * 1000;
    return { item, index, playedMs: Math.max(0, Math.floor(milliseconds(played) - late)) };
  }
}
