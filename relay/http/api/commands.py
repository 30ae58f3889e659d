"""What a coach does to a live session: one address a command."""

from collections.abc import Iterator
from typing import Any, Final, get_args

import msgspec
from aiohttp import web

from relay.feed.shapes import Obeyed
from relay.http.api.faults import (
    BAD_MODE,
    BAD_TEXT,
    NOT_A_COACH,
    OVER,
    SILENT,
    TAKEN,
    Refusal,
    Refused,
)
from relay.http.api.gate import Gate
from relay.http.api.reading import Reading, json_answer
from relay.realtime.coaching.control import MAX_WHISPER, Command, Mode, Outcome
from relay.realtime.grant import Caller
from relay.realtime.records import CoachAction

ACTIONS: Final[tuple[CoachAction, ...]] = (
    *("pause", "resume", "whisper", "takeover", "release", "note", "end"),
)
"""Each is `POST /api/sessions/{id}/<action>`."""
NEEDS_TEXT: Final = frozenset({"whisper", "note"})
MAX_BODY: Final = 64 * 1024
"""Bytes of a request; the longest text in JSON's longest spelling is less."""
_REFUSALS: Final[dict[Outcome, Refusal]] = {"busy": TAKEN, "muted": SILENT, "over": OVER}


class Commands:
    """The handlers. Every command may be repeated: what is so already changes nothing."""

    def __init__(self, gate: Gate, reading: Reading) -> None:
        self._gate = gate
        self._reading = reading

    def routes(self) -> Iterator[web.RouteDef]:
        """One a command."""
        for action in ACTIONS:
            yield web.post(f"/sessions/{{id}}/{action}", self._handler(action))

    def _handler(self, action: CoachAction) -> Any:
        async def handle(request: web.Request) -> web.Response:
            caller = await self._gate.enter(request)
            if caller.role == "learner":
                raise Refused(NOT_A_COACH)
            feed = await self._reading.find(request, caller)
            outcome = feed.call.obey(_command(action, caller, await _body(request)))
            if outcome in _REFUSALS:
                raise Refused(_REFUSALS[outcome])
            feed.beat(with_state=True)
            return json_answer(Obeyed(changed=outcome == "done", session=feed.session()))

        return handle


async def _body(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; nothing at all is an empty one."""
    if (request.content_length or 0) > MAX_BODY:
        raise Refused(BAD_TEXT)
    raw = await request.content.read(MAX_BODY + 1)
    if not raw.strip():
        return {}
    try:
        told = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(BAD_TEXT) from None
    if len(raw) > MAX_BODY or not isinstance(told, dict):
        raise Refused(BAD_TEXT)
    return told


def _command(action: CoachAction, caller: Caller, told: dict[str, Any]) -> Command:
    text = told.get("reason" if action == "end" else "text", "")
    wanted = action in NEEDS_TEXT
    if not isinstance(text, str) or len(text) > MAX_WHISPER or (wanted and not text.strip()):
        raise Refused(BAD_TEXT)
    mode = told.get("mode", "context")
    if mode not in get_args(Mode):
        raise Refused(BAD_MODE)
    return Command(action, caller.sub, text, mode, is_admin=caller.role == "admin")
