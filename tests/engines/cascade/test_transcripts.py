"""What a client is told of what its user said."""

from relay.engines.cascade.input import MAX_AWAITED
from tests.engines.cascade.driving import NO_TURNS, TRANSCRIBED, Talk, scripted

KIND = "conversation.item.input_audio_transcription"


def test_joined_deltas_begin_with_a_space_and_the_whole_does_not():
    talk = Talk(scripted("Hello, my name is Marcelo."))
    talk.say("session.update", session=TRANSCRIBED)
    talk.speak()
    talk.do_work()

    joined = "".join(event["delta"] for event in talk.of(f"{KIND}.delta"))
    assert joined == " Hello, my name is Marcelo."
    assert talk.last(f"{KIND}.completed")["transcript"] == "Hello, my name is Marcelo."


def test_the_retrieved_item_has_the_transcript_although_nobody_was_told():
    talk = Talk(scripted("Quietly."))
    talk.say("session.update", session=NO_TURNS)
    talk.append(bytes(48 * 200))
    item_id = talk.say("input_audio_buffer.commit")[0]["item_id"]
    talk.do_work()

    (retrieved,) = talk.say("conversation.item.retrieve", item_id=item_id)

    assert retrieved["item"]["content"][0]["transcript"] == "Quietly."
    assert talk.of(f"{KIND}.completed") == []


def test_what_was_promised_at_the_commit_is_kept():
    talk = Talk()
    talk.say("session.update", session=TRANSCRIBED)
    talk.speak()
    off = {"type": "realtime", "audio": {"input": {"transcription": None}}}
    talk.say("session.update", session=off)
    talk.do_work()

    assert len(talk.of(f"{KIND}.completed")) == 1


def test_transcripts_may_come_in_any_order():
    talk = Talk(scripted("second", "first"))
    manual = {"transcription": {"model": "whisper-1"}, "turn_detection": None}
    talk.say("session.update", session={"type": "realtime", "audio": {"input": manual}})
    ids = []
    for _ in range(2):
        talk.append(bytes(48 * 200))
        ids.append(talk.say("input_audio_buffer.commit")[0]["item_id"])
    talk.work.reverse()
    talk.do_work()

    completed = {e["item_id"]: e["transcript"] for e in talk.of(f"{KIND}.completed")}
    assert completed == {ids[1]: "second", ids[0]: "first"}


def test_too_many_turns_at_once_fail_instead_of_piling_up():
    talk = Talk()
    talk.say("session.update", session=TRANSCRIBED)

    for _ in range(MAX_AWAITED + 1):
        talk.append(bytes(48 * 200))
        talk.say("input_audio_buffer.commit")

    (failed,) = talk.of(f"{KIND}.failed")
    assert failed["error"]["type"] == "server_error"
    assert len(talk.work) == MAX_AWAITED


def test_a_transcript_nobody_awaits_is_no_trouble():
    talk = Talk()

    assert talk.machine.transcribed("item_nobody", "What?", talk.now) == []
