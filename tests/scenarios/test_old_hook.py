"""The older front end closes and dials anew when it learns of its conversation, fifty times."""

import asyncio
import base64
from pathlib import Path

import pytest

from relay.realtime.records import newest
from tests.realtime import wire_events as wire
from tests.scenarios.by_hand import End, Provider, browser, client, provided
from tests.scenarios.stage import Event, Stage
from tests.stores.words import texts

CONVERSATIONS = 50
AT_ONCE = 10
ANSWER = "One two three four five six seven eight."
LENGTHS_MS = (100, 480, 620, 1000, 1300)
"""Of answers: shorter and longer than the lead that this client is given."""


def question(number: int) -> str:
    return f"Question {number}."


def spoken_answer(ms: int, chunk_ms: int) -> list[Event]:
    """A whole answer with so much sound, in pieces of this length."""
    opening, closing = [], []
    events = wire.answer("A1", ANSWER, "U1")
    closes = [event["type"] for event in events].index("response.output_audio.done")
    opening, closing = events[:closes], events[closes:]
    ids = {"response_id": "resp_1", "item_id": "A1", "output_index": 0, "content_index": 0}
    sound = [
        {"type": "response.output_audio.delta", **ids, "delta": _silence(min(chunk_ms, ms - at))}
        for at in range(0, ms, chunk_ms)
    ]
    return [*opening, *sound, *closing]


def _silence(ms: int) -> str:
    return base64.b64encode(bytes(48 * ms)).decode()


def is_late(number: int) -> bool:
    """Whether the words of the first turn come when the client has left."""
    return number % 3 == 2


def first_turn(number: int) -> list[Event]:
    """The learner's turn and its answer; the words come before, just before its end, or late."""
    ms, words = LENGTHS_MS[number % 5], wire.heard("U1", question(number))
    answer = spoken_answer(ms, 40 if number % 10 == 0 else 200)
    turn = wire.spoken_turn("U1", None)
    if is_late(number):
        return [*turn, *answer]
    at = len(answer) - 1 if number % 2 else 0
    return [*turn, *answer[:at], words, *answer[at:]]


async def hook(here: Stage, provider: Provider, number: int) -> tuple[str, list[str]]:
    """One conversation over two sockets; its id, and what the second engine was told of it."""
    sub = f"learner-{number}"
    async with client(here, browser(sub)) as end:
        call = await provider.call(sub)
        call.send(*first_turn(number))
        told = (await end.until("conversation.created"))["conversation_id"]
        end.say_goodbye(1000)
        async with client(here, browser(sub, conversation_id=told)) as again:
            if is_late(number):
                call.send(wire.heard("U1", question(number)))
            await again.until("session.created")
            second = await provider.call(sub)
            await second.until("conversation.item.create", 2)
            second.send(*wire.spoken_turn("U2", None), wire.heard("U2", "Go on."))
            await again.until("conversation.item.input_audio_transcription.completed")
            assert "conversation.created" not in again.types
    return told, _told(second)


def _told(call: End) -> list[str]:
    creates = [event for event in call.events if event["type"] == "conversation.item.create"]
    return [event["item"]["content"][0]["text"] for event in creates]


@pytest.mark.slow
async def test_S3_52_fifty_first_answers_are_whole_and_in_order(tmp_path: Path) -> None:
    async with provided(tmp_path) as (here, provider):
        calls: list[tuple[str, list[str]]] = []
        for first in range(0, CONVERSATIONS, AT_ONCE):
            async with asyncio.TaskGroup() as group:
                hooks = [hook(here, provider, first + number) for number in range(AT_ONCE)]
                tasks = [group.create_task(one) for one in hooks]
            calls += [task.result() for task in tasks]
        for number, (conversation_id, told) in enumerate(calls):
            assert told == [question(number), ANSWER]
            rows = [row["record"] for row in await here.stored(conversation_id, 3)]
            assert texts(newest(rows)) == [question(number), ANSWER, "Go on."]
            answer = newest(rows)[1].utterance
            assert (answer.state, answer.heard_text) == ("final", ANSWER)
