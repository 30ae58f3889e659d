"""A live session and a disk for feeds, each moved by the test."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.clock import MachineClock
from relay.feed.feed import FeedHistory, SessionFeed
from relay.feed.hub import FeedHub
from relay.interfaces import SessionStatus, StreamRefusal
from relay.realtime.coaching.control import Command, Outcome
from relay.realtime.endings import CLIENT_LEFT, Ending
from relay.realtime.records import AnyRecord, Record, SessionHead
from relay.realtime.transcript import InterimTranscript
from relay.session.directory import MemorySessionDirectory
from tests.stores.words import Call, corrected

WORDS = Call()
HEAD = WORDS.user("x").head


def said(seq: int, text: str | None = None) -> Record:
    """The utterance that settled as number `seq` at that position."""
    return WORDS.user(text or f"words {seq}", float(seq))


def again(record: Record, seq: int) -> Record:
    """The same utterance, corrected."""
    return corrected(record, f"{record.utterance.text}, no: {seq}", seq)


class FakeLine:
    """A `CoachAudioStream` whose frames a test puts into `frames`."""

    def __init__(self, coach: str) -> None:
        self.coach = coach
        self.heard: list[bytes] = []
        self.ending: Ending | None = None
        self.frames: asyncio.Queue[bytes | None] = asyncio.Queue()

    def take_audio(self, pcm: bytes) -> None:
        self.heard.append(pcm)

    async def next(self) -> bytes | None:
        return await self.frames.get()

    def close(self, ending: Ending = CLIENT_LEFT) -> None:
        if self.ending is None:
            self.ending = ending
            self.frames.put_nowait(None)


@dataclass
class FakeCall:
    """A `LiveSession` with fields that a test sets."""

    head: SessionHead = HEAD
    door: str = "openai"
    engine_name: str = "offline"
    open: list[InterimTranscript] = field(default_factory=list)
    seq: int = 0
    cost: int | None = 0
    begun: tuple[int, int | None] = (0, None)
    why: str | None = None
    asked: int = 0
    outcome: Outcome = "done"
    commands: list[Command] = field(default_factory=list)
    obeyed: list[str] = field(default_factory=list)
    lines: list[FakeLine] = field(default_factory=list)
    no_line: StreamRefusal | None = None

    def status(self) -> SessionStatus:
        return SessionStatus(
            seq=self.seq,
            tokens={"text_out": self.seq},
            micro=self.cost,
            answers=self.begun[0],
            answer_ms=self.begun[1],
            ending=self.why,
            is_paused=self.obeyed[-1:] == ["pause"],
        )

    def interim(self) -> Sequence[InterimTranscript]:
        self.asked += 1
        return list(self.open)

    def execute(self, command: Command) -> Outcome:
        if self.why is not None:
            return "over"
        self.commands.append(command)
        if self.outcome == "done":
            self.obeyed.append(command.action)
        return self.outcome

    def end(self, ending: Ending) -> None:
        self.why = self.why or ending.name

    def open_coach_audio(self, coach: str) -> FakeLine | StreamRefusal:
        if self.why is not None:
            return "over"
        if self.no_line is not None:
            return self.no_line
        self.lines.append(FakeLine(coach))
        return self.lines[-1]


class Disk:
    """The journal and the store in memory; every question takes some turns of the loop."""

    def __init__(self) -> None:
        self.journal: dict[str, Record] = {}
        self.store: dict[str, Record] = {}
        self.turns = 1
        self.reads = 0
        self.broken = False

    def commit(self, record: Record) -> None:
        self.journal[record.id] = record

    def put(self) -> None:
        """Delivery's first half: the store has what waits."""
        self.store |= self.journal

    def mark(self) -> None:
        """… and its second: what the store has waits no more."""
        stored = self.store
        self.journal = {k: r for k, r in self.journal.items() if stored.get(k) != r}

    async def of_conversation(self, conversation_id: str, limit: int) -> Sequence[Record]:
        self.reads += 1
        return await self._some(self.journal, conversation_id)

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        if self.broken:
            raise OSError("the database is away")
        return await self._some(self.store, conversation_id)

    async def owner(self, conversation_id: str) -> str | None:
        found = await self._some(self.store, conversation_id)
        return found[0].head.user_id if found else None

    async def spent(self, day: int, agent_id: str, user_id: str | None = None) -> int:
        return 0

    async def _some(self, table: dict[str, Record], conversation_id: str) -> list[Record]:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        found = [r for r in table.values() if r.head.conversation_id == conversation_id]
        for _ in range(self.turns):
            await asyncio.sleep(0)
        return found


@dataclass
class HubWithDisk:
    """A hub with one disk; `commit` puts records on it and tells the hub, as the journal does."""

    now: float = 1_760_000_100.0
    disk: Disk = field(default_factory=Disk)

    def __post_init__(self) -> None:
        self.hub = FeedHub(FeedHistory(self.disk, self.disk), MachineClock(self._time, self._time))
        self.directory = MemorySessionDirectory(100, 0, [self.hub.track])

    def _time(self) -> float:
        return self.now

    def commit(self, *records: AnyRecord) -> None:
        for record in records:
            if isinstance(record, Record):
                self.disk.commit(record)
        self.hub.on_commit(records)

    @property
    def feed(self) -> SessionFeed:
        found = self.hub.find(HEAD.session_id)
        assert found is not None
        return found
