// The conversation as npm's `openai` holds it, unchanged; prints the events of its two calls.
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { readFileSync } from 'node:fs';

const [origin, apiKey, said] = process.argv.slice(2);
const pcm = readFileSync(said);
const voice = pcm.subarray(0, 48_000);
const silence = pcm.subarray(48_000, 96_000);
const HEARD = 'conversation.item.input_audio_transcription.completed';
const weather = {
  type: 'function',
  name: 'weather',
  description: 'The weather of a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
};

function call() {
  const client = new OpenAI({ apiKey, baseURL: `${origin}/v1` });
  const line = new OpenAIRealtimeWS({ model: 'gpt-realtime-2.1' }, client);
  const events = [];
  let read = 0;
  let news = () => {};
  line.on('error', () => {}); // it comes as an event too
  line.on('event', (event) => { events.push(event); news(); });
  // Reads until one event of each kind has come; the last of them.
  const until = async (...missing) => {
    while (missing.length) {
      while (read === events.length) await new Promise((resolve) => { news = resolve; });
      const at = missing.indexOf(events[read++].type);
      if (at >= 0) missing.splice(at, 1);
    }
    return events[read - 1];
  };
  const add = (item) => {
    line.send({ type: 'conversation.item.create', item });
    line.send({ type: 'response.create' });
  };
  const write = (text) =>
    add({ type: 'message', role: 'user', content: [{ type: 'input_text', text }] });
  const sound = (bytes) => {
    for (let start = 0; start < bytes.length; start += 4800) {
      const audio = bytes.subarray(start, start + 4800).toString('base64');
      line.send({ type: 'input_audio_buffer.append', audio });
    }
  };
  const close = async () => {
    const gone = new Promise((resolve) => line.socket.once('close', resolve));
    line.close();
    await gone;
    return { events: events.map(({ delta, ...rest }) => rest) };
  };
  return { line, until, add, write, sound, close };
}

async function converse({ line, until, add, write, sound }) {
  await until('session.created');
  line.send({
    type: 'session.update',
    session: {
      type: 'realtime',
      instructions: 'Be brief.',
      tools: [weather],
      audio: { input: { transcription: { model: 'gpt-realtime-whisper' } } },
    },
  });
  await until('session.updated');
  sound(voice);
  sound(silence);
  await until('rate_limits.updated', HEARD);

  write('Tell me of Barbara.');
  const { item_id } = await until('response.output_audio.delta');
  sound(voice);
  await until('input_audio_buffer.speech_started');
  await until('response.done');
  line.send({ type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms: 100 });
  await until('conversation.item.truncated');
  line.send({ type: 'conversation.item.retrieve', item_id });
  await until('conversation.item.retrieved');
  sound(silence);
  await until('rate_limits.updated', HEARD);

  write('And now in writing.');
  await until('rate_limits.updated');
  write('What is the weather in Oslo?');
  const done = await until('response.done');
  await until('rate_limits.updated');
  const { call_id } = done.response.output[0];
  add({ type: 'function_call_output', call_id, output: 'rain' });
  await until('rate_limits.updated');

  write('Once more of Barbara.');
  await until('response.output_audio.delta');
  line.send({ type: 'response.cancel' });
  await until('response.done');
  line.send({ type: 'conversation.item.delete', item_id: 'item_that_never_was' });
  await until('error');
}

const first = call();
await converse(first);
const had = await first.close();
const second = call();
await second.until('session.created');
second.write('Me again.');
await second.until('rate_limits.updated');
console.log(JSON.stringify([had, await second.close()]));
