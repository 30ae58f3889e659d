"""Words on their way: the journal, the delivery, the store."""

from pathlib import Path

from relay.realtime.utterance import Record, Utterance, record_id
from relay.tasks import Tasks
from relay.words import open_words
from tests.session.fakes import HEAD, SESSION

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
    async with open_words(tmp_path, tasks) as words:
        words.journal.append(RECORD)
    assert len(tasks) == 0
    async with open_words(tmp_path, tasks) as words:
        stored = await words.store.transcript(HEAD.conversation_id)
        assert [record.utterance.text for record in stored] == ["Hi"]
        assert words.journal.state.waiting == 0
