"""A new conversation's id is told once, when there is something to it."""

from dataclasses import replace

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.core import Announcement
from relay.realtime.dialects.client import BrowserDialect
from relay.realtime.effects import Effect
from tests.realtime.test_conversation import conversation


def announcing(conversation_id: str | None = None) -> Announcement:
    setup = conversation(BrowserDialect(), greeted=False).setup
    grant = replace(setup.grant, conversation_id=conversation_id)
    return Announcement(replace(setup, grant=grant), ClientEncoder(BrowserDialect(), grant))


def told(*actions: list[Effect]) -> list[int]:
    return [len(some) for some in actions]


def test_S3_27_it_is_told_before_the_first_answer_is_done_once_something_was_said() -> None:
    it = announcing()
    silent = it.feed("response.done", settled=False)
    heard = it.feed("conversation.item.input_audio_transcription.completed", settled=True)
    assert told(silent, heard) == [0, 0]
    first, second = (it.feed("response.done", settled=False) for _ in range(2))
    assert told(first, second) == [1, 0]


def test_a_conversation_that_goes_on_is_not_announced() -> None:
    assert announcing("c1").feed("response.done", settled=True) == []
