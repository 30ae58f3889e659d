// Converts PCM16 mono at 24 kHz, little endian: base64 in events, Int16Array in between, floats in Web
// Audio. All 65,536 values survive the round trip.

export const RATE = 24000;

export function toBase64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let binary = "";
  // A function takes a limited number of arguments.
  for (let at = 0; at < bytes.length; at += 8192) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(binary);
}

export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length - (binary.length % 2));
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return new Int16Array(bytes.buffer);
}

// -1 to 1; louder samples are clipped, never wrapped.
export function fromFloat(samples) {
  return Int16Array.from(samples, (value) => (
    Math.max(-32768, Math.min(32767, Math.round(value * 32768)))
  ));
}

export function toFloat(samples) {
  return Float32Array.from(samples, (value) => value / 32768);
}

export const milliseconds = (samples) => (samples * 1000) / RATE;
