"""One person's undelivered records: exported at any time, erased while no relay runs."""

from pathlib import Path

import pytest

from relay.stores.journal.file import FILE_NAME, JournalInUse
from relay.stores.journal.journal import erase_undelivered, undelivered_of
from tests.stores.words import LATER_SESSION, LEARNER, STRANGER, Call, open_journal

CALL = Call()
HERS = CALL.of(session_id=LATER_SESSION, conversation_id=STRANGER, user_id=STRANGER)


async def filled(folder: Path) -> None:
    journal = await open_journal(folder)
    for record in (CALL.begun(), CALL.user("rhubarb"), HERS.user("celery")):
        journal.append(record)
    await journal.aclose()


async def test_undelivered_records_are_exported_as_they_are(tmp_path: Path) -> None:
    await filled(tmp_path)
    call, words = undelivered_of(tmp_path, LEARNER)

    assert (call["type"], words["type"]) == ("session", "utterance")
    assert words["utterance"]["text"] == "rhubarb"
    assert words["head"]["user_id"] == LEARNER
    assert undelivered_of(tmp_path, "nobody") == []


async def test_records_beside_a_running_relay_are_exported_but_not_erased(tmp_path: Path) -> None:
    await filled(tmp_path)
    relay = await open_journal(tmp_path)

    assert len(undelivered_of(tmp_path, LEARNER)) == 2
    with pytest.raises(JournalInUse):
        async with erase_undelivered(tmp_path, LEARNER):
            pass
    assert len(undelivered_of(tmp_path, LEARNER)) == 2
    await relay.aclose()


async def test_records_are_erased_from_every_byte_and_no_relay_starts_meanwhile(
    tmp_path: Path,
) -> None:
    await filled(tmp_path)
    async with erase_undelivered(tmp_path, LEARNER) as many:
        with pytest.raises(JournalInUse):
            await open_journal(tmp_path)

    assert many == 2
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"rhubarb" not in left
    assert LEARNER.encode() not in left
    assert b"celery" in left


@pytest.mark.parametrize("empty", [True, False])
async def test_a_missing_journal_is_not_created(tmp_path: Path, empty: bool) -> None:
    if empty:
        (tmp_path / FILE_NAME).touch()
    assert undelivered_of(tmp_path, LEARNER) == []
    if not empty:
        async with erase_undelivered(tmp_path, LEARNER) as many:
            assert many == 0
        assert list(tmp_path.iterdir()) == []
