// The page's half of recording: asks for the microphone and hands on its chunks.

// `onChunk({samples, level})` comes every 20 ms, `onLost()` once when the device goes away.
// Rejects with the DOMException of getUserMedia.
export async function openMicrophone(context, onChunk, onLost) {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: {
      channelCount: 1,
      echoCancellation: true,
      noiseSuppression: true,
      autoGainControl: true,
    },
  });
  try {
    await context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
    const source = context.createMediaStreamSource(stream);
    const node = new AudioWorkletNode(context, "capture", { outputChannelCount: [1] });
    node.port.onmessage = ({ data }) => onChunk(data);
    // It plays nothing; but a node that leads nowhere need not be run.
    source.connect(node).connect(context.destination);
    const [track] = stream.getAudioTracks();
    track.onended = onLost;
    return {
      close() {
        node.port.onmessage = null;
        track.onended = null;
        source.disconnect();
        node.disconnect();
        track.stop();
      },
    };
  } catch (error) {
    for (const track of stream.getTracks()) track.stop();
    throw error;
  }
}
