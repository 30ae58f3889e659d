"""What a peer, an engine, a journal and a store look like to each other; types only."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from relay.realtime.dialects.client import ClientDialect
from relay.realtime.events import Event
from relay.realtime.grant import Grant
from relay.realtime.records import AnyRecord, Record

Frame = bytes | bytearray | memoryview
"""One event as it travels: the UTF-8 JSON of one text message."""


class Receiver(Protocol):
    """Whom a peer pushes to. Every method is called on the event loop and must not block."""

    def frame(self, frame: Frame) -> None:
        """One whole event came in; the buffer is valid only during the call."""

    def writable(self, ready: bool) -> None:
        """The peer's outgoing buffer rose above its high mark (False) or was drained (True)."""

    def closed(self, code: int, reason: str) -> None:
        """The peer is gone. Called exactly once; `code` is 1006 when no close frame came.

        After a `close` of our own it reports that code and reason.
        """


class Connection(Protocol):
    """One end of a session. Clients and engines have the same shape."""

    def attach(self, receiver: Receiver) -> None:
        """Push everything to this receiver from now on.

        Until the first `attach` a peer keeps what comes (bounded: it pauses its own reading) and
        then delivers it in order, a `closed` included.
        """

    def send(self, frame: Frame) -> None:
        """Queue one event; never blocks, ignored once closed. Mind `Receiver.writable`."""

    def pause(self) -> None:
        """Stop pushing frames; what is already in the read buffer may still come."""

    def resume(self) -> None:
        """Push frames again."""

    def ping(self) -> int:
        """Ask for a sign of life; returns how many earlier pings are still unanswered."""

    def close(self, code: int, reason: str) -> None:
        """Close once (repeats are ignored), gracefully for at most a second, then by force."""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What an engine is told when a session asks it for a voice."""

    session_id: str
    model: str
    user_id: str


class Engine(Protocol):
    """A voice that can be reached."""

    name: str

    async def open(self, call: EngineRequest) -> Connection:
        """Reach the voice; its first frame is `session.created`, and before that it is not ready.

        Raises `realtime.endings.Refused` with the ending that the client shall see. A cancelled
        `open` leaves no socket behind.
        """

    async def aclose(self) -> None:
        """Let go of threads and sockets; open peers are closed."""


class Journal(Protocol):
    """The disk before the store."""

    def append(self, record: AnyRecord) -> None:
        """Queue a record for the disk; never blocks, never raises."""


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """One conversation in a list of them; times are in Unix seconds."""

    conversation_id: str
    user_id: str
    agent_id: str
    started_at: float
    last_active: float
    message_count: int


class RecordSink(Protocol):
    """Takes records for good."""

    async def put(self, records: Sequence[AnyRecord]) -> None:
        """Write records; writing one twice changes nothing, a lower `seq` never overwrites.

        Raises `RecordsRefused` for those that can never be stored, once all others are stored;
        after any other error some may be stored, and the call may be repeated.
        """


class UndeliveredRecords(Protocol):
    """The journal's view of what the store may not have yet."""

    async def of_conversation(self, conversation_id: str, limit: int) -> Sequence[Record]:
        """The conversation's latest `limit` undelivered utterances, oldest first."""


class StoreReader(Protocol):
    """The store's view of the past: conversations and what was spent."""

    async def owner(self, conversation_id: str) -> str | None:
        """The user whose conversation this is; None where it is unknown."""

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """The stored utterances of a conversation, in conversation order."""

    async def spent(self, day: int, agent_id: str, user_id: str | None = None) -> int:
        """Micro-dollars an agent's calls cost on a UTC day (since 1970), of one user if given."""


class Store(RecordSink, StoreReader, Protocol):
    """The database that records are delivered to."""

    async def learners(self, coach_id: str) -> frozenset[str]:
        """The users whose conversations this coach may follow."""

    async def conversations(
        self, users: Collection[str] | None, limit: int
    ) -> Sequence[ConversationSummary]:
        """The conversations of these users (None: of all), the most recently active first."""

    async def aclose(self) -> None:
        """Close the connection to the database."""


@dataclass(frozen=True, slots=True)
class ConversationHistory:
    """A conversation before this call: its user (None: it is new) and its utterances."""

    owner: str | None = None
    said: Sequence[Record] = ()


class History(Protocol):
    """The past as the journal and the store know it together."""

    async def conversation(self, conversation_id: str) -> ConversationHistory:
        """Everything said in a conversation until now. Raises what the store raises."""

    async def spent(self, day: int, agent_id: str, user_id: str | None) -> int:
        """Micro-dollars, as `StoreReader.spent`."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What a door decided about a caller: the grant, the view, and what the engine is told first.

    `first_shown` says whether the client sees the answer to `first_update`, `truncates` that it
    cannot say itself how much of an interrupted answer it played, `pace_ms` how far ahead of what
    is heard sound may be sent (None: as it comes).
    """

    grant: Grant
    view: ClientDialect
    first_update: Event
    first_shown: bool
    truncates: bool = False
    pace_ms: int | None = None


Mode = Literal["delete", "redact"]
"""`delete` removes utterances, `redact` empties them and keeps the rows."""


class NoSuchPerson(Exception):  # noqa: N818 - an answer to a question, not a fault
    """No user of this store can have that id."""


class PrivacyStore(Protocol):
    """Retention, export and erasure of one person's data. Raises what the store raises."""

    async def forget(self, days: int, mode: Mode) -> int:
        """Forget the utterances of calls older than `days`; returns how many there were."""

    async def export(self, user_id: str) -> Mapping[str, Any]:
        """Everything stored about one person, as JSON. Raises NoSuchPerson."""

    async def erase(self, user_id: str) -> Mapping[str, int]:
        """Erase one person; returns the number of rows by kind. Raises NoSuchPerson."""

    async def aclose(self) -> None:
        """Close the connection to the database."""


FOREIGN_CONVERSATION = "foreign_conversation"
"""The conversation belongs to another user."""
CONSTRAINT = "constraint"
"""The database's own constraints do not allow the row."""


class RecordsRefused(Exception):  # noqa: N818 - an outcome, not a fault
    """`put` stored every record but these, and trying these again will not help.

    `refused` maps record ids to one of the reasons above. It holds no spoken words.
    """

    def __init__(self, refused: Mapping[str, str]) -> None:
        super().__init__(f"{len(refused)} records refused")
        self.refused = refused


# ---- How the relay itself gets into a Supabase project.


@dataclass(frozen=True, slots=True)
class SupabaseCredentials:
    """A project's address, like `https://ref.supabase.co`, and its service key."""

    url: str
    service_key: str = field(repr=False)
