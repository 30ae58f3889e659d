"""Words on their way to the journal."""

import uuid

from relay.realtime.playout import InstantPlayback
from relay.realtime.records import record_id
from relay.realtime.transcript import Transcript
from relay.session.recorder import Recorder
from tests.realtime import wire_events as wire
from tests.session.fakes import HEAD, SESSION, FakeJournal


def test_every_utterance_gets_the_head_of_its_session_and_an_id_of_its_own() -> None:
    journal, transcript = FakeJournal(), Transcript(InstantPlayback())
    recorder = Recorder(journal, HEAD)
    for event in (*wire.typed("U1", "Hi", None), *wire.answer("A1", "Hello", "U1")):
        for utterance in transcript.observe(event, 1.0):
            recorder.record(utterance)
    assert [record.utterance.text for record in journal.records] == ["Hi", "Hello"]
    assert {record.head for record in journal.records} == {HEAD}
    assert [record.id for record in journal.records] == [
        record_id(SESSION, "U1"),
        record_id(SESSION, "A1"),
    ]
    assert all(uuid.UUID(record.id).version == 5 for record in journal.records)
