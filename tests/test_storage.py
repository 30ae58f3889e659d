"""Journal, delivery and store, opened as one context."""

from pathlib import Path

from structlog.testing import capture_logs

from relay.realtime.records import Record, Utterance, record_id
from relay.storage import SCHEMA_SECONDS, SchemaWatch, open_storage, open_store
from relay.stores.supabase.errors import DatabaseNotMigrated, DatabaseUnreachable
from relay.tasks import Tasks
from tests.components import needs
from tests.session.fakes import HEAD, SESSION
from tests.stores.hosted import access, peopled
from tests.stores.words import CONVERSATION, Call, texts
from tests.supabase.project import Project

SAID = Utterance(
    item_id="U1",
    role="user",
    text="Hi",
    heard_text="Hi",
    state="final",
    seq=1,
    position=1.0,
    created_at=1000.0,
)
RECORD = Record(id=record_id(SESSION, "U1"), head=HEAD, utterance=SAID)


async def test_what_is_journalled_is_in_the_store_when_they_are_closed(tmp_path: Path) -> None:
    tasks = Tasks(lambda *_: None)
    async with open_storage(tmp_path, tasks) as storage:
        storage.journal.append(RECORD)
    assert len(tasks) == 0
    async with open_storage(tmp_path, tasks) as storage:
        stored = await storage.store.transcript(HEAD.conversation_id)
        assert [record.utterance.text for record in stored] == ["Hi"]
        assert storage.journal.state.waiting == 0


@needs("postgresql", "postgrest")
async def test_what_is_journalled_is_in_the_project_when_they_are_closed(
    tmp_path: Path, project: Project
) -> None:
    await peopled(project)
    async with open_storage(tmp_path, Tasks(lambda *_: None), access(project)) as storage:
        storage.journal.append(Call().user("Hello?"))
    async with open_store(tmp_path, access(project)) as backend:
        assert texts(await backend.store.transcript(CONVERSATION)) == ["Hello?"]
    assert not (tmp_path / "relay.db").exists()


@needs("postgresql", "postgrest")
async def test_a_project_also_has_a_key_and_agents(tmp_path: Path, project: Project) -> None:
    async with open_store(tmp_path, access(project), "sk-environment") as backend:
        assert backend.vault is not None
        assert await backend.vault.current() == "sk-environment"
        assert backend.agents is not None
        assert await backend.agents.find(CONVERSATION) is None


async def test_a_database_that_was_never_migrated_is_named_until_it_has_been() -> None:
    answers: list[Exception | None] = [
        DatabaseUnreachable(),
        DatabaseNotMigrated("PGRST205", 404),
        DatabaseNotMigrated("PGRST205", 404),
        None,
    ]
    watch, reasons = SchemaWatch(), []

    async def check() -> None:
        reasons.append(watch.reason)
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    async def sleep(seconds: float) -> None:
        assert seconds == SCHEMA_SECONDS

    with capture_logs() as logs:
        await watch.run(check, sleep)
    assert reasons == [None, None, "DatabaseNotMigrated", "DatabaseNotMigrated"]
    assert watch.reason is None
    (line,) = logs
    assert (line["status"], line["code"]) == (404, "PGRST205")


@needs("postgresql", "postgrest")
async def test_a_migrated_project_has_what_calls_need(tmp_path: Path, project: Project) -> None:
    async with open_store(tmp_path, access(project)) as backend:
        assert backend.check_schema is not None
        await backend.check_schema()
