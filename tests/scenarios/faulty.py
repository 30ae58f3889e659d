"""A relay before a provider that has a bad day, callers who talk through it, and what is left."""

import asyncio
import json
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import structlog

from relay.app import running
from relay.clock import Clock, MachineClock
from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import Parts, Reply, SpokenMessage, TranscriptionRequest
from relay.parts.simple import Script, scripted_parts
from relay.realtime.records import Utterance
from relay.simulator import Faults, SimulatorOptions, simulate
from relay.simulator.faults import Condition
from relay.simulator.faults.plan import Fault
from relay.stores.sqlite import store as sqlite_tables
from tests.scenarios.stage import SECRET, SILENCE, SPEECH, Event, Line, Stage, loaded, new_id, token

KEY = "sk-a-providers-key-for-bad-days"
FIRST = Condition(session=1)
"""The first caller alone has the fault."""

PATIENCE = 30.0
"""Seconds after which a caller who waits for something has waited in vain."""

BURST = 200.0
"""How much faster than it is heard sound comes: a test has no time."""

TRANSCRIPTION = "conversation.item.input_audio_transcription."
SPOKEN = {200: "What is the weather in London?", 400: "Thank you very much."}
"""What was said, by how many milliseconds somebody spoke: any number of callers at once."""

TYPED = "And also in Paris?"
ANSWERS = ("It drizzles.", "It is fine there.", "You are welcome.")
SCRIPT = Script(replies=ANSWERS)
Told = tuple[str, str, str]
"""Who said what, and what state it is in."""

PLAIN: list[Told] = [
    ("user", SPOKEN[200], "final"),
    ("assistant", ANSWERS[0], "final"),
    ("user", TYPED, "final"),
    ("assistant", ANSWERS[1], "final"),
    ("user", SPOKEN[400], "final"),
    ("assistant", ANSWERS[2], "final"),
]
"""What the store has of a whole conversation when nothing goes wrong."""


class ByLength:
    """A recogniser that tells what was said by how long it was loud."""

    name = "by length"
    languages = ()

    async def prepare(self) -> None:
        """Start nothing."""

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        """Yield the words."""
        pcm = request.pcm
        loud = (len(pcm) - pcm.count(0)) / 24  # one byte of two of the square wave is not 0
        yield SPOKEN[min(SPOKEN, key=lambda ms: abs(ms - loud))]

    async def aclose(self) -> None:
        """Let go of nothing."""


def parts(script: Script) -> Parts:
    """Scripted parts that do not mix up who said what."""
    return replace(scripted_parts(script), transcriber=ByLength())


class Caller:
    """A client that talks, hears everything, and tells the relay that it has played it."""

    def __init__(self, line: Line, bearer: str) -> None:
        self.line = line
        self.bearer = bearer
        self.conversation_id = ""

    @property
    def events(self) -> list[Event]:
        """All it has read."""
        return self.line.events

    @property
    def counts(self) -> Counter[str]:
        """How many events of each type it has read."""
        return Counter(self.line.types)

    def of(self, kind: str) -> list[Event]:
        """Those of one type."""
        return [event for event in self.events if event["type"] == kind]

    async def hears(self, enough: Callable[[], object]) -> None:
        """Read until it has heard enough."""
        async with asyncio.timeout(PATIENCE):
            while not enough():
                self.events.append(json.loads(await self.line.socket.recv()))

    async def greeted(self) -> None:
        """The conversation has a name."""
        await self.hears(lambda: self.of("relay.session"))
        self.conversation_id = self.of("relay.session")[0]["conversation_id"]

    async def says(self, milliseconds: int) -> None:
        """Speak so long, then be silent."""
        await self.line.speak(SPEECH[: milliseconds * 48] + SILENCE)

    async def types(self, text: str = TYPED) -> None:
        """Write, and ask for an answer."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        create = {"type": "conversation.item.create", "item": item}
        await self.line.send(create, {"type": "response.create"})

    async def answered(self, count: int = 1) -> None:
        """Hear so many answers, and play them to their end at once."""
        await self.hears(lambda: self.answers() >= count)
        items = {event["item_id"] for event in self.of("response.output_audio.delta")}
        played = [{"type": "relay.playback", "item_id": i, "played_ms": 600_000} for i in items]
        await self.line.send(*played)

    def answers(self) -> int:
        """How many are complete."""
        done = {event["response"]["id"] for event in self.of("response.done")}
        return len(done) or self.counts["rate_limits.updated"]

    async def written_down(self, count: int = 1) -> None:
        """Hear so many turns' words whole, or that there are none."""
        await self.hears(lambda: self._written() >= count)

    def _written(self) -> int:
        over = self.of(TRANSCRIPTION + "completed") + self.of(TRANSCRIPTION + "failed")
        return len({e["item_id"] for e in over if e.get("status") != "in_progress"})

    async def converses(self) -> None:
        """A whole conversation: speak, write, speak."""
        await self.says(200)
        await self.answered(1)
        await self.types()
        await self.answered(2)
        await self.says(400)
        await self.answered(3)

    async def converses_to_the_last_word(self) -> None:
        """The same, until everything that was said is written down and nothing is on its way."""
        await self.converses()
        await self.written_down(2)
        await self.at_rest()

    async def at_rest(self) -> None:
        """All that the engine had to say until now has come: its answer comes behind it."""
        answer = "input_audio_buffer.cleared"
        before = self.counts[answer]
        await self.line.send({"type": "input_audio_buffer.clear"})
        await self.hears(lambda: self.counts[answer] > before)

    async def ended(self) -> tuple[int, str]:
        """Read to the end; the close code and reason."""
        return await self.line.closed(PATIENCE)


@dataclass(slots=True)
class Bad:
    """A relay before a provider that has a bad day."""

    stage: Stage
    folder: Path
    tokens: list[str] = field(default_factory=list)
    went_up: list[Event] = field(default_factory=list)
    clock: Clock = time.time

    @asynccontextmanager
    async def call(self, sub: str = "ada", query: str = "?relay=1") -> AsyncIterator[Caller]:
        """A caller at the OpenAI door, who has been greeted where that is asked for."""
        bearer = token(sub, clock=self.clock)
        self.tokens.append(bearer)
        headers = {"Authorization": f"Bearer {bearer}"}
        async with self.stage.openai_client(query, additional_headers=headers) as line:
            caller = Caller(line, bearer)
            if "relay=1" in query:
                await caller.greeted()
            yield caller

    @asynccontextmanager
    async def old_call(self, sub: str) -> AsyncIterator[Caller]:
        """A caller at S3's door, who knows nothing of `relay.playback`."""
        bearer = token(sub, clock=self.clock)
        self.tokens.append(bearer)
        named = {"token": bearer, "conversation_id": new_id()}
        async with self.stage.s3_client(sub, **named) as line:
            caller = Caller(line, bearer)
            caller.conversation_id = named["conversation_id"]
            await caller.hears(lambda: caller.of("session.updated"))
            yield caller

    @asynccontextmanager
    async def two(self) -> AsyncIterator[tuple[Caller, Caller]]:
        """The first caller, who has the fault, and another beside it."""
        async with self.call("ada") as sick, self.call("bob") as well:
            yield sick, well

    def utterances(self, caller: Caller) -> list[Utterance]:
        """What the store has of a caller's conversation, in its order; ask when all is over."""
        with closing(sqlite3.connect(self.folder / "relay.db")) as file:
            file.row_factory = sqlite3.Row
            records = sqlite_tables.transcript(file, caller.conversation_id)
        said = [record.utterance for record in records]
        assert [u.created_at for u in said] == sorted(u.created_at for u in said)
        assert len({u.seq for u in said}) == len(said)
        assert len({u.position for u in said}) == len(said)
        return said

    def told(self, caller: Caller) -> list[Told]:
        """The same, as who said what."""
        return [(u.role, u.text, u.state) for u in self.utterances(caller)]

    def same(self, caller: Caller, other: Caller) -> bool:
        """Whether the store has the same of both: words, what was heard of them, and how long."""
        one, two = (
            [_alike(u, number) for number, u in enumerate(self.utterances(c))]
            for c in (caller, other)
        )
        return one == two


def _alike(utterance: Utterance, number: int) -> Utterance:
    """An utterance without what no two calls have in common."""
    return msgspec.structs.replace(
        utterance, item_id="", seq=0, position=float(number), created_at=0.0
    )


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it at once."""
    async with asyncio.TaskGroup() as all_at_once:
        for one in work:
            all_at_once.create_task(one)


@asynccontextmanager
async def bad_day(
    folder: Path,
    *faults: Fault,
    script: Script = SCRIPT,
    burst: float = BURST,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[Bad]:
    """A relay whose provider has these faults; at the end nothing may be left of any call.

    `clock` is the relay's; `settings` are overrides.
    """
    went_up: list[Event] = []
    options = SimulatorOptions(
        parts(script),
        pace=Pace(burst=burst, text_seconds=0),
        faults=Faults(faults),
        on_frame=lambda frame: went_up.append(json.loads(frame)),
    )
    with quiet(script) as tokens:
        async with await simulate(options) as simulator:
            given = {
                "relay_engine": "openai",
                "openai_api_key": KEY,
                "openai_base_url": simulator.base_url,
                **settings,
            }
            one = clock and MachineClock(clock, clock)
            async with running(loaded(folder, **given), one) as app:
                before = asyncio.all_tasks()
                now = clock or time.time
                here = Bad(Stage(app, simulator, folder), folder, tokens, went_up, now)
                yield here
                await here.stage.emptied()
                await _only(before)
                assert app.directory.active == 0


async def _only(before: set["asyncio.Task[Any]"]) -> None:
    """Wait until no task is left but these."""
    try:
        async with asyncio.timeout(PATIENCE):
            while asyncio.all_tasks() - before:
                await asyncio.sleep(0.005)
    except TimeoutError:
        left = [task.get_name() for task in asyncio.all_tasks() - before]
        raise AssertionError(left) from None


@contextmanager
def quiet(script: Script) -> Iterator[list[str]]:
    """No log may hold a key, one of these tokens or a word, tell of a fault or a lost task."""
    tokens: list[str] = []
    complaints: list[str] = []
    listener = _Listener(complaints)
    logging.getLogger("asyncio").addHandler(listener)
    try:
        with structlog.testing.capture_logs() as lines:
            yield tokens
    finally:
        logging.getLogger("asyncio").removeHandler(listener)
    assert complaints == []
    log = json.dumps(lines, default=repr)
    secrets = [part for bearer in tokens for part in bearer.split(".")]
    found = [secret for secret in (KEY, SECRET, *secrets, *words_of(script)) if secret in log]
    assert found == [], lines
    assert [
        line for line in lines if line["event"] in ("session failed", "connection did not close")
    ] == []


def words_of(script: Script) -> list[str]:
    """The words that anybody may say, but for those that a log may need too."""
    texts = [*SPOKEN.values(), TYPED, *(text for reply in script.replies for text in _said(reply))]
    return [word for text in texts for word in text.strip(".?").split() if len(word) > 6]


def _said(reply: str | Reply) -> Sequence[str]:
    if isinstance(reply, str):
        return [reply]
    return [output.text for output in reply.outputs if isinstance(output, SpokenMessage)]


class _Listener(logging.Handler):
    """Keeps what asyncio complains of: exceptions that nobody took."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._complaints.append(record.getMessage())
