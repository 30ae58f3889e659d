"""The loudspeaker: what is queued is played in order, and a machine without sound plays nothing."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from relay.talk import loudspeaker as module
from relay.talk.loudspeaker import Loudspeaker, Silence, loudspeaker


class Stream:
    """A sound card's output; `fill` is what its thread calls."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.state = "made"

    def start(self) -> None:
        self.state = "started"

    def close(self) -> None:
        self.state = "closed"


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[Stream]:
    """The streams that were opened, in place of the `sounddevice` library's."""
    opened: list[Stream] = []

    def make(**options: Any) -> Stream:
        opened.append(Stream(**options))
        return opened[-1]

    library = SimpleNamespace(RawOutputStream=make, PortAudioError=RuntimeError)
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    return opened


def test_the_card_takes_what_is_queued_and_then_silence(streams: list[Stream]) -> None:
    with loudspeaker() as player:
        (stream,) = streams
        assert stream.state == "started"
        assert (stream.options["samplerate"], stream.options["dtype"]) == (24_000, "int16")
        player.play(b"abcd")
        player.play(b"ef")
        taken = []
        for _ in range(2):
            out = bytearray(b"????")
            stream.options["callback"](out, 2, None, None)
            taken.append(bytes(out))
    assert taken == [b"abcd", b"ef\0\0"]
    assert stream.state == "closed"


def test_an_interruption_drops_the_rest() -> None:
    speaker = Loudspeaker()
    speaker.play(b"abcd")
    speaker.flush()
    out = bytearray(2)
    speaker.fill(out)

    assert bytes(out) == b"\0\0"


def test_an_endless_answer_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_QUEUED", 4)
    speaker = Loudspeaker()
    for _ in range(3):
        speaker.play(b"ab")
    out = bytearray(6)
    speaker.fill(out)

    assert bytes(out) == b"abab\0\0"


def test_without_the_library_nothing_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with loudspeaker() as player:
        assert isinstance(player, Silence)
        player.play(b"ab")
        player.flush()


@pytest.mark.parametrize("method", ["__init__", "start"])
def test_without_a_sound_card_nothing_is_played(
    streams: list[Stream], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no device, or one that is in use")

    monkeypatch.setattr(Stream, method, refuse)
    with loudspeaker() as player:
        assert isinstance(player, Silence)
