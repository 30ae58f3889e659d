"""Events as frames and values: sniffing, decoding, audio, formats, and `relay.*` events."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime import events
from relay.realtime.dialects.client import GaDialect
from relay.realtime.events import (
    BadEvent,
    Event,
    PlaybackReport,
    TokenRenewal,
    audio_bytes,
    relay_message,
)
from relay.realtime.grant import Caller, Grant
from relay.realtime.opening import SessionSetup, granted_session_update, session_info_event

LETTERS = 'abcdeé🙂"\\\n._ '
DELTA = {
    "type": "response.output_audio.delta",
    "event_id": "event_1",
    "response_id": "resp_1",
    "item_id": "item_A1",
    "output_index": 0,
    "content_index": 0,
    "delta": "A" * 16000,
}


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b'{"type":"response.done","event_id":"e"}', "response.done"),
        (b'{"type": "response.done"}', "response.done"),
        (b'{"event_id":"e","type":"response.done"}', "response.done"),
        (b'{ "type":"response.done"}', "response.done"),
        (b'{"typ":"x"}', ""),
        (b"not json", ""),
        (b'{"type":5}', ""),
        (b"", ""),
    ],
)
def test_the_type_of_a_frame_is_sniffed_or_parsed(frame: bytes, kind: str) -> None:
    assert events.sniff(memoryview(frame)) == kind


@given(
    st.dictionaries(st.text(LETTERS), st.text(LETTERS)), st.text(LETTERS, min_size=1, max_size=60)
)
def test_sniffing_agrees_with_parsing_when_the_type_comes_first(
    fields: dict[str, str], kind: str
) -> None:
    fields.pop("type", None)
    frame = json.dumps({"type": kind, **fields}, ensure_ascii=False).encode(errors="replace")
    plain = kind.isascii() and kind.isprintable() and not set(kind) & {'"', "\\"}
    if plain:
        assert events.sniff(frame) == json.loads(frame)["type"]


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
def test_the_length_of_an_audio_frame_is_read_without_decoding_it(spaces: tuple[str, str]) -> None:
    frame = json.dumps(DELTA, separators=spaces).encode()
    item, characters = events.audio_length(frame[: events.HEAD_BYTES], len(frame))
    assert (item, characters // 64) == ("item_A1", 250)


def test_an_audio_frame_without_ids_before_its_audio_counts_nothing() -> None:
    assert events.audio_length(b'{"type":"response.output_audio.delta","x":1}', 41) == ("", 0)


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("delta", [" hello", "é🙂", "", 'say "no"', "line\n", "x" * 300])
def test_a_text_delta_is_read_without_the_rest_of_its_frame(
    spaces: tuple[str, str], delta: str
) -> None:
    event = {"type": events.TEXT_DELTAS[0], "item_id": "A1", "content_index": 1, "delta": delta}
    frame = json.dumps({**event, "obfuscation": "pad"}, separators=spaces).encode()
    assert frame.startswith(events.TEXT_HEADS)
    word = events.text_delta(memoryview(frame))
    assert word is not None
    read = (word.type, word.item_id, word.content_index, word.delta)
    assert read == (events.TEXT_DELTAS[0], "A1", 1, delta)


@pytest.mark.parametrize("frame", [b"{", b"{}", b'{"type":"x","item_id":5,"delta":"a"}', b"\xff"])
def test_a_frame_without_a_text_delta_is_left_to_the_slow_path(frame: bytes) -> None:
    assert events.text_delta(frame) is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": "e1"}',
        b'{"event_id":"e1","audio":"AAAA","type":"input_audio_buffer.append"}',
    ],
)
def test_S3_21_an_append_is_forwarded_with_its_audio_and_event_id(frame: bytes) -> None:
    assert json.loads(bytes(events.forwardable_append(frame) or b"")) == {
        "type": "input_audio_buffer.append",
        "audio": "AAAA",
        "event_id": "e1",
    }


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"session.update","session":{},"audio":"AAAA"}',
        b'{"type":"session.update","type":"input_audio_buffer.append","audio":"AAAA"}',
        b'{"audio":"AAAA"}',
        b'{"type":"","audio":"AAAA"}',
        b'["input_audio_buffer.append"]',
        b"nonsense",
    ],
)
def test_what_is_no_append_is_left_to_the_slow_path(frame: bytes) -> None:
    assert events.forwardable_append(frame) is None


def test_an_append_with_no_room_for_more_is_forwarded_as_it_is() -> None:
    for frame in (
        b'{"type":"input_audio_buffer.append","audio":"AAAA"}',
        b'{"type": "input_audio_buffer.append", "audio": "AAAA"}',
    ):
        assert events.forwardable_append(frame) is frame


def test_nothing_hides_behind_an_append() -> None:
    twice = b'"audio":"AAAA","session":{"model":"x"},"audio":"BBBB"'
    frame = b'{"type":"input_audio_buffer.append",' + twice + b"}"
    assert (
        events.forwardable_append(frame) == b'{"type":"input_audio_buffer.append","audio":"BBBB"}'
    )


@pytest.mark.parametrize(
    ("frame", "code", "param"),
    [
        (b'{"type":"input_audio_buffer.append"}', "missing_required_parameter", "audio"),
        (b'{"type":"input_audio_buffer.append","audio":5}', "invalid_type", "audio"),
        (b'{"type":"input_audio_buffer.append","audio":"AAA"}', "invalid_value", "audio"),
        ('{"type":"input_audio_buffer.append","audio":"äöüß"}'.encode(), "invalid_value", "audio"),
        (b'{"type":"input_audio_buffer.append","audio":"AAAA"', "invalid_json", None),
        (
            b'{"type":"input_audio_buffer.append","audio":"AAAA","event_id":5}',
            "invalid_type",
            "event_id",
        ),
        (
            b'{"type":"input_audio_buffer.append","type":"x","audio":"AAAA"}',
            "invalid_value",
            "type",
        ),
    ],
)
def test_S3_44_a_malformed_append_is_refused(frame: bytes, code: str, param: str | None) -> None:
    with pytest.raises(BadEvent) as refused:
        events.forwardable_append(frame)
    assert (refused.value.code, refused.value.param) == (code, param)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"a":NaN}', "invalid_json"),
        (b'{"type":"\xff"}', "invalid_json"),
        (b"[]", "invalid_event"),
        (b"null", "invalid_event"),
        (b'"response.create"', "invalid_event"),
        (b"{}", "missing_required_parameter"),
        (b'{"type":null}', "missing_required_parameter"),
        (b'{"type":"x","event_id":[]}', "invalid_type"),
    ],
)
def test_S3_44_what_is_not_an_event_is_refused(frame: bytes, code: str) -> None:
    with pytest.raises(BadEvent) as refused:
        events.decode(frame)
    assert refused.value.code == code


@given(st.binary(max_size=300))
def test_decoding_raises_nothing_but_its_one_error(frame: bytes) -> None:
    try:
        assert isinstance(events.decode(frame)["type"], str)
    except BadEvent as bad:
        assert bad.message  # noqa: PT017 - either outcome is right, both are looked at


def test_an_error_has_openais_shape() -> None:
    told = events.error("No.", code="invalid_value", param="x", client_event_id="c1", event_id="e1")
    assert told == {
        "type": "error",
        "event_id": "e1",
        "error": {
            "type": "invalid_request_error",
            "code": "invalid_value",
            "message": "No.",
            "param": "x",
            "event_id": "c1",
        },
    }
    assert (
        events.error("No.", code="engine_closed", event_id="e")["error"]["type"] == "server_error"
    )


def test_audio_is_measured_whatever_the_order_of_its_keys() -> None:
    delta = base64.b64encode(bytes(4800)).decode()
    frame = f'{{"delta":"{delta}","item_id":"A1","type":"response.output_audio.delta"}}'.encode()
    assert events.decoded_audio_length(frame) == ("A1", 6400)
    assert events.decoded_audio_length(b'{"type":"response.output_audio.delta"}') == ("", 0)


@pytest.mark.parametrize(
    ("frame", "sound"),
    [
        (b'{"type":"input_audio_buffer.append","audio":"AAEC"}', b"\x00\x01\x02"),
        (b'{"type":"response.output_audio.delta","item_id":"A","delta":"AwQF"}', b"\x03\x04\x05"),
        (b'{"type":"input_audio_buffer.append","audio":"A"}', b""),
        (b'{"type":"x","audio":5}', b""),
        (b'{"type":"x"}', b""),
        (b"\xff", b""),
    ],
)
def test_audio_is_read_in_both_directions_and_is_empty_if_unreadable(
    frame: bytes, sound: bytes
) -> None:
    assert audio_bytes(frame) == sound
    assert audio_bytes(memoryview(frame)) == sound


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"\ud83d", "\ufffd"),
        (rb"\udc00", "\ufffd"),
        (rb"a\ud83d b", "a\ufffd b"),
        (rb"\ud83d\ude00\ud83d", "\U0001f600\ufffd"),
        (rb"\\ud83d", "\\ud83d"),
    ],
)
def test_half_a_surrogate_pair_is_read_as_a_mark(written: bytes, read: str) -> None:
    frame = b'{"type":"x","text":"' + written + b'"}'
    event, said = events.read(frame)
    assert event["text"] == read
    assert events.decode(said)["text"] == read


@pytest.mark.parametrize("frame", [b"nonsense", b'{"type":"x","a":"\\ud83d"', b"[" * 100_000])
def test_what_is_no_json_stays_unreadable(frame: bytes) -> None:
    with pytest.raises(BadEvent):
        events.read(frame)


def test_session_info_says_which_session_and_conversation_this_is() -> None:
    grant = Grant(caller=Caller(sub="u1", role="learner", expires_at=99.7), agent_id="a1")
    setup = SessionSetup(
        "s1", "c1", grant, GaDialect(), granted_session_update(grant, {}), False, {}
    )
    assert session_info_event(setup) == {
        "type": "relay.session",
        "session_id": "s1",
        "conversation_id": "c1",
        "expires_at": 99,
    }


def test_a_warning_names_every_field_that_was_taken_out() -> None:
    warning = events.locked_fields(["model", "voice"])
    assert (warning["type"], warning["code"]) == ("relay.warning", "locked_fields")
    assert "model, voice" in warning["message"]


def test_a_truncation_says_how_much_was_heard() -> None:
    assert events.truncate("A1", 700) == {
        "type": "conversation.item.truncate",
        "item_id": "A1",
        "content_index": 0,
        "audio_end_ms": 700,
    }


def test_a_message_for_the_relay_is_distinguished_from_an_event_of_the_api() -> None:
    assert relay_message({"type": "relay.token", "token": "t"}) == TokenRenewal("t")
    played = {"type": "relay.playback", "item_id": "A1", "played_ms": 700}
    assert relay_message(played) == PlaybackReport("A1", 700)
    assert relay_message({"type": "response.create"}) is None


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({"type": "relay.token"}, "token"),
        ({"type": "relay.playback", "played_ms": 7}, "item_id"),
        ({"type": "relay.playback", "item_id": "A1", "played_ms": True}, "played_ms"),
        ({"type": "relay.playback", "item_id": "A1", "played_ms": "7"}, "played_ms"),
    ],
)
def test_a_refusal_names_the_field_and_the_clients_event(event: Event, param: str) -> None:
    with pytest.raises(BadEvent) as refusal:
        relay_message({**event, "event_id": "mine"})
    bad = refusal.value
    assert (bad.code, bad.param, bad.event_id) == ("invalid_type", param, "mine")


def test_a_negative_budget_is_shown_as_zero() -> None:
    assert events.budget(1200) == {"type": "relay.budget", "left": 1200}
    assert events.budget(-7)["left"] == 0
