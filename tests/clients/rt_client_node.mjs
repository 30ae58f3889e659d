// The conversation as npm's `rt-client` holds it, Azure's client of the beta, unchanged: it knows few
// events, and ends the call at any other. Prints what it was told, the seconds of sound that were
// played, and the errors. `transcription` asks for the learner's words.
import { RTClient } from 'rt-client';
import { readFileSync } from 'node:fs';

const [origin, key, said, ...asks] = process.argv.slice(2);
const pcm = readFileSync(said);
const RATE = 24_000;
const MOMENT = 0.2;
const client = new RTClient(new URL(origin.replace('http', 'ws')), { key }, { deployment: 'gpt-realtime-2.1' });

// A loudspeaker: begins after a moment, plays what comes at the pace of sound until it is stopped.
const player = { item: null, begun: 0, samples: 0, seconds: 0 };
const now = () => performance.now() / 1000;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const play = (item, samples) => {
  if (player.item !== item) Object.assign(player, { item, begun: now() + MOMENT, samples: 0 });
  player.samples += samples;
};
const played = () => Math.max(0, Math.min(player.samples, (now() - player.begun) * RATE));
const until = async (samples) => {
  while (played() < samples) await sleep(0.02);
};

const rows = [];
let answers = 0;
let news = () => {};
const whole = async (count) => {
  while (answers < count) await new Promise((resolve) => { news = resolve; });
  await until(player.samples);
  player.seconds += player.samples / RATE;
};

async function hear(row, item) {
  await item.waitForCompletion();
  row[1] = item.transcription ?? '';
}

async function readMessage(item) {
  const row = ['assistant', ''];
  rows.push(row);
  for await (const content of item) {
    if (content.type !== 'audio') continue;
    const words = async () => {
      for await (const piece of content.transcriptChunks()) row[1] += piece;
    };
    const sound = async () => {
      for await (const chunk of content.audioChunks()) play(item.id, chunk.byteLength / 2);
    };
    await Promise.all([words(), sound()]);
  }
}

async function readAnswer(response) {
  for await (const item of response) {
    if (item.type === 'message') await readMessage(item);
    if (item.type === 'function_call') {
      await item.waitForCompletion();
      rows.push(['function_call', item.arguments]);
      await client.sendItem({ type: 'function_call_output', call_id: item.callId, output: 'rain' });
      await client.generateResponse();
    }
  }
  if (response.status === 'completed') answers += 1;
  news();
}

async function read() {
  for await (const event of client.events()) {
    if (event.type === 'response') failing(readAnswer(event));
    if (event.type === 'input_audio') {
      const row = ['user', ''];
      rows.push(row);
      failing(hear(row, event));
    }
  }
}

const failing = (promise) => promise.catch((error) => {
  console.error(error);
  process.exit(1);
});

const speak = async () => {
  const begun = now();
  for (let start = 0, sent = 0; start < pcm.length; start += 4800, sent += 0.1) {
    await client.sendAudio(pcm.subarray(start, start + 4800));
    await sleep(begun + sent + 0.1 - now());
  }
};
const write = async (text) => {
  await client.sendItem({ type: 'message', role: 'user', content: [{ type: 'input_text', text }] });
  await client.generateResponse();
};

await client.configure({
  instructions: 'Be brief.',
  turn_detection: { type: 'server_vad' },
  ...(asks.includes('transcription') ? { input_audio_transcription: { model: 'whisper-1' } } : {}),
  tools: [{
    type: 'function',
    name: 'home-weather',
    description: 'The weather of a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } } },
  }],
});
failing(read().then(() => { throw new Error('the connection ended'); }));
await speak();
await whole(1);
await write('Tell me of Barbara.');
const first = player.item;
while (player.item === first) await sleep(0.02);
await until(RATE); // a second of it is heard
await speak();
await whole(2);
await write('What is the weather in Oslo?');
await whole(4);
console.log(JSON.stringify({ rows, seconds: player.seconds }));
process.exit(0);
