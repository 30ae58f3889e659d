"""A data folder that an earlier relay left: its journal is delivered, its database is used on.

`old/README.md` says how the files and the answers in `old/expected.json` were made.
"""

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from relay.cli.main import main
from relay.config import Settings
from relay.realtime.records import ActionRecord, AnyRecord, Record, SessionRecord, UsageRecord
from relay.storage import open_storage
from relay.stores.delivery import Delivery
from relay.stores.history import StoredHistory
from relay.stores.sqlite.privacy import SqlitePrivacy
from relay.stores.sqlite.store import SqliteStore
from relay.tasks import Tasks
from tests.stores.words import Call, corrected, open_journal, texts

OLD_BROWSER_DOOR: Final = "browser"
"""The present name of the door that the earlier relay called `s3`."""

OLD: Final = Path(__file__).with_name("old")
LEARNER: Final = "11111111-1111-4111-8111-111111111111"
SECOND: Final = "22222222-2222-4222-8222-222222222222"
COACH: Final = "99999999-9999-4999-8999-999999999999"
OTHER_COACH: Final = "88888888-8888-4888-8888-888888888888"
AGENT: Final = "33333333-3333-4333-8333-333333333333"
STORED, STORED_TOO, ONLY_IN_THE_JOURNAL = (
    f"44444444-4444-4444-8444-44444444444{number}" for number in (1, 2, 3)
)
RETAINED_AT: Final = 1_760_011_200.5 + 3 * 86_400
"""Two days of retention then forget what is in `relay.db`, and nothing of the journal."""

Json = dict[str, Any]
Relay = Callable[..., list[Any]]


def renamed(value: Any) -> Any:
    """An answer of the earlier relay with the door's present name."""
    if isinstance(value, list):
        return [renamed(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        name: OLD_BROWSER_DOOR if (name, inner) == ("door", "s3") else renamed(inner)
        for name, inner in value.items()
    }


def with_characters(value: Any) -> Any:
    """An answer of the earlier relay, which counted none, with the characters spoken.

    An export shows waiting records as they are on disk.
    """
    if isinstance(value, list):
        return [with_characters(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    answer = {
        name: inner if name == "journal" and isinstance(inner, list) else with_characters(inner)
        for name, inner in value.items()
    }
    return {**answer, "characters": 0} if "milliseconds" in answer else answer


def lasting(value: Any) -> Any:
    """An answer without the times at which it was given, or at which a row was last written."""
    if isinstance(value, list):
        return [lasting(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    passing = "exported_at", "updated_at"
    return {name: lasting(inner) for name, inner in value.items() if name not in passing}


@pytest.fixture(scope="module")
def expected() -> Json:
    answers: Json = with_characters(renamed(json.loads((OLD / "expected.json").read_text())))
    return answers


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the earlier relay's data folder, where commands of the working folder look."""
    for name in list(os.environ):
        if name.lower() in Settings.model_fields or name.startswith(("RELAY_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD, tmp_path / "var")
    return tmp_path / "var"


@pytest.fixture
def relay(capsys: pytest.CaptureFixture[str]) -> Relay:
    """Run a command, which must succeed; returns its JSON lines."""

    def run(*arguments: str) -> list[Any]:
        capsys.readouterr()  # what was logged before
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        assert ended.value.code == 0, printed.err
        if arguments[0] == "export":
            return [json.loads(printed.out)]
        return [json.loads(line) for line in printed.out.splitlines()]

    return run


class Sink:
    """A store that keeps what it is given, in order."""

    def __init__(self) -> None:
        self.records: list[AnyRecord] = []

    async def put(self, records: Sequence[AnyRecord]) -> None:
        self.records += records


async def delivered(journal_folder: Path, *more: AnyRecord) -> list[AnyRecord]:
    """All that a store is given of a journal to which `more` was appended."""
    sink = Sink()
    tasks = Tasks(lambda *_: None)
    journal = await open_journal(journal_folder)
    for record in more:
        journal.append(record)
    await journal.flush()
    delivery = Delivery(journal, sink)
    tasks.run(delivery.run(), "delivery")

    assert await delivery.flush(10)
    assert journal.state.waiting == journal.state.set_aside == journal.state.lost == 0

    await tasks.aclose()
    await journal.aclose()
    return sink.records


async def deliver_into_the_store(folder: Path) -> Json:
    """Run the present relay's storage on the folder until all is delivered."""
    tasks = Tasks(lambda *_: None)
    async with open_storage(folder, tasks) as storage:
        assert await storage.delivery.flush(10)
        state = storage.delivery.state
    return {
        "delivered": state.delivered,
        "set_aside": state.set_aside,
        "names": [list(name) for name in state.refused],
        "depth": state.depth,
    }


# ------------------------------------------------------------------------------- the journal


async def test_every_undelivered_record_is_delivered_once_in_order_with_its_fields(
    data: Path, expected: Json
) -> None:
    records = await delivered(data / "journal")

    assert msgspec.to_builtins(records) == expected["journal"]["pending"]
    assert len({record.id for record in records}) == len(records) == 19
    assert Counter(map(type, records)) == {
        Record: 10,
        ActionRecord: 4,
        UsageRecord: 3,
        SessionRecord: 2,
    }
    assert await delivered(data / "journal") == []


async def test_the_states_and_doors_of_calls_are_among_them(data: Path) -> None:
    records = await delivered(data / "journal")
    words = [record.utterance for record in records if isinstance(record, Record)]
    doors = [record.door for record in records if isinstance(record, SessionRecord)]

    assert {said.state for said in words} == {
        *("partial", "final", "interrupted", "failed", "unheard")
    }
    assert {said.origin for said in words} == {"voice", "seeded"}
    assert [said.coach_id for said in words if said.coach_id] == [COACH]
    assert [said.content_index for said in words if said.content_index] == [1]
    assert doors == ["openai", OLD_BROWSER_DOOR]


async def test_the_journal_tells_what_it_holds(data: Path, expected: Json) -> None:
    journal = await open_journal(data / "journal")
    state = journal.state
    await journal.aclose()

    assert (state.waiting, state.set_aside, state.oldest_at) == (
        expected["journal"]["waiting"],
        expected["journal"]["set_aside"],
        expected["journal"]["oldest_at"],
    )


async def test_a_call_continues_a_conversation_of_the_store_and_the_journal(
    data: Path, expected: Json
) -> None:
    journal = await open_journal(data / "journal")
    store = SqliteStore(data / "relay.db")
    history = StoredHistory(journal, store)
    told = {
        conversation: msgspec.to_builtins(await history.conversation(conversation))
        for conversation in (STORED, STORED_TOO, ONLY_IN_THE_JOURNAL)
    }
    await store.aclose()
    await journal.aclose()

    assert told == expected["journal"]["history"]


async def test_new_records_and_corrections_join_the_old_ones(data: Path) -> None:
    held = await delivered(data / "journal")
    shutil.rmtree(data / "journal")
    shutil.copytree(OLD / "journal", data / "journal")
    partial = next(r for r in held if isinstance(r, Record) and r.utterance.state == "partial")
    finished = corrected(partial, "I told them the truth.", seq=20)
    late = Call(session_id=partial.head.session_id, conversation_id=STORED).user("Bye.", 21)

    records = await delivered(data / "journal", finished, late)

    assert records == [*(record for record in held if record != partial), finished, late]


# ------------------------------------------------------------------------------ the database


def test_usage_is_reported_as_before(data: Path, expected: Json, relay: Relay) -> None:
    for by, report in expected["before"]["usage"].items():
        assert relay("usage", "--json", "--by", by) == [report]
    since = relay("usage", "--json", "--by", "user", "--since", "2025-10-10")
    assert since == [expected["before"]["usage_since"]]


def test_transcripts_are_told_as_before(data: Path, expected: Json, relay: Relay) -> None:
    assert expected["before"]["transcript"].keys() == {STORED, STORED_TOO}
    for conversation, lines in expected["before"]["transcript"].items():
        assert relay("transcript", "--json", conversation) == lines
    latest = [json.loads(line) for line in expected["before"]["latest"]]
    assert relay("transcript", "--json") == latest


@pytest.mark.parametrize("user", [LEARNER, SECOND, COACH])
def test_a_person_is_exported_as_before(
    data: Path, expected: Json, relay: Relay, user: str
) -> None:
    assert lasting(relay("export", "--user", user)) == [expected["before"]["export"][user]]


@pytest.mark.parametrize("user", [LEARNER, SECOND, COACH])
def test_a_person_is_erased_as_before(data: Path, expected: Json, relay: Relay, user: str) -> None:
    answer = dict(expected["erase_before"][user])
    left = answer.pop("left")

    assert relay("erase", "--yes", "--json", "--user", user) == [answer | {"done": True}]
    for other, export in left.items():
        assert lasting(relay("export", "--user", other)) == [export]


async def asked(file: Path) -> Json:
    """What doors and coaches ask of the store."""
    store = SqliteStore(file)
    days = range(20_370, 20_373)
    answers = {
        "owner": {
            conversation: await store.owner(conversation)
            for conversation in (STORED, STORED_TOO, ONLY_IN_THE_JOURNAL)
        },
        "learners": {c: sorted(await store.learners(c)) for c in (COACH, OTHER_COACH)},
        "conversations": msgspec.to_builtins(await store.conversations(None, 10)),
        "of_second": [c.conversation_id for c in await store.conversations({SECOND}, 10)],
        "spent": {
            str(day): [await store.spent(day, AGENT), await store.spent(day, AGENT, LEARNER)]
            for day in days
        },
    }
    await store.aclose()
    return answers


async def test_the_store_answers_as_before(data: Path, expected: Json) -> None:
    answers = await asked(data / "relay.db")

    assert answers == {name: expected["before"][name] for name in answers}


async def test_an_old_database_takes_new_records_and_corrections(data: Path) -> None:
    store = SqliteStore(data / "relay.db")
    (hello,) = (r for r in await store.transcript(STORED) if "interview" in r.utterance.text)
    call = Call(
        session_id=hello.head.session_id.replace("5", "7"),
        conversation_id=STORED,
        user_id=LEARNER,
        started_at=RETAINED_AT,
    )
    before = texts(await store.transcript(STORED))
    spent = await store.spent(20_370, AGENT, LEARNER)

    await store.put(
        [
            corrected(hello, "Good morning!", seq=90),
            *(call.begun(), call.user("It went well."), call.used(40, day=20_370), call.done()),
        ]
    )

    after = texts(await store.transcript(STORED))
    assert after == [
        *("Good morning!" if text == hello.utterance.text else text for text in before),
        "It went well.",
    ]
    assert await store.spent(20_370, AGENT, LEARNER) == spent + 40
    assert await store.assign(OTHER_COACH, SECOND)
    assert await store.unassign(COACH, LEARNER)
    assert await store.learners(OTHER_COACH) == {SECOND}
    assert await store.learners(COACH) == {SECOND}
    await store.aclose()


# --------------------------------------------------------------------------- both of them


def test_what_was_undelivered_is_in_every_report_once_it_is_stored(
    data: Path, expected: Json, relay: Relay
) -> None:
    assert asyncio.run(deliver_into_the_store(data)) == expected["delivery"]

    after = expected["after"]
    for by, report in after["usage"].items():
        assert relay("usage", "--json", "--by", by) == [report]
    for conversation, lines in after["transcript"].items():
        assert relay("transcript", "--json", conversation) == lines
    for user, export in after["export"].items():
        assert lasting(relay("export", "--user", user)) == [export]
    answers = asyncio.run(asked(data / "relay.db"))
    assert answers == {name: after[name] for name in answers}


@pytest.mark.parametrize("mode", ["delete", "redact"])
async def test_words_are_forgotten_as_before(data: Path, expected: Json, mode: Any) -> None:
    await deliver_into_the_store(data)
    people = SqlitePrivacy(data / "relay.db", lambda: RETAINED_AT)
    forgotten = await people.forget(2, mode)
    told = {LEARNER: lasting(await people.export(LEARNER))}
    await people.aclose()

    assert {"utterances": forgotten, "export": told} == expected["retain"][mode]
