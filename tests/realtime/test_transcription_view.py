"""Input transcription as clients see it: the relay always has it on, they may not have asked."""

from typing import Any

import pytest

from relay.realtime.dialects.client import BetaDialect, BrowserDialect, ClientDialect, GaDialect
from relay.realtime.effects import RecordUtterance
from relay.realtime.events import encode
from tests.realtime.session_core import (
    CREATED,
    UPDATED,
    WHISPER,
    from_engine,
    new_core,
    to_client,
    to_engine,
)
from tests.realtime.wire_events import Event, heard, spoken_turn

ASKED: Event = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
WORDS = [
    {"type": f"conversation.item.input_audio_transcription.{name}", "item_id": "U1", **fields}
    for name, fields in {
        "delta": {"content_index": 0, "delta": "Hel"},
        "segment": {"content_index": 0, "text": "Hello.", "id": "s1"},
        "completed": {"content_index": 0, "transcript": "Hello."},
        "failed": {"content_index": 0, "error": {"type": "server_error", "message": "No."}},
    }.items()
]


def updated(transcription: Any, **session: Any) -> Event:
    audio = {"input": {"transcription": transcription, "noise_reduction": None}, "output": {}}
    return {**UPDATED, "session": {"id": "sess_1", "audio": audio, **session}}


class Talk:
    """A client of this dialect, and an engine that has answered the relay's own settings."""

    def __init__(self, dialect: ClientDialect | None = None, **granted: Any) -> None:
        self.core = new_core(dialect, **granted)
        self.first = to_client(from_engine(self.core, updated(WHISPER)))

    def asks(self, session: Event) -> list[Event]:
        event = {"type": "session.update", "session": session}
        return to_engine(self.core.from_client(encode(event), 1.0))

    def hears(self) -> list[str]:
        """What of the learner's words the client is shown."""
        seen = [event for words in WORDS for event in to_client(from_engine(self.core, words))]
        return [event["type"].rpartition(".")[2] for event in seen]

    def setting(self, transcription: Any) -> Any:
        """The transcription that the answer to its update shows."""
        (seen,) = to_client(from_engine(self.core, updated(transcription)))
        session = seen["session"]
        if "input_audio_transcription" in session:
            return session["input_audio_transcription"]
        return session["audio"]["input"]["transcription"]


ALL = ["delta", "segment", "completed", "failed"]


@pytest.mark.parametrize("dialect", [GaDialect(), BetaDialect()])
def test_a_client_that_did_not_ask_sees_no_words_and_no_setting(dialect: ClientDialect) -> None:
    talk = Talk(dialect)
    assert talk.hears() == []
    (up,) = talk.asks({"type": "realtime", "instructions": "Hi."})
    assert up["session"]["instructions"] == "Hi."
    assert talk.setting(WHISPER) is None
    assert talk.hears() == []


def test_the_words_are_recorded_although_the_client_does_not_see_them() -> None:
    talk = Talk()
    effects = [
        effect
        for event in [*spoken_turn("U1", None), heard("U1", "Hello.")]
        for effect in from_engine(talk.core, event)
    ]
    assert "Hello." not in str(to_client(effects))
    said = [effect.utterance for effect in effects if isinstance(effect, RecordUtterance)]
    assert [(one.role, one.text) for one in said] == [("user", "Hello.")]


def test_a_client_that_asked_sees_the_words_and_its_own_setting() -> None:
    talk = Talk()
    (up,) = talk.asks({"type": "realtime", **ASKED})
    assert up["session"]["audio"]["input"]["transcription"] == {"model": "whisper-1"}
    assert talk.setting({"model": "whisper-1"}) == {"model": "whisper-1"}
    assert talk.hears() == ALL


def test_a_beta_client_asks_with_the_beta_name() -> None:
    talk = Talk(BetaDialect())
    talk.asks({"input_audio_transcription": {"model": "whisper-1"}})
    assert talk.setting({"model": "whisper-1"}) == {"model": "whisper-1"}
    assert talk.hears() == ALL


def test_the_last_word_counts_and_silence_about_it_changes_nothing() -> None:
    talk = Talk()
    talk.asks({"type": "realtime", **ASKED})
    talk.asks({"type": "realtime", "audio": {"input": {"noise_reduction": None}}})
    assert talk.hears() == ALL
    (up,) = talk.asks({"type": "realtime", "audio": {"input": {"transcription": None}}})
    assert up["session"]["audio"]["input"]["transcription"] == WHISPER, "the relay keeps it on"
    assert talk.setting(WHISPER) is None
    assert talk.hears() == []


def test_who_asks_in_vain_where_the_agent_locks_it_still_sees_the_words() -> None:
    talk = Talk(extra_locks=frozenset({"transcription"}))
    (up,) = talk.asks({"type": "realtime", **ASKED})
    assert "transcription" not in up["session"]["audio"]["input"]
    assert talk.setting(WHISPER) == WHISPER
    assert talk.hears() == ALL


def test_an_aware_client_and_the_older_front_end_always_see_them() -> None:
    assert Talk(relay_events=True).hears() == ALL
    browser = Talk(BrowserDialect())
    assert browser.hears() == ALL
    assert browser.first[0]["session"]["input_audio_transcription"] == WHISPER


def test_what_the_engine_has_on_by_itself_is_not_shown_at_the_start() -> None:
    core = new_core(created=False)
    created = {**CREATED, "session": {"id": "s", "audio": {"input": {"transcription": WHISPER}}}}
    (seen,) = to_client(from_engine(core, created))
    assert seen["session"]["audio"]["input"] == {"transcription": None}


@pytest.mark.parametrize("audio", [None, [], {}, {"input": None}, {"input": {"format": {}}}])
def test_sessions_of_other_shapes_are_shown_as_they_are(audio: Any) -> None:
    core = new_core(created=False)
    created = {**CREATED, "session": {"id": "s", "audio": audio}}
    (seen,) = to_client(from_engine(core, created))
    assert seen["session"]["audio"] == audio
