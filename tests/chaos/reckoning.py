"""What is in PostgreSQL at the end, held against what was said and what was shown."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.coaches import Final
from tests.chaos.learners import LINES, Said, user_of
from tests.chaos.programs import RAN, WAITED
from tests.supabase.project import Project

COMMIT_BOUND = "0.05"
"""Seconds from receipt to commit that 99 of 100 records may take at most."""
ON_THE_WAY = 2.0
"""Seconds before a kill in which words may have been taken and not yet committed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One message as it is stored."""

    id: str
    conversation_id: str
    role: str
    text: str
    metadata: Mapping[str, Any]
    created_at: float
    user_id: str

    @property
    def seq(self) -> int:
        return int(self.metadata["seq"])

    @property
    def session_id(self) -> str:
        return str(self.metadata["voice_session_id"])

    @property
    def whole_text(self) -> str:
        return str(self.metadata.get("full_text", self.text))

    @property
    def place(self) -> tuple[str, float, int]:
        """Where it stands in its conversation: by session, then within it."""
        data = self.metadata
        return data["session_started_at"], data["position"], data["content_index"]


async def rows_of(project: Project) -> list[Row]:
    """All of them, as a reader gets them: by the time they were said."""
    found = await project.sql(
        "select m.id::text, m.conversation_id::text, m.role, m.content ->> 'text', m.metadata,"
        " extract(epoch from m.created_at)::double precision, c.user_id::text"
        " from chat_messages_v2 m join conversation_sessions c using (conversation_id)"
        " order by m.conversation_id, m.created_at, m.id"
    )
    return [Row(*columns) for columns in found]


def not_as_shown(rows: Sequence[Row], finals: Mapping[str, Final]) -> Iterator[str]:
    """Every final that a feed showed is there, in that version or a later one, word for word."""
    stored = {row.id: row for row in rows}
    for key, final in finals.items():
        row = stored.get(key)
        if row is None:
            yield f"shown and not stored: {final}"
        elif row.seq < final.seq:
            yield f"stored in version {row.seq}: {final}"
        elif row.seq == final.seq and not _same(row, final):
            yield f"stored otherwise, as {row}: {final}"
        elif (row.session_id, row.conversation_id) != (final.session_id, final.conversation_id):
            yield f"stored elsewhere, as {row}: {final}"


def _same(row: Row, final: Final) -> bool:
    told = final.text if final.role == "user" else final.heard_text
    return (row.role, row.text, row.whole_text, row.metadata["position"]) == (
        *(final.role, told, final.text, final.position),
    )


def twice(rows: Sequence[Row]) -> Iterator[str]:
    """No item has two rows, and no words of a learner's are there twice."""
    items = Counter(
        (row.session_id, row.metadata["item_id"], row.metadata["content_index"]) for row in rows
    )
    words = Counter(row.text for row in rows if row.role == "user")
    yield from (f"two rows: {item}" for item, count in items.items() if count > 1)
    yield from (f"said twice: {text}" for text, count in words.items() if count > 1)


def out_of_order(rows: Sequence[Row]) -> Iterator[str]:
    """Read by time, a conversation is in its order, and what was typed as it was typed."""
    for conversation, said in _grouped(rows, lambda row: row.conversation_id).items():
        places = [row.place for row in said]
        if places != sorted(places):
            yield f"order of {conversation}"
        times = [row.created_at for row in said]
        if len(set(times)) < len(times):
            yield f"two at one time in {conversation}"
    for session, said in _grouped(rows, lambda row: row.session_id).items():
        typed = [_number(row.text) for row in said if row.role == "user"]
        if typed != sorted(typed):
            yield f"order of what was typed in {session}"


def in_anothers(rows: Sequence[Row], learners: int) -> Iterator[str]:
    """Every word is in a conversation of the learner who said it, or whom it answers."""
    owner = {user_of(number): f"L{number:02}." for number in range(learners)}
    for row in rows:
        words = row.whole_text.rpartition(" ")[2]
        if not words.startswith(owner[row.user_id]):
            yield f"of another: {row}"


async def miscounted(project: Project) -> list[tuple[Any, ...]]:
    """Conversations whose `message_count` is not the number of their rows."""
    return await project.sql(
        "select c.conversation_id, c.message_count, count(m.id) from conversation_sessions c"
        " left join chat_messages_v2 m using (conversation_id)"
        " group by c.conversation_id, c.message_count having c.message_count <> count(m.id)"
    )


def lost(rows: Sequence[Row], said: Said) -> dict[str, float]:
    """Words that the voice had taken and that are nowhere, with the moment."""
    stored = {row.text for row in rows if row.role == "user"}
    return {text: at for text, at in said.typed.items() if text not in stored}


def lost_without_a_kill(gone: Mapping[str, float], kills: Iterable[float]) -> list[str]:
    """Those that were not on their way to the disk when the process died."""
    moments = list(kills)
    return [
        text
        for text, at in gone.items()
        if not any(-0.5 <= kill - at <= ON_THE_WAY for kill in moments)
    ]


def share_within(figures: Mapping[str, float], bound: str) -> float:
    """Of all commits, how many took no longer than a bucket's bound."""
    name = "relay_journal_commit_seconds"
    return figures[f"{name}_bucket|{bound}"] / figures[f"{name}_count"]


def percentile_ms(figures: Mapping[str, float], share: float) -> float:
    """Within its bucket as if the times were spread evenly in there, as Prometheus does it."""
    prefix = "relay_journal_commit_seconds_bucket|"
    buckets = sorted(
        (float(k.removeprefix(prefix)), v) for k, v in figures.items() if k.startswith(prefix)
    )
    wanted, low, below = share * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            return (low + (bound - low) * (wanted - below) / (count - below)) * 1000
        low, below = bound, count
    return low * 1000


def crowding(figures: Mapping[str, float]) -> float:
    """Of the time in which the event loop had something to do, how much it waited for a CPU."""
    return figures[WAITED] / (figures[RAN] + figures[WAITED])


def _grouped(rows: Sequence[Row], key: Any) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _number(words: str) -> tuple[int, int]:
    """Which turn and line it was."""
    turn, line = words.split(".")[2:]
    return int(turn), LINES if line == "v" else int(line)
