"""Faults of the transcription of a user's turns (PROTOCOL §5)."""

from relay.simulator.faults import (
    Condition,
    TranscriptionBeforeItem,
    TranscriptionDoubled,
    TranscriptionEmpty,
    TranscriptionFailed,
    TranscriptionInterim,
    TranscriptionLate,
    TranscriptionOutOfOrder,
)
from tests.engines.cascade.driving import scripted, types, valid
from tests.simulator.faults.faulty import (
    COMPLETED,
    DELTA,
    FAILED,
    listening,
    pushed,
    pushing,
    transcripts,
)


def test_5_2_late_words_come_after_the_answer():
    talk = listening(TranscriptionLate(seconds=20))
    talk.speak()
    talk.wait(10)
    assert transcripts(talk) == []
    assert len(talk.of("response.done")) == 1

    talk.wait(11)

    assert transcripts(talk) == ["One two."]
    assert len(talk.of(DELTA)) == 2


def test_5_2_only_the_second_turn_is_late():
    talk = pushing(TranscriptionLate(seconds=20, only=Condition(turn=2)))
    first, second = pushed(talk), pushed(talk)
    talk.wait(1)
    assert [event["item_id"] for event in talk.of(COMPLETED)] == [first]

    talk.wait(20)

    assert [event["item_id"] for event in talk.of(COMPLETED)] == [first, second]


def test_5_2_words_out_of_order():
    talk = pushing(TranscriptionOutOfOrder())
    first, second = pushed(talk), pushed(talk)
    talk.wait(1)

    assert [event["item_id"] for event in talk.of(COMPLETED)] == [second, first]
    assert transcripts(talk) == ["Three four.", "One two."]


def test_5_1_words_before_their_item():
    talk = listening(TranscriptionBeforeItem())
    talk.speak()
    talk.finish()

    assert types(talk.events)[:8] == [
        "input_audio_buffer.speech_started",
        f"{DELTA}*",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        COMPLETED,
        "response.created",
    ]


def test_5_1_words_before_an_item_that_the_client_committed():
    talk = pushing(TranscriptionBeforeItem())
    talk.append(bytes(48_000))
    assert talk.say("input_audio_buffer.commit") == []
    talk.do_work()

    assert types(talk.events) == [
        f"{DELTA}*",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        COMPLETED,
    ]


def test_5_9_words_twice():
    talk = listening(TranscriptionDoubled(times=3))
    talk.speak()
    talk.do_work()

    assert transcripts(talk) == ["One two."] * 3
    assert len({event["event_id"] for event in talk.of(COMPLETED)}) == 3
    assert len(talk.of(DELTA)) == 2


def test_5_8_no_words():
    talk = listening(TranscriptionEmpty())
    talk.speak()
    talk.finish()

    assert talk.of(DELTA) == []
    assert transcripts(talk) == [""]
    said = talk.last("response.output_audio_transcript.done")["transcript"]
    assert said == "You said: One two."  # the model heard it all the same


def test_5_7_words_that_could_not_be_written_down():
    talk = listening(TranscriptionFailed(code="DeploymentNotFound", message="No such model."))
    talk.speak()
    talk.finish()

    assert transcripts(talk) == []
    assert talk.of(DELTA) == []
    failed = valid(talk.last(FAILED))
    assert failed["item_id"] == talk.last("input_audio_buffer.committed")["item_id"]
    assert failed["error"]["code"] == "DeploymentNotFound"
    assert failed["error"]["message"] == "No such model."
    assert talk.last("response.done")["response"]["status"] == "completed"


def test_5_9_words_that_grow():
    talk = listening(TranscriptionInterim(), parts=scripted("How are you today?"))
    talk.speak()
    talk.do_work()

    assert talk.of(DELTA) == []
    assert transcripts(talk) == ["How", "How are", "How are you", "How are you today?"]
    statuses = [event["status"] for event in talk.of(COMPLETED)]
    assert statuses == ["in_progress", "in_progress", "in_progress", "completed"]
    assert len({event["event_id"] for event in talk.of(COMPLETED)}) == 4


def test_chance_chooses_the_same_turns_each_time():
    def chosen(seed: int) -> list[bool]:
        talk = pushing(TranscriptionEmpty(only=Condition(probability=0.5)), seed=seed)
        for _ in range(20):
            pushed(talk)
            talk.do_work()
        return [not text for text in transcripts(talk)]

    first = chosen(1)
    assert chosen(1) == first
    assert chosen(2) != first
    assert 3 < sum(first) < 17


def test_faults_may_follow_one_another():
    talk = listening(TranscriptionInterim(), TranscriptionDoubled(), TranscriptionLate(seconds=5))
    talk.speak()
    talk.wait(4)
    assert transcripts(talk) == []

    talk.wait(2)

    assert transcripts(talk) == ["One", "One", "One two.", "One two."]
