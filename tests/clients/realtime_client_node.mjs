// The conversation as the old RealtimeClient holds it, unchanged; prints the items that it keeps, the
// seconds of sound that it got, and the errors.
import { RealtimeClient } from 'openai-realtime-api';
import { readFileSync } from 'node:fs';

const [origin, apiKey, said] = process.argv.slice(2);
const pcm = readFileSync(said);
const RATE = 24_000;

const client = new RealtimeClient({
  url: `${origin.replace('http', 'ws')}/v1/realtime`,
  apiKey,
  model: 'gpt-realtime-2.1',
  sessionConfig: { instructions: 'Be brief.', turn_detection: { type: 'server_vad' } },
});
client.addTool(
  {
    name: 'home-weather',
    description: 'The weather of a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } } },
  },
  async ({ city }) => ({ [city]: 'rain' }),
);
const errors = [];
client.realtime.on('server.error', ({ error }) => errors.push(error.code ?? error.message));

// A loudspeaker: begins after a moment, plays what comes at the pace of sound until it is stopped.
const MOMENT = 0.2;
const player = { item: null, begun: 0, samples: 0, seconds: 0 };
const now = () => performance.now() / 1000;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
client.on('conversation.updated', ({ item, delta }) => {
  if (!delta?.audio) return;
  if (player.item !== item.id) {
    Object.assign(player, { item: item.id, begun: now() + MOMENT, samples: 0 });
  }
  player.samples += new Int16Array(delta.audio).length;
});
const played = () => Math.max(0, Math.min(player.samples, (now() - player.begun) * RATE));
const until = async (samples) => {
  while (played() < samples) await sleep(0.02);
};
const playedOut = async () => {
  await until(player.samples);
  player.seconds += player.samples / RATE;
};
client.on('conversation.interrupted', () => {
  if (played() < player.samples) client.cancelResponse(player.item, Math.floor(played()));
});

// A microphone, at the pace of sound: a tenth of a second at a time.
const speak = async () => {
  const begun = now();
  for (let start = 0, sent = 0; start < pcm.length; start += 4800, sent += 0.1) {
    const piece = pcm.buffer.slice(pcm.byteOffset + start, pcm.byteOffset + start + 4800);
    client.appendInputAudio(new Int16Array(piece));
    await sleep(begun + sent + 0.1 - now());
  }
};
const write = (text) => client.sendUserMessageContent([{ type: 'input_text', text }]);
const next = (name) => client.realtime.waitForNext(`server.${name}`);
const answered = async (kind = 'message') => {
  for (;;) {
    const { response } = await next('response.done');
    const last = response.output.at(-1);
    if (response.status === 'completed' && last?.type === kind) return;
  }
};

await client.connect();
await client.waitForSessionCreated();
let done = answered();
await speak();
await done;
await playedOut();

const sound = next('response.audio.delta');
write('Tell me of Barbara.');
await sound;
await until(RATE); // a second of it is heard
done = answered();
await speak();
await done;
await playedOut();

done = answered();
write('What is the weather in Oslo?'); // the client calls the function and answers by itself
await done;
await playedOut();

const rows = client.conversation.getItems().map((item) => [
  item.role ?? item.type,
  item.formatted.transcript || item.formatted.text || item.output || item.arguments || '',
]);
client.disconnect();
console.log(JSON.stringify({ rows, seconds: player.seconds, errors }));
