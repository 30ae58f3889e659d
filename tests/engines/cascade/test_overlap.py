"""Listening, thinking and speaking overlap: early transcripts, held turns, sentences, barge-in."""

import base64
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from relay.engines.cascade.input import HOLD_MS
from relay.engines.cascade.transcripts import MAX_EARLY_MS
from relay.parts.interfaces import (
    CallOutput,
    FunctionCall,
    HistoryEntry,
    MadeCall,
    Message,
    PartFailed,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    SpeechEvent,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    SynthesisRequest,
    TokenUsage,
    TranscriptionRequest,
    incomplete,
)
from relay.parts.simple import scripted_parts, silence, tone
from tests.engines.cascade.driving import NO_TURNS, TEXT, TRANSCRIBED, Talk, as_read, scripted

PAUSE_MS = 200


class PausingDetector:
    """Takes each frame with a sound for speech and tells pauses; two such frames end a pause."""

    def __init__(self) -> None:
        self.silence_ms = 500
        self._open = self._paused = self._unsure = False
        self._now_ms = 0
        self._voice_end_ms = 0

    def detect(self, pcm: bytes) -> list[SpeechEvent]:
        events = [] if self._unsure else self._quiet()
        for start in range(0, len(pcm), 960):
            events += self._frame(pcm[start : start + 960])
        return events

    def reset(self) -> None:
        self._open = self._paused = self._unsure = False

    def _frame(self, frame: bytes) -> list[SpeechEvent]:
        self._now_ms += 20
        if any(memoryview(frame).cast("h")):
            return self._loud()
        self._unsure = False
        return self._quiet()

    def _quiet(self) -> list[SpeechEvent]:
        quiet_ms = self._now_ms - self._voice_end_ms
        if self._open and quiet_ms >= self.silence_ms:
            self._open = self._paused = False
            return [SpeechStopped(self._voice_end_ms)]
        if self._open and not self._paused and quiet_ms >= PAUSE_MS:
            self._paused = True
            return [SpeechPaused(self._voice_end_ms)]
        return []

    def _loud(self) -> list[SpeechEvent]:
        self._unsure = self._paused and not self._unsure
        if self._unsure:
            return []
        self._voice_end_ms = self._now_ms
        if not self._open:
            self._open = True
            return [SpeechStarted(self._now_ms - 20)]
        if self._paused:
            self._paused = False
            return [SpeechResumed(self._now_ms)]
        return []


class WritingResponder:
    """Writes an answer piece by piece and notes what it was asked."""

    name = "writing"

    def __init__(self, *answers: Sequence[ReplyPiece]) -> None:
        self._answers = list(answers)
        self.asked: list[ReplyRequest] = []

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        for piece in answer:
            yield piece


def pausing(*heard: str) -> Talk:
    parts = replace(scripted(*heard), make_speech_detector=PausingDetector)
    return Talk(parts, model="gpt-realtime-2.1")  # whose turns end after 500 ms of silence


def writing(*answers: Sequence[ReplyPiece]) -> tuple[Talk, WritingResponder]:
    responder = WritingResponder(*answers)
    parts = replace(scripted_parts(), make_responder=lambda: responder)
    return Talk(parts), responder


def in_real_time(talk: Talk, pcm: bytes) -> None:
    """Send audio as a microphone does, 20 ms at a time; the parts do not work meanwhile."""
    for start in range(0, len(pcm), 960):
        talk.append(pcm[start : start + 960])
        talk.now += 0.02


def transcriptions(talk: Talk) -> list[TranscriptionRequest]:
    return [w.request for w in talk.work if isinstance(w.request, TranscriptionRequest)]


# --------------------------------------------------------------------------- early transcripts


def test_a_pause_is_transcribed_before_the_turn_is_over():
    talk = pausing("I would like to stop smoking.")

    in_real_time(talk, tone(1000) + silence(300))

    (early,) = transcriptions(talk)
    assert len(early.pcm) == (1000 + PAUSE_MS) * 48
    assert talk.of("input_audio_buffer.speech_stopped") == []


def test_the_early_transcript_is_the_turns_when_the_user_is_done():
    talk = pausing("I would like to stop smoking.", "Never asked for.")
    talk.say("session.update", session=TRANSCRIBED)

    in_real_time(talk, tone(1000) + silence(300))
    talk.do_work()
    in_real_time(talk, silence(220))

    completed = talk.last("conversation.item.input_audio_transcription.completed")
    committed = talk.last("input_audio_buffer.committed")
    assert completed["transcript"] == "I would like to stop smoking."
    assert completed["item_id"] == committed["item_id"]
    assert transcriptions(talk) == []
    deltas = talk.of("conversation.item.input_audio_transcription.delta")
    assert "".join(e["delta"] for e in deltas) == " I would like to stop smoking."
    assert talk.events.index(deltas[0]) > talk.events.index(committed)


def test_the_early_transcript_is_dropped_when_the_user_goes_on():
    talk = pausing("Half of it.", "All of what was said.")
    talk.say("session.update", session=TRANSCRIBED)

    in_real_time(talk, tone(600) + silence(300))
    (early,) = talk.work
    in_real_time(talk, tone(600))

    assert talk.cancelled == [early.id]
    in_real_time(talk, silence(300))
    (later,) = transcriptions(talk)
    assert len(later.pcm) == (600 + 300 + 600 + PAUSE_MS) * 48


def test_a_long_turn_is_transcribed_at_its_end_only():
    talk = pausing("Long.")

    talk.append(tone(MAX_EARLY_MS + 1000))
    in_real_time(talk, silence(300))

    assert transcriptions(talk) == []
    in_real_time(talk, silence(300))
    assert len(transcriptions(talk)) == 1


def test_a_commit_in_a_pause_takes_the_early_transcript():
    talk = pausing("Pushed and said.", "Never asked for.")
    talk.say("session.update", session=TRANSCRIBED)
    in_real_time(talk, tone(800) + silence(300))

    talk.say("input_audio_buffer.commit")
    talk.do_work()

    completed = talk.last("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == "Pushed and said."


def test_a_cleared_buffer_drops_the_early_transcript():
    talk = pausing("Forgotten.")
    in_real_time(talk, tone(800) + silence(300))
    (early,) = talk.work

    talk.say("input_audio_buffer.clear")
    in_real_time(talk, tone(400) + silence(600))

    assert early.id in talk.cancelled


# --------------------------------------------------------------------------------- held turns


@pytest.mark.parametrize("heard", ["I would like to", "Well, um", "My name is Joe and", "So, "])
def test_an_unfinished_sentence_is_waited_for(heard: str):
    talk = pausing(heard)
    in_real_time(talk, tone(800) + silence(300))
    talk.do_work()

    in_real_time(talk, silence(500))
    waited = talk.of("input_audio_buffer.speech_stopped")
    in_real_time(talk, silence(HOLD_MS))

    assert waited == []
    assert len(talk.of("input_audio_buffer.speech_stopped")) == 1


def test_what_follows_the_pause_belongs_to_the_same_turn():
    talk = pausing("I would like to", "I would like to stop smoking.")
    talk.say("session.update", session=TRANSCRIBED)
    in_real_time(talk, tone(800) + silence(300))
    talk.do_work()
    in_real_time(talk, silence(400) + tone(500) + silence(300))
    talk.do_work()

    in_real_time(talk, silence(300))
    talk.finish()

    assert len(talk.of("input_audio_buffer.speech_stopped")) == 1
    completed = talk.last("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == "I would like to stop smoking."


def test_the_turn_waits_for_a_transcript_that_takes_longer_than_the_silence():
    talk = pausing("Done.")
    in_real_time(talk, tone(800) + silence(700))
    assert talk.of("input_audio_buffer.speech_stopped") == []

    stopped, *_ = talk.do_work()

    assert stopped["type"] == "input_audio_buffer.speech_stopped"


def test_a_voice_that_goes_on_as_the_transcript_comes_goes_on_in_the_same_turn():
    talk = pausing("Done.", "Done, I said.")
    talk.say("session.update", session=TRANSCRIBED)
    in_real_time(talk, tone(800) + silence(700))  # it is held: the transcript is awaited
    in_real_time(talk, tone(20))

    talk.do_work()
    assert talk.of("input_audio_buffer.speech_stopped") == []
    in_real_time(talk, tone(400) + silence(600))

    (request,) = transcriptions(talk)
    assert len(request.pcm) == (800 + 700 + 420 + PAUSE_MS) * 48
    talk.finish()
    completed = talk.last("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == "Done, I said."


def test_a_click_as_the_transcript_comes_ends_the_turn_a_frame_later():
    talk = pausing("Done.")
    in_real_time(talk, tone(800) + silence(700) + tone(20))
    talk.do_work()
    assert talk.of("input_audio_buffer.speech_stopped") == []

    in_real_time(talk, silence(20))

    (stopped,) = talk.of("input_audio_buffer.speech_stopped")
    assert stopped["audio_end_ms"] == 800 + 500, "what came later is left to the next turn"


def test_a_transcript_that_never_comes_holds_no_turn_for_ever():
    talk = pausing("Too late.")
    in_real_time(talk, tone(800) + silence(700))
    work, talk.work = talk.work, []

    talk.wait(HOLD_MS / 1000)  # the client has stopped sending

    assert len(talk.of("input_audio_buffer.speech_stopped")) == 1
    assert work


def test_a_transcriber_that_fails_early_is_asked_again_at_the_end():
    talk = pausing("Said after all.")
    talk.say("session.update", session=TRANSCRIBED)
    in_real_time(talk, tone(800) + silence(300))
    talk.fail_work("busy")
    assert talk.of("error") == []

    in_real_time(talk, silence(300))
    talk.finish()

    completed = talk.last("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == "Said after all."


# ------------------------------------------------------------------------------ the answer


def speeches(talk: Talk) -> list[str]:
    return [w.request.text for w in talk.work if isinstance(w.request, SynthesisRequest)]


def test_the_first_sentence_is_spoken_while_the_rest_is_written():
    talk, _ = writing()
    talk.replies_at_once = False
    talk.type("Hello")
    talk.say("response.create")
    (asked,) = talk.work
    talk.work = []

    for piece in ("Good", " morning. How", " did"):
        talk._note(talk.machine.progress(asked.id, ReplyDelta(piece), talk.now))

    assert speeches(talk) == ["Good morning."]
    talk.do_work()
    talk.wait(0.01)
    assert talk.of("response.output_audio.delta") != []
    assert talk.of("response.done") == []

    talk._note(talk.machine.progress(asked.id, ReplyDelta(" you sleep?"), talk.now))
    talk._note(talk.machine.finish(asked.id, None, talk.now))
    talk.finish()

    done = talk.last("response.done")["response"]
    assert done["status"] == "completed"
    assert done["output"][0]["content"][0]["transcript"] == "Good morning. How did you sleep?"


def test_no_more_than_two_sentences_are_spoken_ahead():
    talk, _ = writing([ReplyDelta("One. Two. Three. Four. Five.")])
    talk.type("Count")

    talk.say("response.create")

    assert speeches(talk) == ["One.", "Two.", "Three."]
    talk.finish()
    done = talk.last("response.done")["response"]
    assert done["output"][0]["content"][0]["transcript"] == "One. Two. Three. Four. Five."


def test_an_answer_in_text_needs_no_synthesizer():
    talk, _ = writing([ReplyDelta("Good "), ReplyDelta("morning.")])
    talk.say("session.update", session=TEXT)
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    deltas = [event["delta"] for event in talk.of("response.output_text.delta")]
    assert "".join(deltas) == "Good morning."


def test_a_function_call_may_follow_what_is_said():
    talk, _ = writing([ReplyDelta("Let me look."), FunctionCall("weather", '{"city":"Bern"}')])
    talk.type("Weather?")
    talk.say("response.create")
    talk.finish()

    output = talk.last("response.done")["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call"]
    assert output[1]["arguments"] == '{"city":"Bern"}'


def test_a_cut_answer_is_incomplete_and_its_tokens_are_counted():
    talk, _ = writing(
        [ReplyDelta("Good morn"), TokenUsage(120, 3, 64), incomplete("max_output_tokens")]
    )
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    done = talk.last("response.done")["response"]
    assert done["status"] == "incomplete"
    assert done["usage"]["input_tokens"] == 120
    assert done["usage"]["input_token_details"]["cached_tokens"] == 64
    assert done["usage"]["output_token_details"]["text_tokens"] == 3


def test_an_answer_without_words_is_a_whole_response():
    talk, _ = writing([])
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    done = talk.last("response.done")["response"]
    assert (done["status"], done["output"]) == ("completed", [])


# --------------------------------------------------------------------------------- barge-in

LONG = "One is here. Two is here. Three is here. Four is here. Five is here. Six is here."


def said(talk: Talk) -> str:
    return "".join(e["delta"] for e in talk.of("response.output_audio_transcript.delta"))


def test_a_voice_stops_all_three_at_once():
    talk, _ = writing([ReplyDelta(LONG)])
    talk.speak()
    talk.wait(0.2)
    talk.do_work()
    open_work = list(talk.work)
    before = len(talk.events)

    talk.append(tone(300))
    after = talk.events[before:]
    talk.finish()

    assert after[0]["type"] == "input_audio_buffer.speech_started"
    assert talk.last("response.done")["response"]["status_details"]["reason"] == "turn_detected"
    assert all(work.id in talk.cancelled for work in open_work)
    later = talk.events[talk.events.index(talk.last("response.done")) :]
    assert not [event for event in later if event["type"] == "response.output_audio.delta"]


def test_work_that_is_still_open_is_cancelled_by_a_voice():
    talk, _ = writing()
    talk.replies_at_once = False
    talk.speak()
    transcription = talk.work.pop(0)
    talk._note(talk.machine.tick(talk.now))
    talk._note(talk.machine.progress(transcription.id, "Hello.", talk.now))
    talk._note(talk.machine.finish(transcription.id, None, talk.now))
    (asked,) = talk.work
    talk._note(talk.machine.progress(asked.id, ReplyDelta("Good morning. How"), talk.now))
    speech = talk.work[-1]

    talk.append(tone(300))

    assert set(talk.cancelled) == {asked.id, speech.id}
    assert talk.machine.progress(asked.id, ReplyDelta(" did you sleep?"), talk.now) == []
    assert talk.machine.progress(speech.id, tone(1000), talk.now) == []


def test_the_next_prompt_holds_what_was_heard_and_no_more():
    talk, responder = writing([ReplyDelta(LONG)], [ReplyDelta("Yes?")])
    talk.speak()
    talk.wait(0.31)  # 0.3 s of speech were heard; much more of it was sent
    assert len(said(talk)) > len("One is here. ")

    talk.append(tone(300) + silence(1000))
    talk.finish()

    heard = [m.text for m in responder.asked[-1].history if isinstance(m, Message)]
    assert heard[0] == "Hello there."
    assert LONG.startswith(heard[1])
    assert len(heard[1]) <= len("One is")


def test_a_client_that_truncates_says_exactly_what_was_heard():
    talk, responder = writing([ReplyDelta(LONG)], [ReplyDelta("Yes?")])
    talk.speak()
    talk.finish()
    item = talk.last("response.output_item.done")["item"]

    sentence_ms = len("One is here.") * 60
    talk.say(
        "conversation.item.truncate",
        item_id=item["id"],
        content_index=0,
        audio_end_ms=sentence_ms + 10,
    )
    talk.type("Go on")
    talk.say("response.create")

    answers = [m for m in responder.asked[-1].history if getattr(m, "role", "") == "assistant"]
    assert [answer.text for answer in answers if isinstance(answer, Message)] == ["One is here."]


def test_an_answer_may_be_truncated_while_it_is_sent():
    talk, responder = writing([ReplyDelta(LONG)], [ReplyDelta("Yes?")])
    talk.speak()
    talk.wait(0.2)
    item = talk.last("response.output_item.added")["item"]

    talk.say("response.cancel")
    talk.say("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=200)
    talk.type("Go on")
    talk.say("response.create")

    told = [m.text for m in responder.asked[-1].history if isinstance(m, Message)]
    assert told == ["Hello there.", "Go on"]  # of 200 ms no word is whole


def test_the_words_of_an_answer_that_the_client_brought_outlast_its_truncation():
    talk, responder = writing([ReplyDelta("Yes?")])
    sound = base64.b64encode(tone(1000)).decode()
    content = [{"type": "output_audio", "audio": sound, "transcript": "From before."}]
    item = {"id": "item_old", "type": "message", "role": "assistant", "content": content}
    talk.say("conversation.item.create", item=item)

    talk.say("conversation.item.truncate", item_id="item_old", content_index=0, audio_end_ms=500)
    talk.type("Go on")
    talk.say("response.create")

    told = [m.text for m in responder.asked[-1].history if isinstance(m, Message)]
    assert told == ["From before.", "Go on"]


def test_an_answer_that_was_heard_whole_is_told_whole():
    talk, responder = writing([ReplyDelta("One is here. Two is here.")], [ReplyDelta("Yes?")])
    talk.speak()
    talk.finish()

    talk.speak()
    talk.finish()

    texts = [m.text for m in responder.asked[-1].history if isinstance(m, Message)]
    assert "One is here. Two is here." in texts


# ------------------------------------------------------------------------------ the history


def test_the_responder_gets_the_conversation_with_its_calls():
    talk, responder = writing([ReplyDelta("It rains.")])
    talk.say("session.update", session={**TEXT, "instructions": "Be brief."})
    talk.type("Weather?")
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
    talk.say("conversation.item.create", item=call)
    output = {"type": "function_call_output", "call_id": "c1", "output": "rain"}
    talk.say("conversation.item.create", item=output)

    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    wanted = {"tools": [tool], "tool_choice": "required", "max_output_tokens": 50}
    talk.say("response.create", response=wanted)

    (asked,) = responder.asked
    expected: list[HistoryEntry] = [
        Message("user", "Weather?"),
        MadeCall("c1", "weather", "{}"),
        CallOutput("c1", "rain"),
    ]
    assert list(asked.history) == expected
    assert asked.instructions == "Be brief."
    assert (asked.tool_choice, asked.max_tokens) == ("required", 50)
    assert [one.name for one in asked.tools] == ["weather"]


def test_a_long_conversation_is_told_from_its_end():
    talk, responder = writing([ReplyDelta("Yes.")])
    talk.say("session.update", session=TEXT)
    for number in range(40):
        talk.type(f"{number} " + "words " * 200)

    talk.say("response.create")

    told = [m.text.split()[0] for m in responder.asked[0].history if isinstance(m, Message)]
    assert told[-1] == "39"
    assert 10 < len(told) < 30


def test_the_speech_of_the_last_turn_is_given_too():
    talk, responder = writing([ReplyDelta("Yes.")])
    talk.speak(1000)
    talk.finish()

    last = responder.asked[0].history[-1]
    assert isinstance(last, Message)
    assert len(last.audio) >= 1000 * 48


def test_the_sound_of_an_answer_is_what_the_synthesizer_made():
    talk, _ = writing([ReplyDelta("One is here. Two is here.")])
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    sound = b"".join(base64.b64decode(e["delta"]) for e in talk.of("response.output_audio.delta"))
    assert sound == tone(12 * 60) + tone(12 * 60)


# --------------------------------------------------------------------------- found by breaking


def on_the_way() -> tuple[Talk, WritingResponder, str]:
    """An answer of which a part has been sent, and its item."""
    talk, responder = writing([ReplyDelta(LONG)], [ReplyDelta("Yes?")])
    talk.speak()
    talk.wait(0.31)
    assert not talk.of("response.output_item.done")
    return talk, responder, talk.last("response.output_item.added")["item"]["id"]


def told(talk: Talk, responder: WritingResponder) -> str:
    """What the responder is told of its own answers."""
    talk.type("Go on")
    talk.say("response.create")
    talk.finish()
    messages = [m for m in responder.asked[-1].history if isinstance(m, Message)]
    return "".join(m.text for m in messages if m.role == "assistant")


def test_a_truncation_of_an_item_that_is_still_sent_is_not_undone():
    talk, responder, item_id = on_the_way()
    talk.say("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=300)
    assert talk.of("conversation.item.truncated")
    talk.wait(0.2)
    talk.say("response.cancel")
    assert len(told(talk, responder)) <= len("One is")


def test_a_truncation_of_an_item_that_is_still_sent_keeps_what_was_heard():
    talk, responder, item_id = on_the_way()
    talk.say("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=900)
    talk.say("response.cancel")
    assert talk.last("response.output_audio_transcript.done")["transcript"]  # deltas had words
    assert told(talk, responder).startswith("One is here")


def test_an_answer_waits_for_all_that_the_user_said():
    """Two committed turns, the first one's transcript is the later."""
    talk, responder = writing([ReplyDelta("Yes.")])
    talk.say("session.update", session=NO_TURNS)
    for ms in (1000, 1000):
        talk.append(tone(ms))
        talk.say("input_audio_buffer.commit")
    first, second = talk.work
    talk.work.clear()
    talk.say("response.create")
    talk._note(talk.machine.progress(second.id, "Second.", talk.now))
    talk._note(talk.machine.finish(second.id, None, talk.now))
    talk._note(talk.machine.progress(first.id, "First.", talk.now))
    talk._note(talk.machine.finish(first.id, None, talk.now))
    talk.finish()
    given = [m.text for m in responder.asked[0].history if isinstance(m, Message)]
    assert given == ["First.", "Second."]


def test_a_later_sentence_that_fails_leaves_the_earlier_ones_sound():
    talk, _ = writing([ReplyDelta("One is here and it is rather long. Two is here. ")])
    talk.speak()
    talk._do(talk.work.pop(0))
    talk._note(talk.machine.tick(talk.now))
    spoken = [w for w in talk.work if isinstance(w.request, SynthesisRequest)]
    talk.work.clear()
    talk._note(talk.machine.progress(spoken[0].id, tone(2000), talk.now))
    talk._note(talk.machine.finish(spoken[0].id, None, talk.now))
    talk._note(talk.machine.finish(spoken[1].id, PartFailed("synthesizer", "failed"), talk.now))
    talk.finish()
    ms = sum(len(e["delta"]) * 3 // 4 for e in talk.of("response.output_audio.delta")) // 48
    assert ms >= 2000


def test_an_item_with_sound_added_in_a_pause_costs_the_turn_nothing():
    talk = pausing("I am done.", "Other.")
    in_real_time(talk, tone(1000) + silence(300))
    early = transcriptions(talk)
    assert len(early) == 1
    content = [{"type": "input_audio", "audio": base64.b64encode(tone(500)).decode()}]
    item = {"type": "message", "role": "user", "content": content}
    talk.say("conversation.item.create", item=item)
    assert talk.cancelled == []


def test_a_long_answer_in_text_costs_each_word_the_same():
    def seconds(words: int) -> float:
        talk, _ = writing([ReplyDelta("word ") for _ in range(words)])
        talk.check = as_read
        talk.say("session.update", session=TEXT)
        talk.type("Hello")
        began = time.process_time()
        talk.say("response.create")
        talk.wait(600)
        assert talk.of("response.done")
        return (time.process_time() - began) / words

    seconds(100)  # so that nothing is done for the first time below
    few, many = seconds(250), seconds(2000)
    assert many < 3 * few
