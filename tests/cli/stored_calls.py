"""A folder with two people's calls: some in the store, some still in the journal."""

from pathlib import Path

from relay.stores.sqlite.store import SqliteStore
from tests.stores.words import LATER_SESSION, STRANGER, Call, open_journal

CALL = Call()
HERS = CALL.of(session_id=LATER_SESSION, conversation_id=STRANGER, user_id=STRANGER)


async def store_calls(folder: Path) -> None:
    """`rhubarb` of the learner is stored, `quince` waits; `celery` and `leek` are a stranger's."""
    store = SqliteStore(folder / "var" / "relay.db")
    await store.put([CALL.user("rhubarb"), CALL.begun(), CALL.used(100), HERS.user("celery")])
    await store.aclose()
    journal = await open_journal(folder / "var" / "journal")
    journal.append(CALL.assistant("quince"))
    journal.append(HERS.assistant("leek"))
    await journal.aclose()


def words_in(folder: Path) -> set[str]:
    """Those of the words that are in any byte of any file."""
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    words = ("rhubarb", "quince", "celery", "leek", CALL.user_id)
    return {word for word in words if word.encode() in content}
