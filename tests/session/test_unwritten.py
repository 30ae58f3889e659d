"""What is written of a call whose words are not to be stored."""

from relay.realtime.records import ActionRecord, AnyRecord
from relay.session.recorder import TextlessJournal
from tests.session.fakes import settle
from tests.stores.words import COACH, Call

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


async def test_words_are_shown_in_their_order_and_never_written() -> None:
    disk, shown = Disk(), list[AnyRecord]()
    journal = TextlessJournal(disk, shown.extend)
    words = [CALL.user("When?"), CALL.assistant("At nine.")]
    for record in words:
        journal.append(record)
    assert shown == [], "not before the session is done with it"
    await settle()

    assert shown == words
    assert disk.written == []


async def test_calls_and_costs_are_written_as_ever() -> None:
    disk = Disk()
    journal = TextlessJournal(disk, lambda _: None)
    kept: list[AnyRecord] = [CALL.begun(), CALL.used(100), CALL.ended(60)]
    for record in kept:
        journal.append(record)

    assert disk.written == kept


async def test_a_whisper_is_on_record_without_its_words() -> None:
    disk = Disk()
    TextlessJournal(disk, lambda _: None).append(WHISPER)
    (written,) = disk.written

    assert isinstance(written, ActionRecord)
    assert (written.action, written.details) == ("whisper", {"mode": "say"})
    assert written.coach_id == COACH
