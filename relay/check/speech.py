"""A question to be spoken: by the demonstration voice's mouth, or as a tone where there is none."""

from relay.engines.cascade.offline import available
from relay.parts.simple import ToneMouth

QUESTION = "What is the capital of France?"


async def spoken_question() -> bytes:
    """PCM16 at 24 kHz; a tone is enough for a turn, but no words will be understood in it."""
    if available() is not None:
        return await ToneMouth().speak(QUESTION, "alloy")
    from relay.parts.tts import EspeakMouth  # noqa: PLC0415

    mouth = EspeakMouth()
    try:
        return await mouth.speak(QUESTION, "alloy")
    finally:
        await mouth.aclose()
