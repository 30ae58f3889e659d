// The conversation as npm's `@openai/agents-realtime` holds it, unchanged; prints what its two calls
// have: their events, and the history that the session keeps.
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import { readFileSync } from 'node:fs';

const [origin, apiKey, said] = process.argv.slice(2);
const url = `${origin.replace('http', 'ws')}/v1/realtime?model=gpt-realtime-2.1`;
const pcm = readFileSync(said);
const HEARD = 'conversation.item.input_audio_transcription.completed';
const weather = tool({
  name: 'weather',
  description: 'The weather of a city.',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: true,
  },
  strict: false,
  execute: async () => 'rain',
});

async function call() {
  const transport = new OpenAIRealtimeWebSocket({ url, useInsecureApiKey: true });
  const agent = new RealtimeAgent({ name: 'Guide', instructions: 'Be brief.', tools: [weather] });
  const session = new RealtimeSession(agent, { transport, model: 'gpt-realtime-2.1' });
  const events = [];
  let read = 0;
  let news = () => {};
  session.on('error', () => {}); // it comes as an event too
  // '*' is also told of the client's own doings: what the server said has an event_id.
  transport.on('*', (event) => {
    if (event.event_id) {
      events.push(event);
      news();
    }
  });
  // Reads until one event of each kind has come; the last of them.
  const until = async (...missing) => {
    while (missing.length) {
      while (read === events.length) await new Promise((resolve) => { news = resolve; });
      const at = missing.indexOf(events[read++].type);
      if (at >= 0) missing.splice(at, 1);
    }
    return events[read - 1];
  };
  const speak = () => {
    for (let start = 0; start < pcm.length; start += 4800) {
      const piece = pcm.subarray(start, start + 4800);
      session.sendAudio(piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.byteLength));
    }
  };
  const row = (item) => {
    if (item.type === 'function_call') return ['function_call', `${item.name} ${item.arguments}`];
    const texts = item.content.map((part) => part.text ?? part.transcript ?? '');
    return [item.role, texts.join(' ')];
  };
  const close = async () => {
    await new Promise((resolve) => setImmediate(resolve)); // the session's own listeners run too
    const history = session.history.map(row);
    session.close();
    return { events: events.map(({ delta, ...rest }) => rest), history };
  };
  await session.connect({ apiKey });
  return { session, transport, until, speak, close };
}

async function converse({ session, transport, until, speak }) {
  speak();
  await until('rate_limits.updated', HEARD, 'conversation.item.retrieved');
  session.sendMessage('Tell me of Barbara.');
  await until('response.output_audio.delta');
  speak(); // the session truncates by itself
  await until('response.done', 'conversation.item.truncated', HEARD, 'rate_limits.updated',
    'conversation.item.retrieved', 'conversation.item.retrieved');
  session.sendMessage('And now in writing.');
  await until('rate_limits.updated');
  session.sendMessage('What is the weather in Oslo?');
  await until('rate_limits.updated'); // the session calls the function by itself
  await until('rate_limits.updated');
  session.sendMessage('Once more of Barbara.');
  await until('response.output_audio.delta');
  session.interrupt(); // cancels and truncates
  await until('response.done', 'conversation.item.truncated', 'conversation.item.retrieved');
  transport.sendEvent({ type: 'conversation.item.delete', item_id: 'item_that_never_was' });
  await until('error');
}

const first = await call();
await converse(first);
const had = await first.close();
const second = await call();
second.session.sendMessage('Me again.');
await second.until('rate_limits.updated');
const all = JSON.stringify([had, await second.close()]);
process.stdout.write(`${all}\n`, () => process.exit(0));
