"""What the engine says of its session and its answers."""

import base64

import pytest

from relay.realtime.events import PCM
from relay.realtime.reported import MOST_RESPONSES, ReportedSession
from tests.realtime import wire_events as wire
from tests.realtime.wire_events import Event

LAW = "audio/pcmu"


def configured(heard: object, spoken: object, kind: str = "session.updated") -> dict[str, object]:
    audio = {"input": {"format": spoken}, "output": {"format": heard}}
    return {"type": kind, "session": {"audio": audio}}


def test_the_format_is_pcm_until_the_engine_names_another() -> None:
    session = ReportedSession()
    session.observe({"type": "session.created", "session": {"id": "s"}}, 1.0)
    assert (session.spoken, session.heard) == (PCM, PCM)
    session.observe(configured({"type": "audio/pcmu"}, {"type": "audio/pcma"}), 1.0)
    assert (session.spoken, session.heard) == ("audio/pcma", "audio/pcmu")


@pytest.mark.parametrize(
    ("heard", "frame_bytes"), [("audio/pcm", 960), ("audio/pcmu", 160), ("audio/pcma", 160)]
)
def test_twenty_milliseconds_of_each_format_last_as_long(heard: str, frame_bytes: int) -> None:
    session = ReportedSession()
    session.observe(configured({"type": heard}, None), 1.0)
    characters = len(base64.b64encode(bytes(frame_bytes)))
    assert characters * 3 // session.characters_per_3_ms == 20


def test_an_event_without_formats_changes_none() -> None:
    session = ReportedSession()
    session.observe(configured(None, "g711"), 1.0)
    session.observe(
        configured({"type": "audio/pcmu"}, {"type": "audio/pcmu"}, "response.done"), 1.0
    )
    assert (session.spoken, session.heard) == (PCM, PCM)


@pytest.mark.parametrize(
    ("detection", "interrupts"),
    [
        (None, True),
        ({"type": "server_vad"}, True),
        ({"type": "server_vad", "interrupt_response": True}, True),
        ({"type": "server_vad", "interrupt_response": False}, False),
        ({"type": "semantic_vad", "eagerness": "low", "interrupt_response": False}, False),
    ],
)
def test_speech_interrupts_unless_the_session_says_otherwise(
    detection: object, interrupts: bool
) -> None:
    session = ReportedSession()
    audio = {"input": {"turn_detection": detection}}
    session.observe({"type": "session.updated", "session": {"audio": audio}}, 1.0)
    assert session.interrupts is interrupts


def detecting(kind: str, detection: object) -> Event:
    audio = {"input": {"turn_detection": detection}}
    return {"type": kind, "session": {"audio": audio}}


CALM = {"type": "semantic_vad", "eagerness": "low", "interrupt_response": False}
SILENT: Event = {"type": "session.updated", "session": {"instructions": "Be kind."}}


def test_an_update_that_does_not_say_changes_nothing() -> None:
    session = ReportedSession()
    session.observe(detecting("session.updated", CALM), 1.0)
    session.observe(SILENT, 1.0)
    assert session.interrupts is False


def test_an_engine_that_never_says_does_what_it_is_asked() -> None:
    session = ReportedSession()
    session.ask(detecting("session.update", CALM))
    assert session.interrupts is True
    session.observe(SILENT, 1.0)
    assert session.interrupts is False
    session.ask(detecting("session.update", {"type": "server_vad"}))
    session.observe(SILENT, 1.0)
    assert session.interrupts is True


def test_what_an_engine_refuses_or_says_otherwise_counts_for_nothing() -> None:
    session = ReportedSession()
    session.ask(detecting("session.update", CALM))
    session.observe({"type": "error", "error": {}}, 1.0)
    session.observe(SILENT, 1.0)
    assert session.interrupts is True
    session.ask(detecting("session.update", CALM))
    session.observe(detecting("session.updated", {"type": "server_vad"}), 1.0)
    assert session.interrupts is True


def begun(response: str = "resp_1", item: str = "A1", form: str | None = None) -> list[Event]:
    """An answer and its item, with the format that the engine names."""
    created = wire.response_created(response)
    if form is not None:
        created["response"]["audio"] = {"output": {"format": {"type": form}, "voice": "marin"}}
    added = wire.message(item, "assistant", status="in_progress")
    kind = "response.output_item.added"
    return [created, {"type": kind, "response_id": response, "item": added}]


def asked(form: str | None) -> Event:
    audio = {"output": {"format": {"type": form}}}
    return {"type": "response.create", "response": {"audio": audio} if form else {}}


def following(*events: Event) -> ReportedSession:
    session = ReportedSession()
    for event in events:
        if event["type"] == "response.create":
            session.ask(event)
        else:
            session.observe(event, 1.0)
    return session


@pytest.mark.parametrize(
    "events",
    [begun(form=LAW), [asked(LAW), *begun()], [asked("audio/pcma"), *begun(form=LAW)]],
    ids=["the engine says it", "the client asked for it", "the engine knows better"],
)
def test_an_answer_may_have_a_format_of_its_own_until_it_is_done(events: list[Event]) -> None:
    session = following(*events)
    assert session.format_of("A1") == LAW
    assert session.rate_of("A1") == 4 * 8
    assert session.format_of("A0") == PCM
    assert session.rate_of("A0") == session.characters_per_3_ms == 4 * 48
    session.observe({"type": "response.done", "response": {"id": "resp_1"}}, 1.0)
    assert session.own_formats == {}


@pytest.mark.parametrize(
    "events",
    [
        begun(),
        begun(form=PCM),
        [asked(PCM), *begun()],
        [asked(LAW), asked(None), *begun()],
        [asked(LAW), {"type": "error", "error": {}}, *begun()],
        [asked(LAW), *begun(form=PCM)],
    ],
    ids=["none", "said", "asked", "asked anew", "refused", "not given"],
)
def test_an_answer_in_the_sessions_format_is_nothing_of_its_own(events: list[Event]) -> None:
    assert following(*events).own_formats == {}


def test_a_question_counts_for_the_next_answer_alone() -> None:
    session = following(asked(LAW), *begun(), *begun("resp_2", "A2"))
    assert (session.format_of("A1"), session.format_of("A2")) == (LAW, PCM)


def test_answers_at_once_keep_their_formats_apart() -> None:
    session = following(*begun(form=LAW), *begun("resp_2", "A2", "audio/pcma"), *begun("r3", "A3"))
    done = {"type": "response.done", "response": {"id": "resp_1"}}
    session.observe(done, 1.0)
    assert [session.format_of(item) for item in ("A2", "A3")] == ["audio/pcma", PCM]


def test_answers_that_never_end_are_remembered_in_part() -> None:
    events = [begun(f"r{number}", f"A{number}", LAW) for number in range(1000)]
    session = following(*(event for answer in events for event in answer))
    assert len(session.own_formats) == MOST_RESPONSES
