"""Opens an engine session, which costs nothing, and takes two real turns for `--live`."""

import asyncio
import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.check.runner import CheckResult, fail, ok
from relay.interfaces import Connection, Engine, EngineRequest, Frame
from relay.parts.interfaces import SynthesisRequest, Synthesizer
from relay.realtime.billing.pricing import DATE, Prices
from relay.realtime.billing.usage import Cost, UsageMeter
from relay.realtime.dialects.beta import BETA_NAMES
from relay.realtime.endings import ENGINE_CLOSED, ENGINE_TIMED_OUT, NO_PROVIDER_KEY, SessionRefused
from relay.realtime.events import BadEvent, Event, decode, encode
from relay.websocket.client import ConnectError

USER: Final = "relay-check"
LIVE_SECONDS: Final = 60.0
"""For both turns; a provider's slowest answer to a short question takes about ten."""
CHUNK_BYTES: Final = 48_000
"""Of each `append`: a second of PCM16 at 24 kHz."""
INSTRUCTIONS: Final = "Answer in one short English sentence."
VOICE_QUESTION: Final = "What is the capital of France?"
TEXT_QUESTION: Final = "What is the capital of Italy?"


@dataclass(frozen=True, slots=True)
class SettingNames:
    """The names of the settings that lead to an engine, for hints."""

    key: str
    address: str
    model: str


async def check_engine(
    engine: Engine, model: str, seconds: float, names: SettingNames
) -> CheckResult:
    """Check that the engine begins a session within `seconds`, and end it."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(seconds):
            await _open_and_close(engine, model)
    except SessionRefused as refused:
        return fail(f"{engine.name}: {_reason(refused)}", _hint(refused, names))
    except EventWaitError as error:
        hint = f"see {names.key}, {names.address} and {names.model}"
        return fail(f"{engine.name} refuses the session: {error}", hint)
    except TimeoutError:
        return fail(f"{engine.name}: no session in {seconds:.0f} s", f"see {names.address}")
    took = round((loop.time() - began) * 1000)
    return ok(f"{engine.name} began a session after {took} ms")


async def _open_and_close(engine: Engine, model: str) -> None:
    connection = await engine.open(EngineRequest(USER, model, USER))
    events = EventCollector()
    connection.attach(events)
    try:
        await events.until("session.created")
    finally:
        connection.close(1000, "")


def _reason(refused: SessionRefused) -> str:
    """The ending, and how connecting failed where that is known."""
    cause = refused.__cause__
    more = f": {cause.reason}" if isinstance(cause, ConnectError) else ""
    return f"{refused.ending.reason}{more}"


def _hint(refused: SessionRefused, names: SettingNames) -> str:
    if refused.ending is NO_PROVIDER_KEY:
        return f"set {names.key}"
    if isinstance(refused.__cause__, ConnectError) and refused.__cause__.kind == "certificate":
        return f"is {names.address} right? SSL_CERT_FILE names further roots that are trusted"
    if refused.ending in (ENGINE_CLOSED, ENGINE_TIMED_OUT):
        return f"is {names.address} right, and can this machine reach it?"
    return refused.ending.advice


class EventWaitError(Exception):
    """An awaited event will not come; the text says what came instead.

    It never quotes a message that came before `session.created`: that one can hold the key.
    """


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """One event, and its arrival in seconds of the loop's clock."""

    event: Event
    at: float


class EventCollector:
    """A `Receiver` that keeps every event and can be waited on; use it on one event loop."""

    def __init__(self) -> None:
        self.unknown: Counter[str] = Counter()
        self._received: list[ReceivedEvent] = []
        self._closed: tuple[int, str] | None = None
        self._changed = asyncio.Event()

    def frame(self, frame: Frame) -> None:
        """Keep one event; a frame that cannot be decoded counts as an unknown one."""
        try:
            event = decode(frame)
        except BadEvent:
            event = {"type": "(not an event)"}
        if event["type"] not in BETA_NAMES:
            self.unknown[event["type"]] += 1
        self._received.append(ReceivedEvent(event, asyncio.get_running_loop().time()))
        self._changed.set()

    def writable(self, ready: bool) -> None:
        """Ignore it: a check sends little."""

    def closed(self, code: int, reason: str) -> None:
        """End all waiting."""
        self._closed = (code, reason)
        self._changed.set()

    async def until(self, *types: str, after: int = 0) -> ReceivedEvent:
        """The first event of these types past the first `after` events; raises `EventWaitError`."""
        at = after
        while True:
            for received in self._received[at:]:
                at += 1
                if received.event["type"] in types:
                    return received
                if received.event["type"] == "error":
                    raise EventWaitError(self._describe(received.event.get("error")))
            if self._closed is not None:
                code, reason = self._closed
                raise EventWaitError(f"it closed the connection: {code} {reason}".rstrip())
            self._changed.clear()
            await self._changed.wait()

    @property
    def count(self) -> int:
        """The number of events so far."""
        return len(self._received)

    def all(self, *types: str) -> Iterator[ReceivedEvent]:
        """Every event of these types so far."""
        return (received for received in self._received if received.event["type"] in types)

    def _describe(self, error: Any) -> str:
        fault = error if isinstance(error, dict) else {}
        code = f"{fault.get('code') or fault.get('type') or 'error'}"
        has_begun = any(self.all("session.created"))
        return f"{code}: {fault.get('message')}" if has_begun else code


class LiveCheckFailed(Exception):  # noqa: N818 - an outcome, told to the user in one line
    """A turn failed; the text says which, and why."""


@dataclass(frozen=True, slots=True)
class LiveCheckOptions:
    """The models to talk to, and the spoken question as PCM16 mono at 24 kHz."""

    model: str
    transcription_model: str
    question: bytes


@dataclass(frozen=True, slots=True)
class LiveReport:
    """Measurements and texts of both turns.

    Times are whole ms: until `session.created`; from the end of speech to the first audio; from
    the typed question to the first text. `heard` is the transcript of the spoken question,
    `spoken` and `written` are the answers. `unknown` counts events by types that PROTOCOL §1b does
    not list. `cost_usd` is in dollars at the prices of `priced_at`, without the models of
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


async def run_live_check(
    engine: Engine, options: LiveCheckOptions, seconds: float = LIVE_SECONDS
) -> LiveReport:
    """Take a voice turn and a text turn; raises `LiveCheckFailed`."""
    try:
        async with asyncio.timeout(seconds):
            return await _take_turns(engine, options)
    except SessionRefused as refused:
        raise LiveCheckFailed(
            f"no session: {refused.ending.reason}. {refused.ending.advice}"
        ) from None
    except EventWaitError as error:
        raise LiveCheckFailed(f"the conversation broke off: {error}") from None
    except TimeoutError:
        raise LiveCheckFailed(f"the conversation was not over after {seconds:.0f} s") from None


async def _take_turns(engine: Engine, options: LiveCheckOptions) -> LiveReport:
    began = asyncio.get_running_loop().time()
    connection = await engine.open(EngineRequest(USER, options.model, USER))
    events = EventCollector()
    connection.attach(events)
    try:
        created = await events.until("session.created")
        send(connection, _session_update(options))
        await events.until("session.updated")
        voice = await _voice_turn(connection, events, options.question)
        text = await _text_turn(connection, events)
    finally:
        connection.close(1000, "")
    model = str(created.event["session"].get("model") or options.model)
    cost = _cost(events, options)
    return LiveReport(
        model=model,
        connect_ms=_ms(created.at - began),
        first_audio_ms=_ms(voice.latency),
        first_text_ms=_ms(text.latency),
        heard=voice.heard,
        spoken=voice.answer,
        written=text.answer,
        audio_seconds=round(voice.audio_bytes / 48_000, 2),
        unknown=dict(events.unknown),
        cost_usd=cost.known / 1_000_000,
        unpriced=cost.unpriced,
    )


@dataclass(frozen=True, slots=True)
class _Turn:
    answer: str
    latency: float
    heard: str = ""
    audio_bytes: int = 0


async def _voice_turn(connection: Connection, events: EventCollector, question: bytes) -> _Turn:
    """Push to talk, so that the turn ends exactly where the question does."""
    for start in range(0, len(question), CHUNK_BYTES):
        audio = base64.b64encode(question[start : start + CHUNK_BYTES]).decode()
        send(connection, {"type": "input_audio_buffer.append", "audio": audio})
    ended = asyncio.get_running_loop().time()
    send(connection, {"type": "input_audio_buffer.commit"}, {"type": "response.create"})
    first = await events.until("response.output_audio.delta", "response.done")
    require_completed(await events.until("response.done"), first, "voice")
    transcription = "conversation.item.input_audio_transcription"
    heard = await events.until(f"{transcription}.completed", f"{transcription}.failed")
    if heard.event["type"].endswith("failed"):
        raise LiveCheckFailed(f"the question was not transcribed: {error_code(heard.event)}")
    spoken = await events.until("response.output_audio_transcript.done")
    deltas = events.all("response.output_audio.delta")
    return _Turn(
        answer=str(spoken.event.get("transcript", "")),
        latency=first.at - ended,
        heard=str(heard.event.get("transcript", "")),
        audio_bytes=sum(len(base64.b64decode(delta.event["delta"])) for delta in deltas),
    )


async def _text_turn(connection: Connection, events: EventCollector) -> _Turn:
    before, asked = events.count, asyncio.get_running_loop().time()
    content = [{"type": "input_text", "text": TEXT_QUESTION}]
    item = {"type": "message", "role": "user", "content": content}
    response = {"output_modalities": ["text"]}
    send(
        connection,
        {"type": "conversation.item.create", "item": item},
        {"type": "response.create", "response": response},
    )
    first = await events.until("response.output_text.delta", "response.done", after=before)
    require_completed(await events.until("response.done", after=before), first, "text")
    written = await events.until("response.output_text.done", after=before)
    return _Turn(answer=str(written.event.get("text", "")), latency=first.at - asked)


def _session_update(options: LiveCheckOptions) -> Event:
    transcription = {"model": options.transcription_model}
    audio = {"input": {"turn_detection": None, "transcription": transcription}}
    session = {"type": "realtime", "output_modalities": ["audio"], "instructions": INSTRUCTIONS}
    return {"type": "session.update", "session": {**session, "audio": audio}}


def send(connection: Connection, *events: Event) -> None:
    """Send events of a client."""
    for event in events:
        connection.send(encode(event))


def require_completed(done: ReceivedEvent, first: ReceivedEvent, turn: str) -> None:
    """Raise `LiveCheckFailed` unless the response is complete and had content."""
    response = done.event["response"]
    if response.get("status") != "completed":
        details = response.get("status_details") or {}
        why = (details.get("error") or {}).get("code") or details.get("reason") or "no reason given"
        raise LiveCheckFailed(f"the {turn} turn is {response.get('status')}: {why}")
    if first is done:
        raise LiveCheckFailed(f"the {turn} turn had an empty answer")


def error_code(event: Event) -> str:
    """Return the code of the error that an event tells of."""
    error = event.get("error") or {}
    return str(error.get("code") or error.get("type") or "no reason given")


def _cost(events: EventCollector, options: LiveCheckOptions) -> Cost:
    meter = UsageMeter(options.model, options.transcription_model)
    for received in events.all(*meter.reads):
        meter.observe(received.event, received.at)
    return meter.cost(Prices())


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


async def spoken_question(synthesizer: Synthesizer) -> bytes:
    """The question as PCM16 mono at 24 kHz; the synthesizer is closed. Raises `PartFailed`."""
    try:
        request = SynthesisRequest(VOICE_QUESTION, "alloy")
        return b"".join([piece async for piece in synthesizer.synthesize(request)])
    finally:
        await synthesizer.aclose()
