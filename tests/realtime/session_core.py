"""A session core for tests, and what its effects send to either side."""

import json
from typing import Any

from relay.realtime.core import SessionCore
from relay.realtime.deadlines import Deadlines, SessionLimits
from relay.realtime.dialects.client import BrowserDialect, ClientDialect, GaDialect
from relay.realtime.effects import Effect, ToClient, ToEngine
from relay.realtime.events import encode, sniff
from relay.realtime.grant import Caller, Grant
from relay.realtime.opening import SessionSetup, browser_session_update, granted_session_update
from relay.realtime.scrubbing import Conceal, unchanged
from tests.realtime.wire_events import Event

WHISPER = {"model": "gpt-realtime-whisper"}
CALLER = Caller(sub="u1", role="learner", expires_at=9000.0)
CREATED: Event = {"type": "session.created", "event_id": "e", "session": {"id": "sess_1"}}
UPDATED: Event = {"type": "session.updated", "event_id": "e", "session": {"id": "sess_1"}}


def new_core(
    dialect: ClientDialect | None = None,
    *,
    created: bool = True,
    truncates: bool = False,
    conceal: Conceal = unchanged,
    **granted: Any,
) -> SessionCore:
    """A core of this dialect and grant, by default after the engine's `session.created`."""
    grant = Grant(caller=CALLER, agent_id="a1", **granted)
    is_browser = isinstance(dialect, BrowserDialect)
    if is_browser:
        update = browser_session_update(grant, WHISPER, "alloy")
    else:
        update = granted_session_update(grant, WHISPER)
    setup = SessionSetup(
        session_id="s1",
        conversation_id=grant.conversation_id or "c1",
        grant=grant,
        dialect=dialect or GaDialect(),
        first_update=update,
        first_update_shown=is_browser,
        transcription=WHISPER,
        truncates=truncates,
        conceal=conceal,
    )
    core = SessionCore(setup, Deadlines(SessionLimits(10.0, 1800.0, 300.0, 9000.0), 0.0))
    if created:
        from_engine(core, CREATED)
    return core


def from_engine(core: SessionCore, event: Event, now: float = 1.0) -> list[Effect]:
    frame = encode(event)
    return core.from_engine(memoryview(frame), sniff(frame), now)


def to_client(effects: list[Effect]) -> list[Event]:
    """The events that the client gets."""
    return [json.loads(bytes(effect.frame)) for effect in effects if isinstance(effect, ToClient)]


def to_engine(effects: list[Effect]) -> list[Event]:
    """The events that the engine gets."""
    return [json.loads(bytes(effect.frame)) for effect in effects if isinstance(effect, ToEngine)]
