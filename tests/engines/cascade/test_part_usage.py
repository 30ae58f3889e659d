"""What billed parts used is told in events, by model, whatever became of it."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from relay.engines.cascade.effects import EffectBuffer, Emit, Work
from relay.engines.cascade.items import user_audio
from relay.engines.cascade.part_usage import PartModels, PartUsage
from relay.engines.cascade.settings import Transcription
from relay.engines.cascade.transcripts import Transcripts
from relay.parts.fallback import FallbackResponder, FallbackSynthesizer, FallbackTranscriber
from relay.parts.interfaces import (
    FailureCode,
    PartFailed,
    Parts,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    TokenUsage,
)
from relay.parts.simple import (
    LoudnessDetector,
    ScriptedTranscriber,
    ToneSynthesizer,
    silence,
    tone,
)
from tests.engines.cascade.driving import NO_TURNS, TEXT, TRANSCRIBED, Talk

SECOND = tone(1000)
COMPLETED = "conversation.item.input_audio_transcription.completed"
WRITER, EAR, VOICE = "gpt-4.1-mini", "gpt-4o-mini-transcribe", "gpt-4o-mini-tts"
ALL = frozenset({WRITER, EAR, VOICE})


class Writer:
    """A responder that writes `pieces`, and fails if it shall."""

    def __init__(self, *pieces: ReplyPiece, name: str = WRITER, code: FailureCode | None = None):
        self.name = name
        self.pieces = pieces
        self.code = code

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        for piece in self.pieces:
            yield piece
        if self.code:
            raise PartFailed("responder", self.code)


class Ear(ScriptedTranscriber):
    name = EAR


class Voice(ToneSynthesizer):
    name = VOICE


class Mute:
    """A synthesizer, or a transcriber, that never works."""

    languages = ()

    def __init__(self, name: str) -> None:
        self.name = name

    async def prepare(self) -> None: ...

    async def aclose(self) -> None: ...

    async def work(self, request: Any) -> AsyncIterator[Any]:
        raise PartFailed("synthesizer", "unavailable")
        yield

    synthesize = transcribe = work


COUNTED = TokenUsage(input=120, output=4, cached=64)
ANSWER = (ReplyDelta("Ten chars."), COUNTED)


def parts(*answer: ReplyPiece, billed: frozenset[str] = ALL, **changes: Any) -> Parts:
    whole = Parts(
        make_speech_detector=LoudnessDetector,
        transcriber=Ear(("Hello there.",)),
        make_responder=lambda: Writer(*(answer or ANSWER)),
        synthesizer=Voice(),
        name="billed",
        billed=billed,
    )
    return replace(whole, **changes)


def told(event: dict[str, Any]) -> Any:
    """The parts that an event tells."""
    return (event.get("response") or event)["usage"].get("parts")


def answered(talk: Talk) -> Any:
    talk.finish()
    return told(talk.last("response.done"))


def asked(talk: Talk, **response: Any) -> Talk:
    talk.type("Tell me.")
    talk.say("response.create", **({"response": response} if response else {}))
    return talk


# ------------------------------------------------------------------------------------- one turn


def test_a_spoken_turn_tells_seconds_tokens_and_characters():
    talk = Talk(parts())
    talk.say("session.update", session=TRANSCRIBED)
    talk.speak(ms=1000, pause_ms=1000)
    used = answered(talk)

    assert told(talk.last(COMPLETED)) == [{"model": EAR, "seconds": 1.2}]
    assert used == [
        {"model": WRITER, "input_tokens": 120, "cached_tokens": 64, "output_tokens": 4},
        {"model": VOICE, "characters": 10, "seconds": 0.6},
    ]


def test_a_text_turn_speaks_nothing():
    talk = Talk(parts())
    talk.say("session.update", session=TEXT)
    assert [used["model"] for used in answered(asked(talk))] == [WRITER]


def test_where_nobody_shows_transcripts_the_response_tells_what_was_heard():
    talk = Talk(parts())
    talk.speak()
    assert not talk.of(COMPLETED)
    assert answered(talk)[0] == {"model": EAR, "seconds": 1.2}


def test_local_parts_are_not_told_and_without_billed_ones_there_are_none():
    local = parts(billed=frozenset({WRITER}))
    talk = Talk(local)
    talk.say("session.update", session=TRANSCRIBED)
    talk.speak()
    assert [used["model"] for used in answered(talk)] == [WRITER]
    assert told(talk.last(COMPLETED)) == [], "so that nothing else is charged for it"

    assert answered(asked(Talk(parts(billed=frozenset())))) is None


# ------------------------------------------------------------------------------ what was cut off


def test_an_answer_that_was_cancelled_tells_what_was_written_and_spoken_by_then():
    talk = Talk(parts(ReplyDelta("One sentence. "), ReplyDelta("Another one that is longer.")))
    talk.replies_at_once = False
    asked(talk)
    request = talk.work.pop(0)
    talk._note(talk.machine.progress(request.id, ReplyDelta("One sentence. Ano"), talk.now))
    (spoken,) = talk.work
    talk._note(talk.machine.progress(spoken.id, bytes(48_000), talk.now))
    talk.say("response.cancel")

    written, voice = told(talk.last("response.done"))
    assert voice == {"model": VOICE, "characters": 13, "seconds": 1.0}
    assert (written["model"], written["cached_tokens"]) == (WRITER, 0)
    assert written["output_tokens"] == 5, "17 characters, since nobody counted"
    assert written["input_tokens"] >= 2 + 4


def test_a_request_that_was_cancelled_before_its_answer_is_not_free():
    talk = Talk(parts())
    talk.replies_at_once = False
    asked(talk, instructions="x" * 400)
    talk.say("response.cancel")

    (written,) = told(talk.last("response.done"))
    assert written["output_tokens"] == 0
    assert written["input_tokens"] >= 100


def test_what_a_provider_refused_costs_nothing():
    talk = Talk(parts())
    talk.replies_at_once = False
    asked(talk)
    talk.fail_work("unauthorized")
    assert answered(talk) == []


def test_a_voice_that_failed_costs_nothing_but_the_words_do():
    talk = Talk(parts(synthesizer=Mute(VOICE)))
    assert [used["model"] for used in answered(asked(talk))] == [WRITER]
    assert talk.last("response.done")["response"]["status"] == "failed"


def test_a_transcript_that_failed_costs_nothing():
    talk = Talk(parts(transcriber=Mute(EAR)))
    talk.speak()
    assert answered(talk) == []


# ----------------------------------------------------------------------------- early transcripts


def transcripts() -> tuple[Transcripts, EffectBuffer, Work, PartUsage]:
    numbers = itertools.count()
    out = EffectBuffer(lambda prefix: f"{prefix}_{next(numbers)}")
    work, heard = Work(out), PartUsage(PartModels(transcriber=EAR, billed=ALL))
    made = Transcripts(out, work, heard, lambda *_: None, lambda *_: None)
    return made, out, work, heard


SETTINGS = Transcription("gpt-realtime-whisper", None, None)


def test_an_early_transcript_that_was_dropped_is_told_with_the_one_that_was_kept():
    made, out, work, _ = transcripts()
    made.begin_early("item_a", SECOND, SETTINGS)
    made.drop_early()
    longer = SECOND + SECOND
    made.begin_early("item_a", longer, SETTINGS)
    work.finish(2, None, 0.0)
    made.request(user_audio("item_a", longer + silence(500)), SETTINGS, 0.0)

    (completed,) = [one.event for one in out.take() if isinstance(one, Emit)]
    assert told(completed) == [{"model": EAR, "seconds": 3.0}]


def test_one_that_had_ended_when_it_was_dropped_is_counted_once():
    made, _, work, heard = transcripts()
    made.begin_early("item_a", SECOND, SETTINGS)
    work.finish(1, None, 0.0)
    made.drop_early()
    made.begin_early("item_a", SECOND, SETTINGS)
    work.finish(2, PartFailed("transcriber", "busy"), 0.0)
    made.forget_turn()
    assert heard.take() == [{"model": EAR, "seconds": 1.0}]


# ------------------------------------------------------------------------------------- fallbacks


def test_who_took_over_is_told_in_the_place_of_who_failed():
    spare = parts(
        transcriber=FallbackTranscriber(Mute("local-ear"), Ear(("Hello.",))),
        synthesizer=FallbackSynthesizer(Mute(VOICE), ToneSynthesizer()),
        make_responder=lambda: FallbackResponder(
            Writer(name="local-writer", code="busy"), Writer(*ANSWER)
        ),
    )
    talk = Talk(spare)
    talk.speak()
    used = answered(talk)

    assert [one["model"] for one in used] == [EAR, WRITER], "the voice that spoke is a local one"
    assert used[1]["input_tokens"] == 120


@pytest.mark.parametrize("billed", [ALL, frozenset()])
def test_a_part_that_does_its_own_work_is_charged_for_it(billed: frozenset[str]):
    spare = parts(
        billed=billed,
        synthesizer=FallbackSynthesizer(Voice(), Mute("spare")),
    )
    talk = asked(Talk(spare))
    models = [one["model"] for one in answered(talk) or ()]
    assert models == ([WRITER, VOICE] if billed else [])


# ------------------------------------------------------------------------------------ the counter


def test_amounts_add_up_by_model_until_they_are_told():
    used = PartUsage(PartModels(billed=frozenset({"a", "b"})))
    used.count("a", seconds=0.1)
    used.count("a", seconds=0.2)
    used.count("b", characters=3)
    used.count("free", characters=3)

    assert used.take() == [{"model": "a", "seconds": 0.3}, {"model": "b", "characters": 3}]
    assert used.take() == []


def test_manual_turns_are_heard_too():
    talk = Talk(parts())
    talk.say("session.update", session=NO_TURNS)
    talk.append(SECOND)
    talk.say("input_audio_buffer.commit")
    talk.say("response.create")
    assert answered(talk)[0] == {"model": EAR, "seconds": 1.0}
