"""Talks with a machine whose session has faults."""

from typing import Any

from relay.engines.cascade.effects import NewId
from relay.engines.cascade.engine import SessionMachine
from relay.engines.cascade.machine import Opening
from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import Parts
from relay.simulator.faults import Faults
from relay.simulator.faults.plan import Fault
from tests.engines.cascade.driving import NO_TURNS, TEXT, TRANSCRIBED, Event, Talk, scripted

COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"
DELTA = "conversation.item.input_audio_transcription.delta"


def faulty(
    *faults: Fault,
    parts: Parts | None = None,
    seed: int = 0,
    session: int = 1,
    pace: Pace | None = None,
) -> Talk:
    """Return a talk in the n-th session of a simulator with these faults."""
    mine = Faults(faults, seed).of_session(session)

    def shape(opening: Opening, made: Any, new_id: NewId) -> SessionMachine:
        return mine.rules(made(mine.opening(opening)), new_id)

    return Talk(parts or scripted("One two.", "Three four."), shape=shape, pace=pace)


def listening(*faults: Fault, **more: Any) -> Talk:
    """Return such a talk with transcription."""
    talk = faulty(*faults, **more)
    talk.say("session.update", session=TRANSCRIBED)
    talk.forget()
    return talk


def pushing(*faults: Fault, **more: Any) -> Talk:
    """Return such a talk with transcription, whose client ends turns itself."""
    talk = listening(*faults, **more)
    talk.say("session.update", session=NO_TURNS)
    talk.forget()
    return talk


def writing(*faults: Fault, **more: Any) -> Talk:
    """Return such a talk in text, with one thing typed."""
    talk = faulty(*faults, **more)
    talk.say("session.update", session=TEXT)
    talk.type("Hello")
    talk.forget()
    return talk


def answered(talk: Talk) -> list[Event]:
    """Ask for an answer; returns its events."""
    count = len(talk.events)
    talk.say("response.create")
    talk.finish()
    return talk.events[count:]


def pushed(talk: Talk) -> str:
    """Speak for a second and end the turn; returns the id of its item."""
    talk.append(bytes(48_000))
    talk.say("input_audio_buffer.commit")
    committed: str = talk.last("input_audio_buffer.committed")["item_id"]
    return committed


def transcripts(talk: Talk) -> list[str]:
    """Return the completed transcripts in the order in which they came."""
    return [event["transcript"] for event in talk.of(COMPLETED)]
