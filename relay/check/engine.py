"""Whether the voice could be opened: a session is begun and ended, which costs nothing."""

import asyncio
import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.check.runner import CheckResult, fail, ok
from relay.engines.cascade.offline import available
from relay.interfaces import Connection, Engine, EngineRequest, Frame
from relay.parts.simple import ToneSynthesizer
from relay.realtime.billing.pricing import DATE, Prices
from relay.realtime.billing.usage import Cost, UsageMeter
from relay.realtime.dialects.beta import BETA_NAMES
from relay.realtime.endings import ENGINE_CLOSED, ENGINE_TIMED_OUT, NO_PROVIDER_KEY, SessionRefused
from relay.realtime.events import BadEvent, Event, decode, encode

# ---- Whom an engine's peer talks to during a check: it keeps every event, with its time.


class Deaf(Exception):  # noqa: N818 - it is what the other end did, not a fault of ours
    """What was waited for will not come; the text says what came instead.

    It never quotes a message that came before `session.created`: such a one can hold the key.
    """


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """One event and when it came, in seconds of the loop's clock."""

    event: Event
    at: float


class EventCollector:
    """A `Receiver` that can be waited on; use it on one event loop."""

    def __init__(self) -> None:
        self.unknown: Counter[str] = Counter()
        self._heard: list[ReceivedEvent] = []
        self._gone: tuple[int, str] | None = None
        self._something = asyncio.Event()

    def frame(self, frame: Frame) -> None:
        """Keep one event; one that cannot be read is unknown to us, too."""
        try:
            event = decode(frame)
        except BadEvent:
            event = {"type": "(not an event)"}
        if event["type"] not in BETA_NAMES:
            self.unknown[event["type"]] += 1
        self._heard.append(ReceivedEvent(event, asyncio.get_running_loop().time()))
        self._something.set()

    def writable(self, ready: bool) -> None:
        """What a check says is short."""

    def closed(self, code: int, reason: str) -> None:
        """Nothing more will come."""
        self._gone = (code, reason)
        self._something.set()

    async def until(self, *kinds: str, after: int = 0) -> ReceivedEvent:
        """The first event of one of these types beyond the first `after`; raises Deaf."""
        at = after
        while True:
            for heard in self._heard[at:]:
                at += 1
                if heard.event["type"] in kinds:
                    return heard
                if heard.event["type"] == "error":
                    raise Deaf(self._why(heard.event.get("error")))
            if self._gone is not None:
                raise Deaf(f"it hung up: {self._gone[0]} {self._gone[1]}".rstrip())
            self._something.clear()
            await self._something.wait()

    @property
    def count(self) -> int:
        """How many events there are so far."""
        return len(self._heard)

    def all(self, *kinds: str) -> Iterator[ReceivedEvent]:
        """Every event of these types so far."""
        return (heard for heard in self._heard if heard.event["type"] in kinds)

    def _why(self, error: Any) -> str:
        fault = error if isinstance(error, dict) else {}
        code = f"{fault.get('code') or fault.get('type') or 'error'}"
        began = any(self.all("session.created"))
        return f"{code}: {fault.get('message')}" if began else code


# ---- A question to be spoken: by the demonstration voice's mouth, or as a tone where there is
# none.

QUESTION = "What is the capital of France?"


async def spoken_question() -> bytes:
    """PCM16 at 24 kHz; a tone is enough for a turn, but no words will be understood in it."""
    if available() is not None:
        return await ToneSynthesizer().speak(QUESTION, "alloy")
    from relay.parts.tts import EspeakSynthesizer  # noqa: PLC0415

    mouth = EspeakSynthesizer()
    try:
        return await mouth.speak(QUESTION, "alloy")
    finally:
        await mouth.aclose()


USER: Final = "relay-check"


@dataclass(frozen=True, slots=True)
class Names:
    """What the settings are called that lead to a voice elsewhere."""

    key: str
    address: str
    model: str


async def engine(engine: Engine, model: str, seconds: float, names: Names) -> CheckResult:
    """Begin a session within `seconds`."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(seconds):
            await _begin(engine, model)
    except SessionRefused as refused:
        return fail(f"{engine.name}: {refused.ending.reason}", _mend(refused, names))
    except Deaf as deaf:
        mend = f"see {names.key}, {names.address} and {names.model}"
        return fail(f"{engine.name} refuses the session: {deaf}", mend)
    except TimeoutError:
        return fail(f"{engine.name}: no session in {seconds:.0f} s", f"see {names.address}")
    took = round((loop.time() - began) * 1000)
    return ok(f"{engine.name} began a session after {took} ms")


async def _begin(engine: Engine, model: str) -> None:
    peer = await engine.open(EngineRequest("relay-check", model, USER))
    ears = EventCollector()
    peer.attach(ears)
    try:
        await ears.until("session.created")
    finally:
        peer.close(1000, "")


def _mend(refused: SessionRefused, names: Names) -> str:
    if refused.ending is NO_PROVIDER_KEY:
        return f"set {names.key}"
    if refused.ending in (ENGINE_CLOSED, ENGINE_TIMED_OUT):
        return f"is {names.address} right, and may this machine reach it?"
    return refused.ending.advice


# ---- One real voice turn and one text turn with an engine: what came, how fast, and what it costs.

SECONDS: Final = 60.0
"""For both turns; a provider's slowest answer to a short question takes about ten."""

CHUNK_BYTES: Final = 48_000
"""A second of sound in each `append`."""

INSTRUCTIONS: Final = "Answer in one short English sentence."
WRITTEN: Final = "What is the capital of Italy?"


class LiveCheckFailed(Exception):  # noqa: N818 - one line for the user
    """A turn did not come about; the text says which, and why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """With whom to speak, and what to say: PCM16 at 24 kHz."""

    model: str
    transcription: str
    question: bytes


@dataclass(frozen=True, slots=True)
class LiveReport:
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


async def live(engine: Engine, wanted: Wanted, seconds: float = SECONDS) -> LiveReport:
    """Take both turns; raises LiveFailed."""
    try:
        async with asyncio.timeout(seconds):
            return await _converse(engine, wanted)
    except SessionRefused as refused:
        raise LiveCheckFailed(
            f"no session: {refused.ending.reason}. {refused.ending.advice}"
        ) from None
    except Deaf as deaf:
        raise LiveCheckFailed(f"the conversation broke off: {deaf}") from None
    except TimeoutError:
        raise LiveCheckFailed(f"the conversation was not over after {seconds:.0f} s") from None


async def _converse(engine: Engine, wanted: Wanted) -> LiveReport:
    began = asyncio.get_running_loop().time()
    peer = await engine.open(EngineRequest(USER, wanted.model, USER))
    ears = EventCollector()
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
    return LiveReport(
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


async def _voice_turn(peer: Connection, ears: EventCollector, question: bytes) -> _Turn:
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
        raise LiveCheckFailed(f"the question was not written down: {_code(heard.event)}")
    said = await ears.until("response.output_audio_transcript.done")
    deltas = ears.all("response.output_audio.delta")
    return _Turn(
        answer=str(said.event.get("transcript", "")),
        waited=first.at - ended,
        heard=str(heard.event.get("transcript", "")),
        audio_bytes=sum(len(base64.b64decode(delta.event["delta"])) for delta in deltas),
    )


async def _text_turn(peer: Connection, ears: EventCollector) -> _Turn:
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


def _send(peer: Connection, *events: Event) -> None:
    for event in events:
        peer.send(encode(event))


def _completed(done: ReceivedEvent, first: ReceivedEvent, turn: str) -> None:
    """See that the answer is whole and that there was something in it."""
    response = done.event["response"]
    if response.get("status") != "completed":
        details = response.get("status_details") or {}
        why = (details.get("error") or {}).get("code") or details.get("reason") or "no reason given"
        raise LiveCheckFailed(f"the {turn} turn is {response.get('status')}: {why}")
    if first is done:
        raise LiveCheckFailed(f"the {turn} turn was answered with nothing")


def _code(event: Event) -> str:
    error = event.get("error") or {}
    return str(error.get("code") or error.get("type") or "no reason given")


def _cost(ears: EventCollector, wanted: Wanted) -> Cost:
    meter = UsageMeter(wanted.model, wanted.transcription)
    for heard in ears.all(*meter.reads):
        meter.feed(heard.event, heard.at)
    return meter.cost(Prices())


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
