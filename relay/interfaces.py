"""Interfaces between packages: connections, doors, engines, sessions, stores. Types only."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from relay.realtime.coaching.control import Command, Outcome
from relay.realtime.dialects.client import ClientDialect
from relay.realtime.endings import CLIENT_LEFT, Ending
from relay.realtime.events import Event
from relay.realtime.grant import Caller, Grant
from relay.realtime.records import AnyRecord, Record, SessionHead
from relay.realtime.scrubbing import Conceal, unchanged
from relay.realtime.transcript import InterimTranscript

if TYPE_CHECKING:
    from aiohttp.web import AbstractRouteDef

Frame = bytes | bytearray | memoryview
"""One event as it travels: the UTF-8 JSON of one text message."""


class Receiver(Protocol):
    """Takes what a connection pushes; called on the event loop, where nothing may block."""

    def frame(self, frame: Frame) -> None:
        """Take one whole event; the buffer is valid only during the call."""

    def writable(self, ready: bool) -> None:
        """The outgoing buffer rose above its high mark (False) or was drained (True)."""

    def closed(self, code: int, reason: str) -> None:
        """The connection is closed. Called exactly once; `code` is 1006 without a close frame.

        After a `close` of this end it reports that code and reason.
        """


class Connection(Protocol):
    """One end of a message connection, to a client or to an engine."""

    @property
    def fault(self) -> Ending | None:
        """Why this end has closed it by itself, for what the other did; None where it did not."""

    def attach(self, receiver: Receiver) -> None:
        """Push everything to this receiver from now on.

        What arrives before the first `attach` is held (bounded: reading is paused) and then
        delivered in order, a `closed` included. A later receiver replaces the one before.
        """

    def send(self, frame: Frame) -> None:
        """Queue one event; never blocks, ignored once closed. Heed `Receiver.writable`."""

    def pause(self) -> None:
        """Stop pushing frames; what is already in the read buffer may still come."""

    def resume(self) -> None:
        """Push frames again."""

    def ping(self) -> int:
        """Send a ping; returns how many earlier ones are still unanswered."""

    def close(self, code: int, reason: str) -> None:
        """Close once (repeats are ignored), gracefully for at most a second, then by force."""


@dataclass(frozen=True, slots=True, repr=False)
class ConnectRequest:
    """A client's request for a session, whatever transport it came by.

    `path` is as it was sent, not percent-decoded. `query` holds the parameters in order, decoded.
    `headers` is case-insensitive. `client_ip` is the client's address behind trusted proxies, ""
    where it has none. `let_in` is called once the caller has shown a valid token and has a place:
    until then the listener counts the connection as a newcomer, and ends it soon.
    """

    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    subprotocols: tuple[str, ...] = ()
    origin: str | None = None
    client_ip: str = ""
    let_in: Callable[[], None] = field(default=lambda: None, compare=False)

    def parameter(self, name: str) -> str | None:
        """The first query parameter of this name."""
        return next((value for key, value in self.query if key == name), None)

    def __repr__(self) -> str:
        """Path and address only; a token may be in any other part."""
        return f"<ConnectRequest {self.path} from {self.client_ip}>"


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A session's request for a connection to an engine."""

    session_id: str
    model: str
    user_id: str


@dataclass(frozen=True, slots=True)
class EngineCapabilities:
    """The differences between engines.

    `billed`: what it uses costs money, by the price table: the session's model, or the
    `billed_models` where it names its own. `truncation`: it takes
    `conversation.item.truncate`. `input_transcription`: it transcribes what a user says.
    `max_session_seconds`: it ends sessions that last longer, None: it does not. `conceal` takes
    its keys out of what it says.
    """

    billed: bool
    truncation: bool = True
    input_transcription: bool = True
    max_session_seconds: float | None = None
    billed_models: tuple[str, ...] = ()
    conceal: Conceal = unchanged


class Engine(Protocol):
    """A server of the GA Realtime protocol, which answers in a session."""

    name: str

    @property
    def capabilities(self) -> EngineCapabilities:
        """Its capabilities, the same for all sessions that begin now."""

    async def open(self, request: EngineRequest) -> Connection:
        """Open a connection; it is ready with its first frame, `session.created`.

        Raises `SessionRefused` with the ending that the client shall see. A cancelled `open`
        leaves no socket behind.
        """

    async def aclose(self) -> None:
        """Release threads and sockets; open connections are closed."""


class Journal(Protocol):
    """The write-ahead log before the store."""

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
    """A door's decision about a client: its grant, its dialect, and the first `session.update`.

    `first_shown` says whether the client sees the answer to `first_update`, `truncates` that it
    cannot report itself how much of an interrupted answer it played, `pace_ms` how far ahead of
    playback audio may be sent (None: as it comes). Events of the types `after_playback` are paced
    to the end of what plays. `client_update` is a `session.update` that counts as the client's
    first event, whatever its dialect: the settings that its token is bound to.
    """

    grant: Grant
    dialect: ClientDialect
    first_update: Event
    first_shown: bool
    truncates: bool = False
    pace_ms: int | None = None
    after_playback: Collection[str] = ()
    client_update: Event | None = None


class Door(Protocol):
    """A way in: it knows what its clients speak, and admits or refuses them."""

    name: str

    def matches(self, request: ConnectRequest) -> bool:
        """Whether this request of the WebSocket listener is for this door."""

    def dialect(self, request: ConnectRequest) -> ClientDialect:
        """The dialect of this client, also when it is refused."""

    async def authenticate(self, request: ConnectRequest) -> Caller:
        """Find out who is calling, by the token that was shown; raises `SessionRefused`."""

    async def admit(self, request: ConnectRequest, caller: Caller) -> Admission:
        """Decide what an authenticated caller gets; raises `SessionRefused`."""


Accept = Callable[[Connection, ConnectRequest, Door], None]
"""Starts the session of a connected client and returns at once. A refusal, too, comes by the
connection: an event or none, then its close."""


class HttpDoor(Protocol):
    """A door on the HTTP listener; its handlers bring a `LocalConnection`."""

    name: str

    def routes(self, accept: Accept) -> Iterable["AbstractRouteDef"]:
        """Its routes, on the HTTP listener and on its own port; called before they listen."""

    def own_routes(self) -> Iterable["AbstractRouteDef"]:
        """Those that it answers on its own port alone, where it is the only door."""

    async def aclose(self) -> None:
        """Let go of its clients; the listeners take no more, and sessions are ended after it."""


class WorkerDoor(Protocol):
    """A door that reaches out for its clients."""

    async def run(self, accept: Accept) -> None:
        """Bring clients in until this is cancelled, which is after their sessions have ended."""


StreamRefusal = Literal["over", "busy", "format"]
"""The session has ended; too many coaches listen; its audio is not PCM16 at 24 kHz."""


class CoachAudioStream(Protocol):
    """A coach's audio in and out of a live session, open until `close`."""

    @property
    def ending(self) -> Ending | None:
        """Why it was closed, None while it is open."""

    def take_audio(self, pcm: bytes) -> None:
        """Take the coach's audio (PCM16 mono 24 kHz); played while this coach has the floor."""

    async def next(self) -> bytes | None:
        """The next frame for the coach: a byte for the speaker, then PCM16. None once closed."""

    def close(self, ending: Ending = CLIENT_LEFT) -> None:
        """Close it; the first ending wins."""


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A session at one moment.

    `seq` is the newest utterance's, on disk or not. `tokens` are counted by kind, `micro` is their
    price in micro-dollars (None where one is not known). `answers` is how many answers have begun,
    `answer_ms` the latency of the last. `ending` is None while the session lasts, `speaker` the
    coach who has the floor.
    """

    seq: int
    tokens: Mapping[str, int]
    micro: int | None
    answers: int
    answer_ms: int | None
    ending: str | None = None
    is_paused: bool = False
    speaker: str | None = None


class LiveSession(Protocol):
    """A session of this process, for feeds and the API. Every call is on the event loop."""

    @property
    def head(self) -> SessionHead:
        """The fields that every record of the session carries."""

    @property
    def door(self) -> str:
        """The name of the door it came in by."""

    @property
    def engine_name(self) -> str:
        """The name of the engine that answers."""

    def status(self) -> SessionStatus:
        """The session as it is now."""

    def interim(self) -> Sequence[InterimTranscript]:
        """The text so far of utterances that are not final."""

    def execute(self, command: Command) -> Outcome:
        """Carry out a coach's command."""

    def open_coach_audio(self, coach: str) -> CoachAudioStream | StreamRefusal:
        """Open an audio stream for this coach; an earlier one of theirs is closed (4009)."""

    def end(self, ending: Ending) -> None:
        """End it; the first ending wins."""


class SessionDirectory(Protocol):
    """The live sessions, and the slots that limit their number.

    A slot is acquired once a caller has been identified, and released exactly once, when its
    context ends: with the session, or when a newer one of the same user takes its place.
    """

    max_connections: int

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more session: no slot, or too little memory."""

    @property
    def active(self) -> int:
        """How many slots are taken."""

    def acquire(self) -> AbstractAsyncContextManager[None]:
        """Hold one of all slots; raises `SessionRefused` (AT_CAPACITY) when all are taken."""

    def acquire_user(self, sub: str) -> AbstractAsyncContextManager[None]:
        """Hold one of this user's slots; raises `SessionRefused` (TOO_MANY_SESSIONS)."""

    def track(self, session: LiveSession) -> AbstractContextManager[None]:
        """List the session while the context lasts.

        Every implementation tells its observers (the feed hub is one) of each tracked session.
        """

    def find(self, session_id: str) -> LiveSession | None:
        """The live session of this id."""

    def end_all(self, ending: Ending) -> None:
        """End every live session."""


Mode = Literal["delete", "redact"]
"""`delete` removes utterances, `redact` empties them and keeps the rows."""


class NoSuchPerson(Exception):  # noqa: N818 - an answer to a question, not a fault
    """No user of this store can have that id."""


class PrivacyStore(Protocol):
    """Retention, export and erasure of one person's data. Raises what the store raises."""

    async def count_old(self, days: int, mode: Mode) -> int:
        """Return how many utterances `forget` would forget."""

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


@dataclass(frozen=True, slots=True)
class SupabaseCredentials:
    """A project's address, like `https://ref.supabase.co`, and its service key."""

    url: str
    service_key: str = field(repr=False)
