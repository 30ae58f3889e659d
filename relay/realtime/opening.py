"""Opens a session: the first events to the engine, and the client's view of the session."""

from dataclasses import dataclass, field
from typing import Any, Final

from relay.realtime.billing.pricing import Prices
from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.dialects.client import ClientDialect
from relay.realtime.earlier import EarlierRecords
from relay.realtime.effects import Effect, ToClient, ToEngine
from relay.realtime.events import PCM_FORMAT, SPEECH_STARTED, Event, encode
from relay.realtime.grant import Grant
from relay.realtime.items import InjectedItems
from relay.realtime.requests import RequestTracker
from relay.realtime.scrubbing import Conceal, unchanged

_BROWSER_TURN_DETECTION: Final[dict[str, Any]] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
}
_BROWSER_OUTPUT_TOKENS: Final = 4096
_SPEECH: Final = {
    SPEECH_STARTED: True,
    "input_audio_buffer.committed": False,
    "response.created": False,
}
"""Events that tell whether the learner is speaking, of those that are decoded in every session."""


@dataclass(frozen=True, slots=True)
class SessionSetup:
    """The setup of a session, for its rules.

    `first_update` goes to the engine after `session.created`; the client sees its answer if
    `first_update_shown`. `transcription` is `audio.input.transcription`. With `truncates`, the
    relay tells the engine what was heard of an interrupted answer, for clients that cannot.
    `earlier_items` are message items of what was said earlier in this conversation, `earlier_ids`
    the ids of all items of it, oldest first, `earlier` the records of the latest. `prices` is None
    for an engine that costs nothing. `conceal` takes the engine's own keys out of a frame.
    """

    session_id: str
    conversation_id: str
    grant: Grant
    dialect: ClientDialect
    first_update: Event
    first_update_shown: bool
    transcription: dict[str, Any]
    truncates: bool = False
    earlier_items: tuple[dict[str, Any], ...] = ()
    earlier_ids: tuple[str, ...] = ()
    earlier: EarlierRecords = field(default_factory=EarlierRecords)
    prices: Prices | None = None
    conceal: Conceal = unchanged

    @property
    def shows_words(self) -> bool:
        """Whether the client is shown the learner's words without asking for them."""
        return self.first_update_shown or self.grant.relay_events

    @property
    def has_greeting(self) -> bool:
        """Whether the model is to speak first."""
        return greeting(self.grant) is not None


def open_session(
    setup: SessionSetup, update: Event, requests: RequestTracker, injected: InjectedItems
) -> list[Effect]:
    """Configure the engine, seed what was said earlier, have the model greet; tell the client.

    `update` is the first one, as it goes up.
    """
    events = [update, *(injected.create(item) for item in setup.earlier_items)]
    welcome = greeting(setup.grant)
    if welcome is not None:
        events.append(requests.stamp(welcome))
    effects: list[Effect] = [ToEngine(encode(event)) for event in events]
    if setup.grant.relay_events:
        effects.append(ToClient(encode(session_info_event(setup))))
    return effects


def session_info_event(setup: SessionSetup) -> Event:
    """`relay.session`: ids of the session and its conversation, and when the token expires."""
    return {
        "type": "relay.session",
        "session_id": setup.session_id,
        "conversation_id": setup.conversation_id,
        "expires_at": int(setup.grant.caller.expires_at),
    }


class Announcement:
    """Tells the client the id of a new conversation, once, before the end of an answer (S3-27).

    It waits for an answer with words that was not cut off, and for the learner to be silent: its
    client connects anew on it, and what is being said then is lost. A continued conversation is not
    announced, nor one whose words are not stored: there would be nothing to come back to.
    """

    kind: Final = "conversation.created"

    def __init__(self, setup: SessionSetup, client: ClientEncoder) -> None:
        self._conversation_id = setup.conversation_id
        self._client = client
        is_continued = bool(setup.earlier_items) or setup.earlier.has_deleted
        self._is_made = is_continued or not setup.grant.store_text
        self._is_speaking = False  # the learner
        self._waits_for: set[str] = set()  # the items of the answer that it comes before the end of
        self._is_withdrawn = False

    def observe(self, event: Event, now: float) -> list[Effect]:
        """The announcement, if it is due before this event of the engine."""
        if event["type"] in _SPEECH:
            self._is_speaking = _SPEECH[event["type"]]
        if self._is_made or event["type"] != "response.done" or not _has_said_something(event):
            return []
        if self._is_speaking:
            return []
        self._is_made = True
        self._waits_for = {str(item.get("id")) for item in _output(event)}
        return self._client.announce(self._conversation_id)

    def cut(self, item_id: str) -> None:
        """Take back an announcement that waits for the end of this item, which was cut off."""
        if item_id in self._waits_for:
            self._waits_for.clear()
            self._is_made, self._is_withdrawn = False, True

    def withdrawn(self) -> bool:
        """Whether an announcement that was not sent yet is not to be sent; True once."""
        was, self._is_withdrawn = self._is_withdrawn, False
        return was


def _has_said_something(done: Event) -> bool:
    """Whether a response of the conversation ended with words, and not because it was cut off."""
    response = done.get("response")
    if not isinstance(response, dict) or response.get("conversation_id", "") is None:
        return False
    return response.get("status") != "cancelled" and any(map(_has_words, _output(done)))


def _output(done: Event) -> list[dict[str, Any]]:
    """The items of a `response.done`."""
    response = done.get("response")
    output = response.get("output") if isinstance(response, dict) else None
    return [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []


def _has_words(item: dict[str, Any]) -> bool:
    content = item.get("content")
    parts = content if isinstance(content, list) else []
    return any(
        isinstance(part, dict) and bool(part.get("transcript") or part.get("text"))
        for part in parts
    )


def granted_session_update(grant: Grant, transcription: dict[str, Any]) -> Event:
    """The first update of the OpenAI door: what the grant sets, and input transcription."""
    session: dict[str, Any] = {
        "type": "realtime",
        "audio": {"input": {"transcription": transcription}},
    }
    if grant.voice is not None:
        session["audio"]["output"] = {"voice": grant.voice}
    return {"type": "session.update", "session": {**session, **_granted_fields(grant)}}


def browser_session_update(grant: Grant, transcription: dict[str, Any], voice: str) -> Event:
    """The first update of the browser door: its whole session in GA form, under the grant's fields.

    The client's `voice` counts unless the grant locks the voice (S3-19, S3-88).
    """
    is_locked = grant.voice is not None and "voice" in grant.locked_fields
    session = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": PCM_FORMAT,
                "transcription": transcription,
                "turn_detection": _BROWSER_TURN_DETECTION,
            },
            "output": {"format": PCM_FORMAT, "voice": grant.voice if is_locked else voice},
        },
        "max_output_tokens": _BROWSER_OUTPUT_TOKENS,
    }
    return {"type": "session.update", "session": {**session, **_granted_fields(grant)}}


def _granted_fields(grant: Grant) -> dict[str, Any]:
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


def greeting(grant: Grant) -> Event | None:
    """The `response.create` that has the model speak first; None without a greeting.

    A continued conversation was greeted already. Instructions of a response replace the session's,
    so the agent's own come before the greeting's.
    """
    if grant.greeting is None or grant.conversation_id is not None:
        return None
    begin = f"Begin the conversation now. Say exactly this, and nothing else: {grant.greeting}"
    text = begin if grant.instructions is None else f"{grant.instructions}\n\n{begin}"
    return {"type": "response.create", "response": {"instructions": text, "tool_choice": "none"}}
