"""`relay transcript`: what was said, from the store of this folder."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.stores.sqlite.store import SqliteStore
from tests.cli.conftest import Ran
from tests.cli.program import Program, one_line
from tests.components import needs
from tests.stores.hosted import hosted
from tests.stores.words import CONVERSATION, LATER_SESSION, MORNING, Call
from tests.supabase.project import Project

Run = Callable[..., Ran]
CALL = Call()
LATER_CONVERSATION = "77777777-7777-4777-8777-777777777777"
LATER = CALL.of(
    session_id=LATER_SESSION, conversation_id=LATER_CONVERSATION, started_at=MORNING + 60
)


def store(*records: object) -> None:
    """Put words where `relay dev` in this folder would have."""

    async def put() -> None:
        database = SqliteStore(Path("var/relay.db"))
        await database.put(list(records))  # type: ignore[arg-type]
        await database.aclose()

    asyncio.run(put())


def spoken(ran: Ran) -> list[str]:
    """The lines without their times."""
    return [line.split("  ", 1)[1] for line in ran.out.splitlines()[1:]]


def test_without_a_store_it_says_that_nothing_was_said(run: Run) -> None:
    ran = run("transcript")

    assert (ran.code, ran.out) == (1, "")
    assert one_line(ran.err).startswith("nothing has been said yet; start `relay dev`")
    assert not Path("var").exists()


def test_the_latest_conversation_unless_one_is_named(run: Run) -> None:
    store(CALL.user("When is lunch?"), CALL.assistant("At noon."), LATER.user("Hello?"))
    latest, named = run("transcript"), run("transcript", CONVERSATION)

    assert latest.out.startswith(f"conversation {LATER_CONVERSATION}\n")
    assert spoken(latest) == ["user:      Hello?"]
    assert spoken(named) == ["user:      When is lunch?", "assistant: At noon."]
    assert (latest.code, named.code) == (0, 0)


def test_the_unheard_rest_is_marked(run: Run) -> None:
    store(CALL.assistant("One, two, three.", heard_text="One, two,", state="interrupted"))

    assert spoken(run("transcript")) == ["assistant: One, two,  [interrupted]  (not heard: three.)"]


def test_a_typed_text_is_one_line_and_cannot_control_the_terminal(run: Run) -> None:
    store(CALL.user("hi\n12:00:00  assistant: I owe you \x1b[31m100", origin="text"))

    assert spoken(run("transcript")) == ["user:      hi 12:00:00  assistant: I owe you  [31m100"]


def test_as_json_each_utterance_is_an_object_with_all_that_is_known(run: Run) -> None:
    question, answer = CALL.user("When is lunch?"), CALL.assistant("At noon.")
    store(question, answer)
    ran = run("transcript", "--json")
    told = [json.loads(line) for line in ran.out.splitlines()]

    assert [one["id"] for one in told] == [question.id, answer.id]
    assert told[1]["utterance"]["text"] == "At noon."
    assert told[1]["head"]["conversation_id"] == CONVERSATION


def test_a_conversation_that_does_not_exist(run: Run) -> None:
    store(CALL.user("Hello?"))
    ran = run("transcript", LATER_CONVERSATION)

    assert (ran.code, ran.out) == (1, "")
    assert one_line(ran.err) == f"there is no conversation {LATER_CONVERSATION}"


def test_a_store_that_cannot_be_read_is_named(run: Run) -> None:
    Path("var").mkdir()
    Path("var/relay.db").write_bytes(b"this is no database, whatever its name says" * 100)
    ran = run("transcript")

    assert ran.code == 1
    told = "var/relay.db (RELAY_DATA_DIR=var) cannot be read: file is not a database"
    assert one_line(ran.err) == told


@pytest.fixture
def in_the_background() -> Iterator[None]:
    """Ignore SIGINT, as the background commands of a script do."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("in_the_background")
def test_ctrl_c_ends_it_wherever_these_tests_were_started(folder: Path) -> None:
    store(CALL.user("When is lunch?"))
    with Program("transcript", "--follow", cwd=folder) as follower:
        follower.line("")

        assert follower.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_following_goes_on_until_it_is_stopped(folder: Path, ending: signal.Signals) -> None:
    store(CALL.user("When is lunch?"))
    with Program("transcript", "--follow", cwd=folder) as follower:
        assert follower.line("").endswith("user:      When is lunch?")
        store(CALL.assistant("At noon."))
        assert follower.line("").endswith("assistant: At noon.")
        code = follower.stop(ending)

        assert code == (0 if ending is signal.SIGINT else -signal.SIGTERM)
        assert follower.stderr == ""
        assert follower.left() == []


@needs("postgresql", "postgrest")
def test_a_projects_words_are_read_from_the_project(
    run: Run, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_STORE", "supabase")
    monkeypatch.setenv("SUPABASE_URL", project.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", project.service_key)
    nothing = run("transcript")

    async def put() -> None:
        async with hosted(project) as database:
            await database.put([CALL.user("When is lunch?"), CALL.assistant("At noon.")])

    asyncio.run(put())
    latest = run("transcript")
    project.misbehave.always("html")
    broken = run("transcript")

    assert one_line(nothing.err).startswith("nothing has been said yet")
    assert spoken(latest) == ["user:      When is lunch?", "assistant: At noon."]
    assert broken.code == 1
    assert one_line(broken.err) == "the project's database cannot be read: DatabaseFailing"
    assert not Path("var").exists()
