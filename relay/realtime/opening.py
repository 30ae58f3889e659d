"""How a session begins: what the engine is told first, and a relay-aware client after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.realtime.billing.pricing import Prices
from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.dialects.client import ClientDialect
from relay.realtime.effects import Effect, ToClient, ToEngine
from relay.realtime.events import Event, encode
from relay.realtime.grant import Grant
from relay.realtime.items import InjectedItems
from relay.realtime.records import Record, Utterance
from relay.realtime.requests import RequestTracker

# ---- The first `session.update` of a session: what the relay asks of the engine at each door.

PCM: dict[str, Any] = {"type": "audio/pcm", "rate": 24000}
_S3_TURNS: dict[str, Any] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
}
_S3_OUTPUT_TOKENS = 4096


def openai_session_update(grant: Grant, transcription: dict[str, Any]) -> Event:
    """Only what the grant sets, and input transcription (docs/protocol.md)."""
    session: dict[str, Any] = {
        "type": "realtime",
        "audio": {"input": {"transcription": transcription}},
    }
    if grant.voice is not None:
        session["audio"]["output"] = {"voice": grant.voice}
    return {"type": "session.update", "session": {**session, **_granted(grant)}}


def browser_session_update(grant: Grant, transcription: dict[str, Any], voice: str) -> Event:
    """The whole session as S3 configured it, in GA form, and over it what the grant sets.

    `voice` counts where the grant leaves the voice open (S3-19, S3-88).
    """
    session = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {"format": PCM, "transcription": transcription, "turn_detection": _S3_TURNS},
            "output": {"format": PCM, "voice": settled_voice(grant, voice)},
        },
        "max_output_tokens": _S3_OUTPUT_TOKENS,
    }
    return {"type": "session.update", "session": {**session, **_granted(grant)}}


def settled_voice(grant: Grant, asked: str) -> str:
    """The voice a session begins with: the server's where it is locked, else the one asked for."""
    return grant.voice if grant.voice is not None and "voice" in grant.locked else asked


def greeting(grant: Grant) -> Event | None:
    """The `response.create` by which the model speaks first, None where nobody asked for that.

    A conversation that is continued was greeted already. The instructions of one response replace
    the session's, so the agent's own stand before the greeting's.
    """
    if grant.greeting is None or grant.conversation_id is not None:
        return None
    begin = f"Begin the conversation now. Say exactly this, and nothing else: {grant.greeting}"
    told = begin if grant.instructions is None else f"{grant.instructions}\n\n{begin}"
    return {"type": "response.create", "response": {"instructions": told, "tool_choice": "none"}}


def _granted(grant: Grant) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if grant.instructions is not None:
        fields["instructions"] = grant.instructions
    if grant.tools is not None or grant.server_tools:
        own = list(grant.tools or ())
        fields["tools"] = own + [tool.definition for tool in grant.server_tools]
    if grant.output_modalities is not None:
        fields["output_modalities"] = list(grant.output_modalities)
    if grant.bounds.max_output_tokens is not None:
        fields["max_output_tokens"] = grant.bounds.max_output_tokens
    return fields


# ---- What the rules of a session know from the start, as plain data.


@dataclass(frozen=True, slots=True)
class SessionSetup:
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
    view: ClientDialect
    first_update: Event
    first_shown: bool
    transcription: dict[str, Any]
    truncates: bool = False
    before: tuple[dict[str, Any], ...] = ()
    prices: Prices | None = None


# ---- What an engine is told of a conversation that goes on in a new session (S3-52); pure.

MAX_TURNS: Final = 100
"""Utterances that are told again, the latest; an hour of talk is some two hundred."""
MAX_CHARACTERS: Final = 32_000
"""Of all of them together: some 8,000 tokens, which every answer pays for again."""


def seed_items(records: Sequence[Record]) -> tuple[dict[str, Any], ...]:
    """Message items of what was said and heard, oldest first, within the bounds."""
    items: list[dict[str, Any]] = []
    characters = 0
    for record in reversed(records[-MAX_TURNS:]):
        text = _heard(record.utterance)
        characters += len(text)
        if characters > MAX_CHARACTERS:
            break
        if text:
            items.append(_item(record.utterance, text))
    return tuple(reversed(items))


def _heard(said: Utterance) -> str:
    """A learner's words, and of an answer what reached the learner: that alone was said."""
    return said.text if said.role == "user" else said.heard_text


def _item(said: Utterance, text: str) -> dict[str, Any]:
    kind = "input_text" if said.role == "user" else "output_text"
    return {"type": "message", "role": said.role, "content": [{"type": kind, "text": text}]}


def opening(setup: SessionSetup, requests: RequestTracker, injected: InjectedItems) -> list[Effect]:
    """The session as the grant wants it, what was said before, and the model's greeting."""
    update = requests.track(setup.first_update, shown=setup.first_shown)
    events = [update, *(injected.create(item) for item in setup.before)]
    welcome = greeting(setup.grant)
    if welcome is not None:
        events.append(requests.stamp(welcome))
    effects: list[Effect] = [ToEngine(encode(event)) for event in events]
    if setup.grant.relay_events:
        effects.append(ToClient(encode(session_info_event(setup))))
    return effects


class Announcement:
    """Tells the client the id of a new conversation, once, before the end of an answer (S3-27).

    An answer counts when something was said before it; a conversation that goes on is never
    announced.
    """

    def __init__(self, setup: SessionSetup, client: ClientEncoder) -> None:
        self._conversation_id = setup.conversation_id
        self._client = client
        self._is_made = setup.grant.conversation_id is not None
        self._has_words = False

    def arm(self) -> None:
        """Something was said."""
        self._has_words = True

    def observe(self, event: Event, now: float) -> list[Effect]:
        """The announcement, where it is due before this event of the engine."""
        if self._is_made or event["type"] != "response.done" or not self._has_words:
            return []
        self._is_made = True
        return self._client.announce(self._conversation_id)


def session_info_event(setup: SessionSetup) -> Event:
    """`relay.session`: which session and conversation this is, and until when the token lasts."""
    return {
        "type": "relay.session",
        "session_id": setup.session_id,
        "conversation_id": setup.conversation_id,
        "expires_at": int(setup.grant.caller.expires_at),
    }
