"""What the rules of a session know from the start, as plain data."""

from dataclasses import dataclass
from typing import Any

from relay.realtime.events import Event
from relay.realtime.grant import Grant
from relay.realtime.prices import Prices
from relay.realtime.view import View


@dataclass(frozen=True, slots=True)
class Setup:
    """What the rules know from the start.

    `first_update` goes up as soon as the engine said `session.created`; its answer is shown to
    the client where `first_shown`. `transcription` is `audio.input.transcription`. With
    `truncates`, the relay tells the engine what was heard of an interrupted answer, for clients
    that cannot. `before` are message items of what was said earlier in this conversation.
    `prices` is None for a voice that costs nothing.
    """

    session_id: str
    conversation_id: str
    grant: Grant
    view: View
    first_update: Event
    first_shown: bool
    transcription: dict[str, Any]
    truncates: bool = False
    before: tuple[dict[str, Any], ...] = ()
    prices: Prices | None = None
