"""Finds out whether an engine speaks GA or beta, and translates what a beta engine says and reads.

OpenAI speaks GA alone; some servers like it speak beta, and some mix both. How a server shows its
session decides what it is sent, and the name of each event how that event is read.
"""

from typing import Any, Final, Literal

from relay.realtime.dialects import beta
from relay.realtime.events import (
    AUDIO_DELTA,
    HEAD_BYTES,
    TEXT_DELTAS,
    BadEvent,
    Event,
    Frame,
    decode,
    encode,
    read,
    sniff,
)

Json = dict[str, Any]

MOST_OPEN_ITEMS: Final = 1000
"""Items of answers that are not complete, for which the end is awaited; a server has a few."""

MOST_TOLD_ITEMS: Final = 1000
"""Items of which is remembered how they were told; a server names one twice in a row."""

_GA_DELTAS: Final = frozenset({AUDIO_DELTA, *TEXT_DELTAS})
_ITEM_KEY: Final = b'"item_id"'
_DELTA_KEY: Final = b'"delta"'
_CREATED: Final = "conversation.item.created"
_ADDED: Final = "conversation.item.added"
_ITEM_DONE: Final = "conversation.item.done"
_DELETED: Final = "conversation.item.deleted"
_UNFINISHED: Final = frozenset({"in_progress", "incomplete"})
_BETA_FIELDS: Final = frozenset(
    {
        *("modalities", "voice", "turn_detection", "max_response_output_tokens"),
        *("input_audio_format", "input_audio_transcription", "input_audio_noise_reduction"),
        "output_audio_format",
    }
)
"""Fields that only a flat session has at its top."""
_GA_FIELDS: Final = frozenset(
    ["type", "truncation", "prompt", "include", "tracing", "reasoning", "parallel_tool_calls"]
)
"""Fields that beta never had: a server may refuse a whole event for one that it does not know."""
_RENAMED: Final = {name: ga for ga in beta.RENAMED if (name := beta.BETA_NAMES[ga]) is not None}
"""Beta events that differ in their name alone, and their GA names."""
_HEADS: Final = tuple(
    ((form % name).encode(), (form % ga).encode())
    for name, ga in _RENAMED.items()
    for form in ('{"type":"%s"', '{"type": "%s"')
)
_ITEM_EVENTS: Final = frozenset({_CREATED, _ADDED, _ITEM_DONE, _DELETED})
_READ_WHOLE: Final = _ITEM_EVENTS | {*beta.REWRITTEN, *beta.TRANSCRIPTION_NAMES.values()}


class ServerDialect:
    """What one connection's engine speaks; its frames become GA, and GA frames become its own.

    Beta says that an item was created, never that it is complete, and GA both: the second is added,
    for an item of an answer where its output ends. What a server tells under two names is told
    once, what it repeats under one is repeated. `speaks` is "unknown" until the engine has shown
    its session and, in an answer, the name of a delta.
    """

    def __init__(self) -> None:
        self.speaks: Literal["unknown", "ga", "beta"] = "unknown"
        self.reads_beta = False
        """Whether its session was flat, so that it is sent beta."""
        self._open: dict[str, str | None] = {}  # items of answers: their ids, and the ones before
        self._told: dict[tuple[str, str], str] = {}  # GA names and items: the server's own names

    def down(self, frame: Frame, kind: str) -> tuple[Frame, ...]:
        """Translate an engine's frame of this type to GA: one frame, or two."""
        if kind in _GA_DELTAS:
            if self.speaks == "unknown" and not self.reads_beta:
                self.speaks = "ga"
            return (frame,)
        if kind in _RENAMED:
            self.speaks = "beta"
            return (_renamed(frame, kind),)
        if kind not in _READ_WHOLE:
            return (frame,)
        try:
            event, frame = read(frame)
        except BadEvent:
            return (frame,)  # whoever reads it next says so
        self._learn(event)
        events = [each for each in self._to_ga(event) if self._is_news(each, kind)]
        return (frame,) if events == [event] else tuple(encode(each) for each in events)

    def up(self, frame: Frame) -> Frame:
        """Translate a GA frame to what the engine reads."""
        if not self.reads_beta or sniff(frame) not in _FOR_BETA:
            return frame
        try:
            event = decode(frame)
        except BadEvent:
            return frame
        return encode(to_beta_server(event))

    def _learn(self, event: Event) -> None:
        if event["type"] in beta.TRANSCRIPTION_NAMES.values() or _is_flat(event.get("session")):
            self.speaks, self.reads_beta = "beta", True

    def _to_ga(self, event: Event) -> list[Event]:
        kind = event["type"]
        ga = _as_ga(event)
        if kind == _CREATED:
            return self._created(ga)
        if kind == _ITEM_DONE:
            self._open.pop(_id(event.get("item")), None)
        if kind == "response.output_item.added":
            self._begin(_id(event.get("item")))
        if kind == "response.output_item.done":
            return [*self._completed(ga, ga.get("item")), ga]
        if kind == "response.done":
            response = ga.get("response")
            output = response.get("output") if isinstance(response, dict) else None
            items = output if isinstance(output, list) else []
            return [*(done for item in items for done in self._completed(ga, item)), ga]
        return [ga]

    def _is_news(self, event: Event, told_as: str) -> bool:
        """Whether an item's event in GA was not told before in another way than this one."""
        kind = event["type"]
        if kind == _DELETED:  # another item of this id may come
            for name in (_ADDED, _ITEM_DONE):
                self._told.pop((name, str(event.get("item_id"))), None)
        item_id = _id(event.get("item"))
        if kind not in (_ADDED, _ITEM_DONE) or not item_id:
            return True
        first = self._told.setdefault((kind, item_id), told_as)
        if len(self._told) > 2 * MOST_TOLD_ITEMS:
            del self._told[next(iter(self._told))]
        return first == told_as

    def _begin(self, item_id: str) -> None:
        if len(self._open) < MOST_OPEN_ITEMS:
            self._open.setdefault(item_id, None)

    def _created(self, added: Event) -> list[Event]:
        """An item that is no answer's is complete as soon as it is there."""
        self.speaks = "beta"
        item = added.get("item")
        item_id, before = _id(item), added.get("previous_item_id")
        if isinstance(item, dict) and item_id not in self._open and _is_being_made(item):
            self._begin(item_id)
        if item_id in self._open:
            self._open[item_id] = before if isinstance(before, str) else ""
            return [added]
        return [added, _done(added, item, before)]

    def _completed(self, event: Event, item: Any) -> list[Event]:
        before = self._open.pop(_id(item), None)  # None also where GA tells the end itself
        return [] if before is None else [_done(event, item, before or None)]


def to_beta_server(event: Event) -> Event:
    """Translate a GA client event for a server that speaks beta."""
    key, translate = _FOR_BETA.get(event["type"], ("", _unchanged))
    body = event.get(key)
    return {**event, key: translate(body)} if isinstance(body, dict) else event


def _session(ga: Json) -> Json:
    return _without_additions(beta.beta_session(ga), ga)


def _response(ga: Json) -> Json:
    flat = _without_additions(beta.beta_response(ga), ga)
    if "max_output_tokens" in flat:
        flat["max_response_output_tokens"] = flat.pop("max_output_tokens")
    if isinstance(flat.get("input"), list):
        flat["input"] = [beta.beta_item(item) for item in flat["input"]]
    return flat


def _without_additions(flat: Json, ga: Json) -> Json:
    """Leave out what beta does not know, and what a client did not say."""
    left_out = _GA_FIELDS if "temperature" in ga else _GA_FIELDS | {"temperature"}
    return {name: value for name, value in flat.items() if name not in left_out}


def _unchanged(body: Json) -> Json:
    return body


_FOR_BETA: Final = {
    "session.update": ("session", _session),
    "response.create": ("response", _response),
    "conversation.item.create": ("item", beta.beta_item),
}


def _is_flat(session: Any) -> bool:
    return (
        isinstance(session, dict)
        and not isinstance(session.get("audio"), dict)
        and not _BETA_FIELDS.isdisjoint(session)
    )


def _as_ga(event: Event) -> Event:
    """The event in GA; one that is so already is left as it is, whatever its neighbours are."""
    is_session = event["type"] in beta.TRANSCRIPTION_NAMES
    return event if is_session and not _is_flat(event.get("session")) else beta.beta_to_ga(event)


def _is_being_made(item: Json) -> bool:
    return item.get("status") in _UNFINISHED and (
        item.get("role") == "assistant" or item.get("type") == "function_call"
    )


def _done(cause: Event, item: Any, before: Any) -> Event:
    event_id = cause.get("event_id")
    named = {"event_id": f"{event_id}_{_id(item)}"} if isinstance(event_id, str) else {}
    return {"type": _ITEM_DONE, **named, "previous_item_id": before, "item": item}


def _id(item: Any) -> str:
    item_id = item.get("id") if isinstance(item, dict) else None
    return item_id if isinstance(item_id, str) else ""


def _renamed(frame: Frame, kind: str) -> Frame:
    """Replace the name; the type comes first and the delta last, where the relay looks for them."""
    head = bytes(frame[:HEAD_BYTES])
    is_in_order = -1 < head.find(_ITEM_KEY) < head.find(_DELTA_KEY)
    for name, ga in _HEADS:
        if is_in_order and head.startswith(name):
            return b"".join((ga, memoryview(frame)[len(name) :]))
    try:
        event, _ = read(frame)
    except BadEvent:
        return frame
    rest = {key: value for key, value in event.items() if key not in ("type", "delta")}
    last = {"delta": event["delta"]} if "delta" in event else {}
    return encode({"type": _RENAMED[kind], **rest, **last})
