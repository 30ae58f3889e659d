// PCM16 mono at 24 kHz, little endian, as base64 in an event and as samples in a worklet.

export const RATE = 24000;

export function toBase64(samples) {
  return btoa(String.fromCharCode(...new Uint8Array(samples.buffer)));
}

export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length - (binary.length % 2));
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return new Int16Array(bytes.buffer);
}

export const milliseconds = (samples) => (samples * 1000) / RATE;
