"""GA and beta Realtime events: what a client that still speaks beta is told, and what it means.

Inside, GA is the only vocabulary (DESIGN §4.1); a door whose client speaks beta translates with
this module. Nothing here changes what it is given; an event that needs no translation is returned
itself. What is malformed or unknown goes through: the other end shall judge it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from relay.realtime.dialect_items import ga_item
from relay.realtime.dialect_session import (
    Json,
    ga_session,
    ga_transcription_session,
    is_transcription,
)
from relay.realtime.dialect_table import TABLE, TRANSCRIPTION, Body, whole_ga_response
from relay.realtime.events import Event, Frame

BETA_NAMES: Mapping[str, str | None] = MappingProxyType({ga: r.beta for ga, r in TABLE.items()})
"""Every GA server event and the name under which a beta client sees it; None: not at all."""

TRANSCRIPTION_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "session.created": "transcription_session.created",
        "session.updated": "transcription_session.updated",
    }
)
"""The beta names of two events where the session is a transcription session."""

REWRITTEN = frozenset(ga for ga, row in TABLE.items() if row.body)
"""GA server events of which more than the name changes: they must be decoded for `to_beta`."""

RENAMED = frozenset(ga for ga, row in TABLE.items() if row.beta not in (ga, None) and not row.body)
"""GA server events of which the name alone changes: `rename` splices it into the frame."""

DROPPED = frozenset(ga for ga, row in TABLE.items() if row.beta is None)
"""GA server events that a beta client is not shown. What is in none of the three passes as is."""

# Beta server name -> GA name and body. A renamed event wins over one that GA merely lists still.
_BETA_TABLE: dict[str, tuple[str, Body | None]] = {
    row.beta: (ga, row.body)
    for ga, row in sorted(TABLE.items(), key=lambda entry: entry[0] != entry[1].beta)
    if row.beta
} | {beta: (ga, TRANSCRIPTION) for ga, beta in TRANSCRIPTION_NAMES.items()}


def to_beta(event: Event) -> Event | None:
    """Tell a GA server event as a beta client knows it; None when such a client is not shown it."""
    name = _name(event)
    row = TABLE.get(name)
    if row is None:
        return event
    if row.beta is None:
        return None
    beta = row.beta
    if name in TRANSCRIPTION_NAMES and is_transcription(event.get("session")):
        beta = TRANSCRIPTION_NAMES[name]
    return (
        _translated(event, beta, row.body.key, row.body.to_beta)
        if row.body
        else _named(event, beta)
    )


def beta_to_ga(event: Event) -> Event:
    """Tell a beta server event in GA's words, for replaying old logs.

    No `conversation.item.done` is made up: beta never said when an item was complete.
    """
    name = _name(event)
    ga, body = _BETA_TABLE.get(name, (name, None))
    return _translated(event, ga, body.key, body.to_ga) if body else _named(event, ga)


def to_ga(event: Event) -> Event:
    """Tell a client event in GA's words; one that is GA already is returned unchanged.

    A session that says its `type` or has its audio nested is GA, and so is a response with nested
    audio.
    """
    translate = _CLIENT_TABLE.get(_name(event))
    return translate(event) if translate else event


def _session_update(event: Event) -> Event:
    if _is_ga(event.get("session")):
        return event
    return _translated(event, "session.update", "session", ga_session)


def _transcription_session_update(event: Event) -> Event:
    if _is_ga(event.get("session")):
        return _named(event, "session.update")
    return _translated(event, "session.update", "session", ga_transcription_session)


def _response_create(event: Event) -> Event:
    if _nests_audio(event.get("response")):
        return event
    return _translated(event, "response.create", "response", whole_ga_response)


def _item_create(event: Event) -> Event:
    return _translated(event, "conversation.item.create", "item", ga_item)


_CLIENT_TABLE: dict[str, Callable[[Event], Event]] = {
    "session.update": _session_update,
    "transcription_session.update": _transcription_session_update,
    "response.create": _response_create,
    "conversation.item.create": _item_create,
}


def _is_ga(session: Any) -> bool:
    return isinstance(session, dict) and ("type" in session or _nests_audio(session))


def _nests_audio(body: Any) -> bool:
    return isinstance(body, dict) and isinstance(body.get("audio"), dict)


def _name(event: Event) -> str:
    name = event.get("type")
    return name if isinstance(name, str) else ""


def _named(event: Event, name: str) -> Event:
    return event if name == _name(event) else {**event, "type": name}


def _translated(event: Event, name: str, key: str, translate: Callable[[Json], Any]) -> Event:
    body = event.get(key)
    if not isinstance(body, dict):
        return _named(event, name)
    return {**event, "type": name, key: translate(body)}


def _openings(ga: str, beta: str | None) -> tuple[tuple[bytes, bytes], ...]:
    """Say how frames of these names begin: as OpenAI writes them, and as `json.dumps` does."""
    spellings = ('{"type":"%s"', '{"type": "%s"')
    return tuple(((form % ga).encode(), (form % beta).encode()) for form in spellings)


_OPENINGS = {ga: _openings(ga, BETA_NAMES[ga]) for ga in RENAMED}


def rename(frame: Frame, ga_type: str) -> bytes | None:
    """Return the frame under its beta name without parsing it, at the price of one copy.

    Only for types in `RENAMED`. None when the frame does not begin with its type (PROTOCOL §0
    says it does, nothing promises it): decode it and ask `to_beta` then.
    """
    for ga, beta in _OPENINGS.get(ga_type, ()):
        if frame[: len(ga)] == ga:
            return b"".join((beta, memoryview(frame)[len(ga) :]))
    return None
