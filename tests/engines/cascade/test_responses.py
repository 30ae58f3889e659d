"""What `response.*` events say about one response."""

import pytest

from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import Reply, ReplyEnding, SpokenMessage, failed, incomplete
from tests.engines.cascade.driving import TEXT, Talk, scripted, types


def test_a_response_is_announced_with_nothing_in_it():
    talk = Talk()
    talk.type("Hello")

    (created,) = talk.say("response.create")

    response = created["response"]
    assert response["status"] == "in_progress"
    assert response["output"] == []
    assert response["usage"] is None
    assert response["conversation_id"].startswith("conv_")
    assert response["output_modalities"] == ["audio"]


def test_ids_agree_through_the_whole_response():
    talk = Talk()
    talk.type("Hello")
    talk.say("response.create")
    talk.forget()
    talk.finish()

    (response_id,) = {e["response_id"] for e in talk.events if "response_id" in e}
    (item_id,) = {e["item_id"] for e in talk.events if "item_id" in e}
    done = talk.last("response.done")["response"]
    assert done["id"] == response_id
    assert [item["id"] for item in done["output"]] == [item_id]


def test_parts_and_items_are_named_as_on_the_wire():
    talk = Talk(scripted(replies=("Yes.",)))
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    assert talk.last("response.content_part.added")["part"] == {"type": "audio", "transcript": ""}
    assert talk.last("response.content_part.done")["part"]["transcript"] == "Yes."
    item = talk.last("response.output_item.done")["item"]
    assert item["content"] == [{"type": "output_audio", "transcript": "Yes."}]
    assert talk.last("response.output_item.added")["item"]["content"] == []


def test_token_deltas_are_padded_and_sound_is_not():
    talk = Talk()
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    words = talk.of("response.output_audio_transcript.delta")
    assert all((len(e["delta"]) + len(e["obfuscation"])) % 16 == 0 for e in words)
    assert all("obfuscation" not in e for e in talk.of("response.output_audio.delta"))


def test_what_an_event_said_is_not_changed_by_later_ones():
    talk = Talk()
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()
    item = talk.last("response.output_item.done")["item"]
    before = {**item, "content": [dict(part) for part in item["content"]]}

    where = {"item_id": item["id"], "content_index": 0, "audio_end_ms": 0}
    talk.say("conversation.item.truncate", **where)

    assert talk.last("response.done")["response"]["output"] == [before]


def test_rate_limits_follow_what_is_complete_and_only_that():
    talk = Talk()
    talk.say("session.update", session=TEXT)
    talk.type("Hello")
    talk.say("response.create")
    talk.say("response.cancel")
    assert talk.of("rate_limits.updated") == []

    talk.say("response.create")
    talk.finish()

    (limits,) = talk.last("rate_limits.updated")["rate_limits"]
    used = talk.last("response.done")["response"]["usage"]["total_tokens"]
    assert limits["limit"] - limits["remaining"] == used > 0


def test_a_reader_who_fell_behind_is_asked_in_between():
    talk = Talk(scripted(replies=("word " * 40,)), pace=Pace(text_seconds=0.01))
    talk.say("session.update", session=TEXT)
    talk.say("response.create")
    talk.now += 10

    for _ in range(4):
        sent = talk._note(talk.machine.tick(talk.now))
        assert len([e for e in sent if e["type"] == "response.output_text.delta"]) == 8


QUOTA = failed("insufficient_quota", "You exceeded your current quota.", "insufficient_quota")


@pytest.mark.parametrize("ending", [QUOTA, incomplete("content_filter")])
def test_4_10_an_answer_may_end_badly(ending: ReplyEnding):
    reply = Reply((SpokenMessage("I was going to say"),), ending=ending)
    talk = Talk(scripted(replies=(reply,)))
    talk.say("response.create")
    talk.finish()

    done = talk.last("response.done")["response"]
    assert done["status"] == ending.status
    assert done["status_details"] == ending.details
    assert done["output"][0]["status"] == "incomplete"
    assert done["usage"]["output_tokens"] > 0
    assert talk.of("rate_limits.updated") == []


def test_4_10_an_answer_may_fail_before_it_begins():
    talk = Talk(scripted(replies=(Reply((), ending=QUOTA), "Better now.")))
    talk.say("session.update", session=TEXT)
    talk.forget()
    talk.say("response.create")
    talk.finish()

    assert types(talk.events) == ["response.created", "response.done"]
    done = talk.last("response.done")["response"]
    assert (done["output"], done["usage"]["total_tokens"]) == ([], 0)

    talk.say("response.create")
    talk.finish()
    assert talk.last("response.output_text.done")["text"] == "Better now."
