"""The machine answers any client event with valid events and goes on."""

import base64
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from relay.engines.cascade.items import MAX_BYTES
from relay.parts.interfaces import FunctionCall, McpCall, Reply, SpokenMessage, failed, incomplete
from relay.parts.simple import silence, tone
from tests.engines.cascade.driving import Talk, scripted

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
KINDS = (
    "session.update",
    "session.close",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "conversation.item.delete",
    "response.create",
    "response.cancel",
)
ITEM_IDS = st.sampled_from([f"item_{number:021d}" for number in range(1, 6)] + ["root", "mine"])
REPLIES = (
    "You said: {heard}",
    Reply((SpokenMessage("One moment.", phase="commentary"), FunctionCall("f", {"a": [1]}))),
    Reply((McpCall("docs", "search", output="Found."), FunctionCall("g")), interleaving="in_turn"),
    Reply(
        (SpokenMessage("Here and there."), SpokenMessage("There and here.")),
        interleaving="alternating",
    ),
    Reply((SpokenMessage("I was going to"),), ending=incomplete("max_output_tokens")),
    Reply((), ending=failed("server_error", "No.")),
    "Something else.",
)
OWN_IDS = st.sampled_from(["mine", "other", "root"])  # none that the test's counters will make
TURNS: st.SearchStrategy[Any] = st.none() | st.fixed_dictionaries(
    {"type": st.sampled_from(["server_vad", "semantic_vad"])},
    optional={
        "create_response": st.booleans(),
        "interrupt_response": st.booleans(),
        "idle_timeout_ms": st.sampled_from([None, 1000, 5000]),
    },
)
SESSIONS = st.fixed_dictionaries(
    {"type": st.sampled_from(["realtime", "transcription"])},
    optional={
        "output_modalities": st.sampled_from([["text"], ["audio"], ["text", "audio"]]),
        "instructions": st.none() | st.text(max_size=30),
        "tools": st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), max_size=2),
        "audio": st.fixed_dictionaries(
            {},
            optional={
                "input": st.fixed_dictionaries(
                    {},
                    optional={
                        "turn_detection": TURNS,
                        "transcription": st.none() | st.just({"model": "whisper-1"}),
                    },
                ),
                "output": st.fixed_dictionaries({"voice": st.sampled_from(["ash", "sage", "x"])}),
            },
        ),
    },
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "input_audio", "output_audio"])},
    optional={
        "text": st.text(max_size=20),
        "audio": st.sampled_from(["", "AAAA", "?", base64.b64encode(tone(200)).decode()]),
    },
)
ITEMS = st.fixed_dictionaries(
    {"type": st.just("message"), "role": st.sampled_from(["user", "assistant", "system"])},
    optional={"id": OWN_IDS, "content": st.lists(PARTS, max_size=3)},
)
RESPONSES = st.fixed_dictionaries(
    {},
    optional={
        "conversation": st.sampled_from(["auto", "none"]),
        "output_modalities": st.sampled_from([["text"], ["audio"]]),
        "input": st.lists(ITEMS, max_size=2),
        "metadata": st.none() | st.dictionaries(st.text(max_size=4), st.text(max_size=4)),
        "instructions": st.text(max_size=10),
    },
)


@given(st.binary(max_size=200))
def test_any_bytes(frame: bytes):
    (error,) = Talk().frame(frame)

    assert error["type"] == "error"


@given(st.sampled_from(KINDS), st.dictionaries(st.text(max_size=9), JSON, max_size=5))
def test_any_fields(kind: str, fields: dict[str, Any]):
    talk = Talk()

    talk.send({"event_id": "mine", **fields, "type": kind})
    talk.finish()

    assert len(talk.type("still here")) == 2


class AnyClient(RuleBasedStateMachine):
    """A client that does anything in any order. `Talk` checks each event it is answered with."""

    def __init__(self) -> None:
        super().__init__()
        self.talk = Talk(scripted("Hello there.", "", replies=REPLIES))

    @rule(ms=st.integers(0, 400), pause_ms=st.integers(0, 700))
    def speaks(self, ms: int, pause_ms: int) -> None:
        self.talk.append(tone(ms) + silence(pause_ms))

    @rule(pcm=st.binary(max_size=100))
    def sends_noise(self, pcm: bytes) -> None:
        self.talk.append(pcm)

    @rule(session=SESSIONS)
    def updates(self, session: dict[str, Any]) -> None:
        self.talk.say("session.update", session=session)

    @rule(item=ITEMS, previous=st.none() | ITEM_IDS)
    def creates_an_item(self, item: dict[str, Any], previous: str | None) -> None:
        self.talk.say("conversation.item.create", item=item, previous_item_id=previous)

    @rule(kind=st.sampled_from(["retrieve", "delete"]), item_id=ITEM_IDS)
    def uses_an_item(self, kind: str, item_id: str) -> None:
        self.talk.say(f"conversation.item.{kind}", item_id=item_id)

    @rule(item_id=ITEM_IDS, end=st.integers(-1, 2000))
    def truncates(self, item_id: str, end: int) -> None:
        where = {"item_id": item_id, "content_index": 0, "audio_end_ms": end}
        self.talk.say("conversation.item.truncate", **where)

    @rule(response=st.none() | RESPONSES)
    def asks(self, response: dict[str, Any] | None) -> None:
        self.talk.say("response.create", response=response)

    @rule(text=st.text(max_size=9))
    def gives_an_output(self, text: str) -> None:
        item = {"type": "function_call_output", "call_id": "call_1", "output": text}
        self.talk.say("conversation.item.create", item=item)

    @rule(kind=st.sampled_from(["response.cancel", "input_audio_buffer.commit"]))
    def does(self, kind: str) -> None:
        self.talk.say(kind)

    @rule()
    def clears(self) -> None:
        self.talk.say("input_audio_buffer.clear")

    @rule(seconds=st.sampled_from([0.0, 0.03, 0.5]))
    def waits(self, seconds: float) -> None:
        self.talk.wait(seconds)

    @invariant()
    def one_response_at_most_is_the_conversations(self) -> None:
        running = self.talk.machine._responses._running.values()
        assert sum(response.request.in_conversation for response in running) <= 1

    @invariant()
    def memory_is_bounded(self) -> None:
        assert sum(item.weight for item in self.talk.machine._conversation) <= MAX_BYTES

    def teardown(self) -> None:
        """Every response that was announced has ended, each once, and every item is whole."""
        self.talk.finish()
        talk = self.talk
        begun = [event["response"]["id"] for event in talk.of("response.created")]
        ended = [event["response"]["id"] for event in talk.of("response.done")]
        assert sorted(begun) == sorted(ended)
        added = [event["item"]["id"] for event in talk.of("conversation.item.added")]
        done = [event["item"]["id"] for event in talk.of("conversation.item.done")]
        assert sorted(added) == sorted(done)
        event_ids = [event["event_id"] for event in talk.events]
        assert len(set(event_ids)) == len(event_ids)
        msgspec.json.encode(talk.events)


TestAnyClient = AnyClient.TestCase
TestAnyClient.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
