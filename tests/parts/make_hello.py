"""Makes `docs/hello.wav`, a spoken question for `relay talk`.

Run as `python -m tests.parts.make_hello`.
"""

import asyncio
import wave
from pathlib import Path

from relay.parts.interfaces import SAMPLE_RATE, SynthesisRequest
from relay.parts.piper import PiperSynthesizer

QUESTION = "Hello! Can you help me set a goal for this week?"
SILENCE = bytes(SAMPLE_RATE * 3 // 10 * 2)  # 0.3 s
FILE = Path(__file__).parents[2] / "docs" / "hello.wav"


async def speech(text: str) -> bytes:
    """Return a text as PCM16 at 24 kHz."""
    synthesizer = PiperSynthesizer()
    try:
        return b"".join([piece async for piece in synthesizer.synthesize(SynthesisRequest(text))])
    finally:
        await synthesizer.aclose()


def main() -> None:
    """Write the file."""
    pcm = SILENCE + asyncio.run(speech(QUESTION)) + SILENCE
    with wave.open(str(FILE), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(SAMPLE_RATE)
        recording.writeframes(pcm)


if __name__ == "__main__":
    main()
