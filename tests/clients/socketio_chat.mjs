// The older voice chat's own client: connects, writes, speaks in chunks, interrupts, reconnects.
import { io } from 'socket.io-client';
import { readFileSync } from 'node:fs';

const [origin, token, said, transport, conversation] = process.argv.slice(2);
const auth = { token, conversation_id: conversation };
const socket = io(origin, { transports: [transport], auth, reconnectionDelay: 200 });
const seen = [];
const waiting = [];
socket.onAny((name, data) => {
  seen.push([name, data]);
  const index = waiting.findIndex(([wanted]) => wanted === name);
  if (index >= 0) waiting.splice(index, 1)[0][1](data);
});
const next = (name) => new Promise((resolve) => waiting.push([name, resolve]));
const names = () => seen.splice(0).map(([name, data]) => (name === 'ai-typing' ? `${name} ${data.isTyping}` : name));

await new Promise((resolve, reject) => socket.on('connect', resolve).on('connect_error', reject));
let answer = next('ai-response');
socket.emit('text-message', { text: 'Good day.', timestamp: Date.now() });
const written = await answer;
const order = names();

answer = next('ai-response');
socket.emit('start-recording');
const sound = readFileSync(said);
for (let at = 0; at < sound.length; at += 4800) {
  const chunk = sound.subarray(at, at + 4800);
  socket.emit('audio-stream', { audioChunk: chunk, isFinal: false, timestamp: Date.now() });
}
socket.emit('stop-recording');
const spoken = await answer;
names();

const update = next('conversation-update');
socket.io.engine.close();
const { messages } = await update;
socket.disconnect();
console.log(JSON.stringify({
  order,
  written: written.message.text,
  mp3: Buffer.from(written.audioBuffer, 'base64').length > 1000,
  spoken: spoken.message.text,
  remembered: messages.length,
}));
process.exit(0);
