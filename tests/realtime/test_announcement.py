"""A new conversation's id is told once, when there is something to it."""

from dataclasses import replace

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.dialects.client import BrowserDialect
from relay.realtime.opening import Announcement
from tests.realtime.test_conversation import conversation


def announcing(conversation_id: str | None = None) -> Announcement:
    setup = conversation(BrowserDialect(), greeted=False).setup
    grant = replace(setup.grant, conversation_id=conversation_id)
    return Announcement(replace(setup, grant=grant), ClientEncoder(BrowserDialect(), grant))


DONE = {"type": "response.done"}
HEARD = {"type": "conversation.item.input_audio_transcription.completed"}


def test_S3_27_it_is_told_before_the_first_answer_is_done_once_something_was_said() -> None:
    it = announcing()
    assert it.observe(DONE, 1.0) == []
    it.arm()
    assert it.observe(HEARD, 1.0) == []
    assert len(it.observe(DONE, 1.0)) == 1
    assert it.observe(DONE, 1.0) == []


def test_a_conversation_that_goes_on_is_not_announced() -> None:
    it = announcing("c1")
    it.arm()
    assert it.observe(DONE, 1.0) == []
