"""One real voice turn and one text turn with an engine: what came, how fast, and what it costs."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from relay.check.ears import Deaf, Ears, Heard
from relay.check.engine import USER
from relay.interfaces import Call, Engine, Peer
from relay.realtime.billing.pricing import DATE, Prices
from relay.realtime.billing.usage import Cost, Meter
from relay.realtime.endings import Refused
from relay.realtime.events import Event, encode

SECONDS: Final = 60.0
"""For both turns; a provider's slowest answer to a short question takes about ten."""

CHUNK_BYTES: Final = 48_000
"""A second of sound in each `append`."""

INSTRUCTIONS: Final = "Answer in one short English sentence."
WRITTEN: Final = "What is the capital of Italy?"


class LiveFailed(Exception):  # noqa: N818 - one line for the user
    """A turn did not come about; the text says which, and why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """With whom to speak, and what to say: PCM16 at 24 kHz."""

    model: str
    transcription: str
    question: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it.

    Times are whole ms: until `session.created`; from the end of speech to the first sound; from
    the typed question to the first text. `unknown` counts events by a type that PROTOCOL §1b does
    not have. `cost_usd` is in dollars at the prices of `priced_at`, without the models of
    `unpriced`.
    """

    model: str
    connect_ms: int
    first_audio_ms: int
    first_text_ms: int
    heard: str
    spoken: str
    written: str
    audio_seconds: float
    unknown: Mapping[str, int]
    cost_usd: float
    unpriced: tuple[str, ...]
    priced_at: str = DATE


async def live(engine: Engine, wanted: Wanted, seconds: float = SECONDS) -> Report:
    """Take both turns; raises LiveFailed."""
    try:
        async with asyncio.timeout(seconds):
            return await _converse(engine, wanted)
    except Refused as refused:
        raise LiveFailed(f"no session: {refused.ending.reason}. {refused.ending.advice}") from None
    except Deaf as deaf:
        raise LiveFailed(f"the conversation broke off: {deaf}") from None
    except TimeoutError:
        raise LiveFailed(f"the conversation was not over after {seconds:.0f} s") from None


async def _converse(engine: Engine, wanted: Wanted) -> Report:
    began = asyncio.get_running_loop().time()
    peer = await engine.open(Call(USER, wanted.model, USER))
    ears = Ears()
    peer.attach(ears)
    try:
        created = await ears.until("session.created")
        _send(peer, _session(wanted))
        await ears.until("session.updated")
        voice = await _voice_turn(peer, ears, wanted.question)
        text = await _text_turn(peer, ears)
    finally:
        peer.close(1000, "")
    model = str(created.event["session"].get("model") or wanted.model)
    cost = _cost(ears, wanted)
    return Report(
        model=model,
        connect_ms=_ms(created.at - began),
        first_audio_ms=_ms(voice.waited),
        first_text_ms=_ms(text.waited),
        heard=voice.heard,
        spoken=voice.answer,
        written=text.answer,
        audio_seconds=round(voice.audio_bytes / 48_000, 2),
        unknown=dict(ears.unknown),
        cost_usd=cost.known / 1_000_000,
        unpriced=cost.unpriced,
    )


@dataclass(frozen=True, slots=True)
class _Turn:
    answer: str
    waited: float
    heard: str = ""
    audio_bytes: int = 0


async def _voice_turn(peer: Peer, ears: Ears, question: bytes) -> _Turn:
    """Push to talk, so that the turn ends where the question does and nowhere else."""
    for start in range(0, len(question), CHUNK_BYTES):
        audio = base64.b64encode(question[start : start + CHUNK_BYTES]).decode()
        _send(peer, {"type": "input_audio_buffer.append", "audio": audio})
    ended = asyncio.get_running_loop().time()
    _send(peer, {"type": "input_audio_buffer.commit"}, {"type": "response.create"})
    first = await ears.until("response.output_audio.delta", "response.done")
    _completed(await ears.until("response.done"), first, "voice")
    transcription = "conversation.item.input_audio_transcription"
    heard = await ears.until(f"{transcription}.completed", f"{transcription}.failed")
    if heard.event["type"].endswith("failed"):
        raise LiveFailed(f"the question was not written down: {_code(heard.event)}")
    said = await ears.until("response.output_audio_transcript.done")
    deltas = ears.all("response.output_audio.delta")
    return _Turn(
        answer=str(said.event.get("transcript", "")),
        waited=first.at - ended,
        heard=str(heard.event.get("transcript", "")),
        audio_bytes=sum(len(base64.b64decode(delta.event["delta"])) for delta in deltas),
    )


async def _text_turn(peer: Peer, ears: Ears) -> _Turn:
    before, asked = ears.count, asyncio.get_running_loop().time()
    content = [{"type": "input_text", "text": WRITTEN}]
    item = {"type": "message", "role": "user", "content": content}
    response = {"output_modalities": ["text"]}
    _send(
        peer,
        {"type": "conversation.item.create", "item": item},
        {"type": "response.create", "response": response},
    )
    first = await ears.until("response.output_text.delta", "response.done", after=before)
    _completed(await ears.until("response.done", after=before), first, "text")
    said = await ears.until("response.output_text.done", after=before)
    return _Turn(answer=str(said.event.get("text", "")), waited=first.at - asked)


def _session(wanted: Wanted) -> Event:
    audio = {"input": {"turn_detection": None, "transcription": {"model": wanted.transcription}}}
    session = {"type": "realtime", "output_modalities": ["audio"], "instructions": INSTRUCTIONS}
    return {"type": "session.update", "session": {**session, "audio": audio}}


def _send(peer: Peer, *events: Event) -> None:
    for event in events:
        peer.send(encode(event))


def _completed(done: Heard, first: Heard, turn: str) -> None:
    """See that the answer is whole and that there was something in it."""
    response = done.event["response"]
    if response.get("status") != "completed":
        details = response.get("status_details") or {}
        why = (details.get("error") or {}).get("code") or details.get("reason") or "no reason given"
        raise LiveFailed(f"the {turn} turn is {response.get('status')}: {why}")
    if first is done:
        raise LiveFailed(f"the {turn} turn was answered with nothing")


def _code(event: Event) -> str:
    error = event.get("error") or {}
    return str(error.get("code") or error.get("type") or "no reason given")


def _cost(ears: Ears, wanted: Wanted) -> Cost:
    meter = Meter(wanted.model, wanted.transcription)
    for heard in ears.all(*meter.reads):
        meter.feed(heard.event, heard.at)
    return meter.cost(Prices())


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
