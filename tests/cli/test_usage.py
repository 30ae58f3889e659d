"""`relay usage`: what calls used and cost, from the store of this folder."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import Usage, UsageLine, cost
from relay.realtime.records import AnyRecord, UsageRecord, usage_id
from relay.stores.sqlite.store import SqliteStore
from tests.cli.conftest import Ran
from tests.cli.program import one_line
from tests.components import needs
from tests.stores.hosted import hosted
from tests.stores.words import (
    AGENT,
    CONVERSATION,
    DAY,
    LATER_SESSION,
    LEARNER,
    SESSION,
    STRANGER,
    Call,
)
from tests.supabase.project import Project

Run = Callable[..., Ran]
CALL = Call()
OTHER = CALL.of(
    session_id=LATER_SESSION, user_id=STRANGER, conversation_id=CONVERSATION.replace("4", "8")
)


def store(*records: AnyRecord) -> None:
    """Put records where `relay dev` in this folder would have."""

    async def put() -> None:
        database = SqliteStore(Path("var/relay.db"))
        await database.put(records)
        await database.aclose()

    asyncio.run(put())


def cells(line: str) -> list[str]:
    return line.split()


def two_calls() -> Sequence[AnyRecord]:
    return [
        *(CALL.begun(), CALL.ended(90), OTHER.begun(), OTHER.ended(30)),
        CALL.used(150_000, audio_in=500, audio_cached=400, audio_out=900),
        CALL.used(6_000, model="gpt-4o-transcribe", audio_in=100, text_out=20),
        OTHER.used(20_000, audio_in=50, audio_out=80),
    ]


def test_without_a_store_it_says_that_nothing_was_said(run: Run) -> None:
    ran = run("usage")

    assert (ran.code, ran.out) == (1, "")
    assert one_line(ran.err).startswith("nothing has been said yet; start `relay dev`")
    assert not Path("var").exists()


def test_the_table_lists_the_most_expensive_first(run: Run) -> None:
    store(*two_calls())
    ran = run("usage", "--by", "user")
    head, *lines = ran.out.splitlines()

    assert head.split("  ")[0] == "user"
    assert [cells(line) for line in lines] == [
        [LEARNER, "1", "1.5", "600", "400", "920", "0", "0.0", "0.1560", "0.1040"],
        [STRANGER, "1", "0.5", "50", "0", "80", "0", "0.0", "0.0200", "0.0400"],
        ["total", "2", "2.0", "650", "400", "1000", "0", "0.0", "0.1760", "0.0880"],
    ]
    assert len({len(line) for line in (head, *lines)}) == 1, "columns stand below each other"
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("session", [SESSION, LATER_SESSION]),
        ("user", [LEARNER, STRANGER]),
        ("agent", [AGENT]),
        ("day", ["2025-10-09"]),
        ("model", ["gpt-realtime", "gpt-4o-transcribe"]),
    ],
)
def test_the_same_total_by_every_name(run: Run, by: str, names: list[str]) -> None:
    store(*two_calls())
    told = json.loads(run("usage", "--by", by, "--json").out)

    assert [line[by] for line in told["lines"]] == names
    assert sum(line["micro"] for line in told["lines"]) == told["total"]["micro"] == 176_000
    assert told["total"]["seconds"] == 120
    assert told["total"]["micro_per_minute"] == 88_000


def test_the_default_is_by_day_and_since_limits_the_days(run: Run) -> None:
    store(CALL.used(1_000), CALL.used(2_000, day=DAY + 1), CALL.used(4_000, day=DAY + 2))

    assert [cells(line)[0] for line in run("usage").out.splitlines()[1:4]] == [
        *("2025-10-09", "2025-10-10", "2025-10-11"),
    ]
    told = json.loads(run("usage", "--since", "2025-10-10", "--json").out)
    assert (told["since"], told["total"]["micro"]) == ("2025-10-10", 6_000)


def test_usage_without_a_price_is_unknown_and_not_free(run: Run) -> None:
    store(CALL.ended(60), CALL.used(1_000), CALL.used(None, model="own-voice"))
    table, told = run("usage").out.splitlines(), json.loads(run("usage", "--json").out)

    assert "0.0010 + ?" in table[1]
    assert table[1].endswith("unknown")
    assert table[-1] == "?  unknown: no price was known for own-voice"
    assert (told["total"]["micro"], told["total"]["known_micro"]) == (None, 1_000)
    assert told["total"]["unpriced"] == ["own-voice"]
    assert told["total"]["micro_per_minute"] is None


def test_a_call_without_an_end_is_mentioned(run: Run) -> None:
    store(CALL.begun(), CALL.used(1_000))

    assert run("usage").out.splitlines()[-1].startswith("1 call has no end yet: without minutes")


def test_a_models_name_cannot_control_the_terminal(run: Run) -> None:
    store(CALL.used(5, model="a\x1b[31m\nb"))

    assert "a [31m b" in run("usage", "--by", "model").out


def test_what_parts_used_is_listed_by_model(run: Run) -> None:
    store(
        CALL.ended(60),
        CALL.used(2_000, model="gpt-4.1-mini", text_in=4_000, text_cached=1_000, text_out=500),
        CALL.used(7_500, model="gpt-4o-mini-tts", characters=450, milliseconds=30_000),
        CALL.used(1_500, model="gpt-4o-mini-transcribe", milliseconds=30_000),
    )
    head, *lines = run("usage", "--by", "model").out.splitlines()
    told = json.loads(run("usage", "--by", "model", "--json").out)

    assert "characters  speech min" in head
    assert [cells(line) for line in lines] == [
        ["gpt-4o-mini-tts", "1", "1.0", "0", "0", "0", "450", "0.5", "0.0075", "0.0075"],
        ["gpt-4.1-mini", "1", "1.0", "4000", "1000", "500", "0", "0.0", "0.0020", "0.0020"],
        ["gpt-4o-mini-transcribe", "1", "1.0", "0", "0", "0", "0", "0.5", "0.0015", "0.0015"],
        ["total", "1", "1.0", "4000", "1000", "500", "450", "1.0", "0.0110", "0.0110"],
    ]
    assert told["total"]["usage"]["characters"] == 450


def test_a_file_that_an_earlier_relay_wrote_is_read_as_it_is(run: Run) -> None:
    store(CALL.ended(60), CALL.used(1_000))

    async def drop() -> None:
        database = SqliteStore(Path("var/relay.db"))
        query = "ALTER TABLE voice_usage DROP COLUMN characters"
        await database._worker.run(lambda file: file.execute(query).close())
        await database.aclose()

    asyncio.run(drop())

    assert json.loads(run("usage", "--json").out)["total"]["micro"] == 1_000


@pytest.mark.parametrize("day", ["yesterday", "2025-13-01", "20"])
def test_a_day_that_is_no_date_is_refused(run: Run, day: str) -> None:
    ran = run("usage", "--since", day)

    assert (ran.code, ran.out) == (2, "")
    assert "--since" in ran.err


def test_a_store_of_before_there_were_costs_has_none(run: Run) -> None:
    store(CALL.user("Hello?"))

    async def drop() -> None:
        database = SqliteStore(Path("var/relay.db"))
        await database._worker.run(lambda file: file.execute("DROP TABLE voice_usage").close())
        await database.aclose()

    asyncio.run(drop())
    ran = run("usage")

    assert cells(ran.out.splitlines()[1]) == [
        "total",
        "0",
        "0.0",
        "0",
        "0",
        "0",
        "0",
        "0.0",
        "0.0000",
        "unknown",
    ]


def test_a_store_that_cannot_be_read_is_named(run: Run) -> None:
    Path("var").mkdir()
    Path("var/relay.db").write_bytes(b"this is no database, whatever its name says" * 100)
    ran = run("usage")

    assert ran.code == 1
    told = "var/relay.db (RELAY_DATA_DIR=var) cannot be read: file is not a database"
    assert one_line(ran.err) == told


USERS, MINUTES = 100, 10
SPOKEN = Usage(text_in=150, audio_in=3_000, audio_cached=2_400, audio_out=600, text_out=110)
"""What one minute of talking uses: half of it heard, half of it spoken, and history re-read."""
HEARD = Usage(milliseconds=30_000)


def test_S3_76_a_hundred_users_cost_what_the_price_list_says(run: Run) -> None:
    """Cost a conversation minute from usage events, the 100-user example, by hand and by relay.

    A minute of gpt-realtime-2.1 in millionths of a dollar: 150 text tokens at 4, 600 audio tokens
    at 32, 2400 cached ones at 0.40, 600 spoken ones at 64, 110 of text at 24; half a minute of
    transcription at 0.017 dollars a minute.
    """
    by_hand = 150 * 4 + 600 * 32 + 2_400 * 4 // 10 + 600 * 64 + 110 * 24 + 17_000 // 2
    store(*(record for user in range(USERS) for record in _ten_minutes(user)))

    told = json.loads(run("usage", "--by", "user", "--json").out)
    total = told["total"]

    assert by_hand == 70_300
    assert (total["calls"], total["seconds"]) == (USERS, USERS * MINUTES * 60)
    assert total["micro_per_minute"] == by_hand
    assert total["micro"] == by_hand * USERS * MINUTES == 70_300_000
    assert {line["micro"] for line in told["lines"]} == {by_hand * MINUTES}
    last = run("usage", "--by", "day").out.splitlines()[-1]
    assert cells(last)[1:3] == ["100", "1000.0"]
    assert cells(last)[-2:] == ["70.3000", "0.0703"]


def _ten_minutes(user: int) -> list[AnyRecord]:
    """One user's call: its line of each model is told again after every minute, as calls do."""
    call = CALL.of(
        session_id=str(UUID(int=2**127 + user)),
        conversation_id=str(UUID(int=2**126 + user)),
        user_id=str(UUID(int=2**125 + user)),
    )
    told: list[AnyRecord] = [call.begun()]
    spoken = heard = Usage()
    for minute in range(1, MINUTES + 1):
        spoken, heard = spoken + SPOKEN, heard + HEARD
        told.append(_line(call, "gpt-realtime-2.1", spoken, 2 * minute))
        told.append(_line(call, "gpt-realtime-whisper", heard, 2 * minute + 1))
    return [*told, call.ended(MINUTES * 60)]


def _line(call: Call, model: str, usage: Usage, seq: int) -> UsageRecord:
    line = UsageLine(model=model, day=DAY, usage=usage, seq=seq)
    micro = cost(usage, Prices().find(model))
    return UsageRecord(id=usage_id(call.session_id, line), head=call.head, line=line, micro=micro)


@needs("postgresql", "postgrest")
def test_a_project_is_read_where_it_is_the_store(
    run: Run, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_STORE", "supabase")
    monkeypatch.setenv("SUPABASE_URL", project.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", project.service_key)

    async def put() -> None:
        async with hosted(project) as database:
            await database.put(two_calls())

    asyncio.run(put())
    hosted_there = run("usage", "--by", "user")
    project.misbehave.always("html")
    broken = run("usage")
    monkeypatch.setenv("RELAY_STORE", "sqlite")
    store(*two_calls())

    assert hosted_there.out == run("usage", "--by", "user").out
    assert one_line(broken.err) == "the project's database cannot be read: DatabaseFailing"
