// A server in wespoke's style: posts what a person said with axios, and reads three fields.
import axios from 'axios';
import { readFileSync } from 'node:fs';

const [origin, token, said] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${token}` };
const audio = readFileSync(said).toString('base64');
const config = { system_prompt: 'Be brief.', model: 'gpt-4', temperature: 0.7, max_tokens: 150 };
const format = { sampleRate: 24000, channels: 1, bitsPerSample: 16 };

const { data } = await axios.post(`${origin}/ai/process-audio`, { audio, format, config }, { headers });
const { text, userText, tools } = data;
const health = (await axios.get(`${origin}/ai/health`)).data.status;
const refused = await axios
  .post(`${origin}/ai/process-audio`, { audio: '?', config }, { headers })
  .catch((error) => ({ status: error.response.status, error: error.response.data.detail.error }));
console.log(JSON.stringify({ text, userText, tools, health, refused }));
