// Opens the microphone and passes on its chunks.

import { RelayError } from "./errors.js";
import { RATE } from "./pcm.js";
import { keepRunning } from "./running.js";

const CONSTRAINTS = {
  channelCount: 1,
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
};

// `onChunk({samples, level})` is called every 20 ms, `onMuted()` when the system takes the sound away,
// `onLost()` once when the device is disconnected. A `deviceId` that no longer exists is replaced by the system's default. `context` is tried first; for a
// browser that records only at the device's own rate a context of that rate is created.
// Rejects with the DOMException of getUserMedia, or with `microphone_lost` if the device was disconnected
// before its first chunk.
export async function openMicrophone({ context, deviceId, onChunk, onMuted, onLost }) {
  const stream = await ask(deviceId);
  let lost = false;
  // The event comes once: a listener that waited for the worklet would miss it.
  stream.getAudioTracks()[0].onended = () => { lost = true; };
  try {
    const parts = await record(context, stream);
    if (lost) {
      disconnect(parts);
      throw new RelayError("microphone_lost");
    }
    return new Microphone(stream, parts, { onChunk, onMuted, onLost });
  } catch (error) {
    for (const track of stream.getTracks()) track.stop();
    throw error;
  }
}

async function ask(deviceId) {
  try {
    const device = deviceId ? { deviceId: { exact: deviceId } } : {};
    return await navigator.mediaDevices.getUserMedia({ audio: { ...CONSTRAINTS, ...device } });
  } catch (error) {
    if (!deviceId || error.name !== "OverconstrainedError") throw error;
    return ask(null);
  }
}

async function record(context, stream) {
  try {
    return { ...await connect(context, stream), own: null };
  } catch (error) {
    if (error.name !== "NotSupportedError") throw error;
    const own = new AudioContext({ latencyHint: "interactive" });
    const leave = await keepRunning(own, () => {}); // the speaker's context tells of it
    return { ...await connect(own, stream), own, leave };
  }
}

async function connect(context, stream) {
  const source = context.createMediaStreamSource(stream);
  await context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "relay-capture", { outputChannelCount: [1] });
  // It plays nothing, but a browser need not run a node without a destination.
  source.connect(node).connect(context.destination);
  return { source, node };
}

function disconnect({ source, node, own, leave }) {
  leave?.();
  source.disconnect();
  node.disconnect();
  own?.close();
}

class Microphone {
  #stream;
  #parts;
  #track;

  constructor(stream, parts, { onChunk, onMuted, onLost }) {
    this.#stream = stream;
    this.#parts = parts;
    [this.#track] = stream.getAudioTracks();
    parts.node.port.onmessage = ({ data }) => onChunk(data);
    this.#track.onended = onLost;
    this.#track.onmute = onMuted;
  }

  get deviceId() {
    return this.#track.getSettings().deviceId ?? "";
  }

  get rate() {
    return this.#parts.own?.sampleRate ?? RATE;
  }

  // Muted at the source, so silence is recorded.
  set muted(muted) {
    this.#track.enabled = !muted;
  }

  close() {
    this.#parts.node.port.onmessage = null;
    this.#track.onended = null;
    this.#track.onmute = null;
    disconnect(this.#parts);
    for (const track of this.#stream.getTracks()) track.stop();
  }
}
