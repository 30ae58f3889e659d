// The browser client's own player, driven quantum by quantum without a sound card or a clock.
//
// stdin: [[[ms, "item", samples], ...], ...], a list of arrivals for each call in the order of
// time; no samples stand for the item's end. stdout: for each call how many samples had been played
// after each quantum.

import { readFileSync } from "node:fs";

const QUANTUM = 128;
const RATE = 24; // samples a millisecond

globalThis.AudioWorkletProcessor = class { port = { postMessage() {} }; };
let Player;
globalThis.registerProcessor = (_, made) => { Player = made; };
await import(new URL("../../web/client/playback-worklet.js", import.meta.url));

function played(arrivals) {
  const player = new Player();
  const total = arrivals.reduce((sum, [, , samples]) => sum + samples, 0);
  const counts = [];
  let [count, next] = [0, 0];
  while (count < total) {
    const now = (counts.length * QUANTUM) / RATE;
    while (next < arrivals.length && arrivals[next][0] <= now) {
      const [, item, samples] = arrivals[next];
      next += 1;
      player.port.onmessage({
        data: samples === 0
          ? { finish: item }
          : { play: item, index: 0, samples: new Int16Array(samples).fill(1) },
      });
    }
    const out = new Float32Array(QUANTUM);
    player.process([], [[out]]);
    count += out.filter(Boolean).length;
    counts.push(count);
  }
  return counts;
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(played)));
