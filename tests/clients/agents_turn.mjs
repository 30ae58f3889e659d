// One spoken and one typed turn with @openai/agents-realtime, unchanged; prints what it got as JSON.
import { RealtimeAgent, RealtimeSession, OpenAIRealtimeWebSocket } from '@openai/agents-realtime';
import { readFileSync } from 'node:fs';

const [url, token, pcmFile] = process.argv.slice(2);
const transport = new OpenAIRealtimeWebSocket({ url, useInsecureApiKey: true });
const agent = new RealtimeAgent({ name: 'Guide', instructions: 'Be brief.' });
const session = new RealtimeSession(agent, { transport, model: 'gpt-realtime-2.1' });
const seen = { audioBytes: 0, errors: [], types: [] };
session.on('error', (error) => seen.errors.push(JSON.stringify(error)));
session.on('audio', (event) => { seen.audioBytes += event.data.byteLength; });
transport.on('*', (event) => { seen.types.push(event.type); });

const next = (type) => new Promise((resolve) => {
  const listen = (event) => {
    if (event.type === type) {
      transport.off('*', listen);
      resolve(event);
    }
  };
  transport.on('*', listen);
});

await session.connect({ apiKey: token });
const spoken = next('response.done');
const heard = next('conversation.item.input_audio_transcription.completed');
const pcm = readFileSync(pcmFile);
for (let start = 0; start < pcm.length; start += 4800) {
  const piece = pcm.subarray(start, start + 4800);
  session.sendAudio(piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.byteLength));
}
await Promise.all([spoken, heard]);
const typed = next('response.done');
session.sendMessage('And now in writing.');
await typed;
await new Promise((resolve) => setTimeout(resolve, 100));
seen.history = session.history
  .filter((item) => item.type === 'message')
  .map((item) => [item.role, item.content.map((part) => part.text ?? part.transcript).join(' ')]);
session.close();
console.log(JSON.stringify(seen));
process.exit(0);
