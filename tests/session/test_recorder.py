"""Journal records of one session, with its spoken words and without."""

import uuid

from relay.realtime.playout import InstantPlayback
from relay.realtime.records import ActionRecord, AnyRecord, record_id
from relay.realtime.transcript import Transcript
from relay.session.recorder import Recorder, TextlessJournal
from tests.realtime import wire_events as wire
from tests.session.fakes import HEAD, SESSION, FakeJournal, settle
from tests.stores.words import COACH, Call


def test_every_utterance_gets_the_head_of_its_session_and_an_id_of_its_own() -> None:
    journal, transcript = FakeJournal(), Transcript(InstantPlayback())
    recorder = Recorder(journal, HEAD)
    for event in (*wire.typed("U1", "Hi", None), *wire.answer("A1", "Hello", "U1")):
        for utterance in transcript.observe(event, 1.0):
            recorder.utterance(utterance)
    assert [record.utterance.text for record in journal.records] == ["Hi", "Hello"]
    assert {record.head for record in journal.records} == {HEAD}
    assert [record.id for record in journal.records] == [
        record_id(SESSION, "U1"),
        record_id(SESSION, "A1"),
    ]
    assert all(uuid.UUID(record.id).version == 5 for record in journal.records)


CALL = Call()
WHISPER = ActionRecord(
    id=CALL.session_id,
    head=CALL.head,
    coach_id=COACH,
    action="whisper",
    at=1.0,
    details={"text": "rhubarb", "mode": "say"},
)


class Disk:
    def __init__(self) -> None:
        self.written: list[AnyRecord] = []

    def append(self, record: AnyRecord) -> None:
        self.written.append(record)


async def test_utterances_are_shown_in_their_order_and_never_written() -> None:
    disk, shown = Disk(), list[AnyRecord]()
    journal = TextlessJournal(disk, shown.extend)
    words = [CALL.user("When?"), CALL.assistant("At nine.")]
    for record in words:
        journal.append(record)
    assert shown == [], "not from within the append"
    await settle()

    assert shown == words
    assert disk.written == []


async def test_sessions_and_usage_are_written_all_the_same() -> None:
    disk = Disk()
    journal = TextlessJournal(disk, lambda _: None)
    kept: list[AnyRecord] = [CALL.begun(), CALL.used(100), CALL.ended(60)]
    for record in kept:
        journal.append(record)

    assert disk.written == kept


async def test_a_whisper_is_recorded_without_its_text() -> None:
    disk = Disk()
    TextlessJournal(disk, lambda _: None).append(WHISPER)
    (written,) = disk.written

    assert isinstance(written, ActionRecord)
    assert (written.action, written.details) == ("whisper", {"mode": "say"})
    assert written.coach_id == COACH
