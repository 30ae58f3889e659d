"""Gives a caller who was let in a session of their own."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from relay.interfaces import Admission, Call, Earlier, Journal, Past, Peer
from relay.realtime.billing.budget import Purse
from relay.realtime.core import Conversation
from relay.realtime.deadlines import Deadlines, Limits
from relay.realtime.dialects.client import View
from relay.realtime.grant import Grant
from relay.realtime.opening import Setup, seeded
from relay.realtime.records import AnyRecord, Head
from relay.session.live_call import LiveCall
from relay.session.purses import Purses
from relay.session.recorder import Recorder
from relay.session.registry import Registry
from relay.session.seats import Seats, Surroundings
from relay.session.session import Session
from relay.session.unwritten import Unwritten
from relay.websocket.handshake import Handshake


class Door(Protocol):
    """A way in."""

    name: str

    def answers(self, path: str) -> bool:
        """Whether a caller at this path means this door."""

    def view(self, handshake: Handshake) -> View:
        """How this caller reads the protocol, also when it is refused."""

    async def admit(self, handshake: Handshake) -> Admission:
        """Who is calling and what they get; raises Refused."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What every session is given: its limits in seconds and its input transcription."""

    engine_seconds: float
    session_seconds: float
    idle_seconds: float
    transcription: dict[str, Any]


@dataclass(frozen=True, slots=True)
class House:
    """Who is there: the doors in the order they are asked, and what sessions share.

    `live` lets feeds know of a session while its context lasts, `show` gives them words that are
    never written.
    """

    doors: Sequence[Door]
    registry: Registry
    shared: Surroundings
    journal: Journal
    past: Past
    purses: Purses
    rules: Rules
    live: Callable[[LiveCall], AbstractContextManager[None]] = lambda _: nullcontext()
    show: Callable[[Sequence[AnyRecord]], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One connection on its way in, and the name that its session will have."""

    session_id: str
    peer: Peer
    door: Door
    handshake: Handshake


@dataclass(frozen=True, slots=True)
class Admitted:
    """What is known of a caller who was let in."""

    admission: Admission
    earlier: Earlier
    purse: Purse | None


def seat(house: House, arrival: Arrival, admitted: Admitted) -> Session:
    """Make the session; nothing runs yet."""
    admission = admitted.admission
    grant, rules, now = admission.grant, house.rules, house.shared.clock()
    setup = Setup(
        session_id=arrival.session_id,
        conversation_id=grant.conversation_id or str(uuid.uuid4()),
        grant=grant,
        view=admission.view,
        first_update=admission.first_update,
        first_shown=admission.first_shown,
        transcription=rules.transcription,
        truncates=admission.truncates,
        before=seeded(admitted.earlier.said),
        prices=house.shared.prices,
    )
    limits = Limits(
        engine_seconds=rules.engine_seconds,
        session_seconds=_least(grant.bounds.session_seconds, rules.session_seconds),
        idle_seconds=_least(grant.bounds.idle_seconds, rules.idle_seconds),
        expires_at=grant.caller.expires_at,
    )
    return Session(
        _seats(house, arrival, setup, admitted),
        Conversation(setup, Deadlines(limits, now)),
        Recorder(_journal(house, grant), _head(setup, now)),
        house.shared,
    )


def _journal(house: House, grant: Grant) -> Journal:
    """Where what the call leaves goes: not all of it to the disk, where the agent wants that."""
    return house.journal if grant.store_text else Unwritten(house.journal, house.show)


def _seats(house: House, arrival: Arrival, setup: Setup, admitted: Admitted) -> Seats:
    admission, grant = admitted.admission, setup.grant
    return Seats(
        client=arrival.peer,
        view=admission.view,
        call=Call(session_id=setup.session_id, model=grant.model or "", user_id=grant.caller.sub),
        caller=grant.caller,
        door=arrival.door.name,
        pace_ms=admission.pace_ms,
        tools=house.shared.tools(grant, setup.session_id, setup.conversation_id),
        purse=admitted.purse,
    )


def _head(setup: Setup, now: float) -> Head:
    audio = setup.first_update["session"].get("audio", {})
    return Head(
        session_id=setup.session_id,
        conversation_id=setup.conversation_id,
        user_id=setup.grant.caller.sub,
        agent_id=setup.grant.agent_id,
        model=setup.grant.model or "",
        voice=str(audio.get("output", {}).get("voice", "")),
        started_at=now,
    )


def _least(agents: float | None, ours: float) -> float:
    """The agent's own bound where it is the tighter one."""
    return ours if agents is None else min(agents, ours)
