"""Asks one part for one thing and gathers what it yields."""

from relay.parts.interfaces import (
    Message,
    Reply,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    Responder,
    SynthesisRequest,
    Synthesizer,
    Transcriber,
    TranscriptionRequest,
)


async def heard(transcriber: Transcriber, pcm: bytes) -> str:
    """The whole transcript of a turn."""
    request = TranscriptionRequest(pcm)
    return "".join([piece async for piece in transcriber.transcribe(request)])


async def spoken(synthesizer: Synthesizer, text: str, voice: str = "alloy") -> bytes:
    """The whole audio of a text."""
    request = SynthesisRequest(text, voice)
    return b"".join([piece async for piece in synthesizer.synthesize(request)])


async def pieces(responder: Responder, prompt: str, *, aside: bool = False) -> list[ReplyPiece]:
    """All that a responder yields in answer to what a user said."""
    request = ReplyRequest((Message("user", prompt),), out_of_band=aside)
    return [piece async for piece in responder.respond(request)]


async def answered(responder: Responder, prompt: str, *, aside: bool = False) -> str:
    """The text of an answer."""
    found = await pieces(responder, prompt, aside=aside)
    return "".join(piece.text for piece in found if isinstance(piece, ReplyDelta))


async def replied(responder: Responder, prompt: str, *, aside: bool = False) -> Reply:
    """The one whole reply of a responder that gives such."""
    (reply,) = await pieces(responder, prompt, aside=aside)
    assert isinstance(reply, Reply)
    return reply
