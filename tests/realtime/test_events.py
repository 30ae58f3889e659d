"""Sniffing, decoding and re-encoding of single frames."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime import events
from relay.realtime.events import BadEvent

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
    item, milliseconds = events.audio_of(frame[: events.HEAD_BYTES], len(frame))
    assert (item, milliseconds) == ("item_A1", 250)


def test_an_audio_frame_without_ids_before_its_audio_counts_nothing() -> None:
    assert events.audio_of(b'{"type":"response.output_audio.delta","x":1}', 41) == ("", 0)


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("delta", [" hello", "é🙂", "", 'say "no"', "line\n", "x" * 300])
def test_a_word_is_read_with_nothing_else_of_its_frame(spaces: tuple[str, str], delta: str) -> None:
    event = {"type": events.TEXT_DELTAS[0], "item_id": "A1", "content_index": 1, "delta": delta}
    frame = json.dumps({**event, "obfuscation": "pad"}, separators=spaces).encode()
    assert frame.startswith(events.TEXT_HEADS)
    word = events.text_of(memoryview(frame))
    assert word is not None
    read = (word.type, word.item_id, word.content_index, word.delta)
    assert read == (events.TEXT_DELTAS[0], "A1", 1, delta)


@pytest.mark.parametrize("frame", [b"{", b"{}", b'{"type":"x","item_id":5,"delta":"a"}', b"\xff"])
def test_what_has_no_word_is_left_to_the_slow_path(frame: bytes) -> None:
    assert events.text_of(frame) is None


def test_S3_21_an_append_is_forwarded_with_its_audio_and_event_id() -> None:
    frame = b'{"event_id":"e1","audio":"AAAA","type":"input_audio_buffer.append"}'
    assert events.append_again(frame) is None, "its type does not stand first: the slow path"
    again = events.append_again(
        b'{"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": "e1"}'
    )
    assert json.loads(bytes(again or b"")) == {
        "type": "input_audio_buffer.append",
        "audio": "AAAA",
        "event_id": "e1",
    }


def test_an_append_with_no_room_for_more_is_forwarded_as_it_is() -> None:
    for frame in (
        b'{"type":"input_audio_buffer.append","audio":"AAAA"}',
        b'{"type": "input_audio_buffer.append", "audio": "AAAA"}',
    ):
        assert events.append_again(frame) is frame


def test_nothing_hides_behind_an_append() -> None:
    twice = b'"audio":"AAAA","session":{"model":"x"},"audio":"BBBB"'
    frame = b'{"type":"input_audio_buffer.append",' + twice + b"}"
    assert events.append_again(frame) == b'{"type":"input_audio_buffer.append","audio":"BBBB"}'


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
        events.append_again(frame)
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


def test_sound_is_measured_whatever_the_order_of_its_keys() -> None:
    delta = base64.b64encode(bytes(4800)).decode()
    frame = f'{{"delta":"{delta}","item_id":"A1","type":"response.output_audio.delta"}}'.encode()
    assert events.sound_of(frame) == ("A1", 100)
    assert events.sound_of(b'{"type":"response.output_audio.delta"}') == ("", 0)
