"""The microphone: chunks from a sound card, or one line where there is none."""

import asyncio
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from relay.talk.client import CHUNK_BYTES, NO_MICROPHONE, QUEUED_CHUNKS, TalkFailed, microphone


class Card:
    """A sound card; `hear` is the moment at which its thread has a chunk."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.open = False
        self.hear: Callable[..., None] = lambda *_: None

    def __call__(self, **options: Any) -> "Card":
        self.options = options
        self.hear = options["callback"]
        return self

    def __enter__(self) -> "Card":
        self.open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """The machine's sound card, in place of the `sounddevice` library."""
    card = Card()
    library = SimpleNamespace(RawInputStream=card, PortAudioError=RuntimeError)
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    return card


async def test_chunks_come_in_order_until_it_is_closed(card: Card) -> None:
    chunks = microphone()
    first = asyncio.ensure_future(anext(chunks))
    await asyncio.sleep(0)
    assert card.open
    assert card.options["samplerate"] == 24_000
    assert card.options["blocksize"] * 2 == CHUNK_BYTES
    for sound in (b"one", b"two"):
        card.hear(bytearray(sound), 3, None, None)

    assert await first == b"one"
    assert await anext(chunks) == b"two"
    await chunks.aclose()  # type: ignore[attr-defined]
    assert not card.open


async def test_a_slow_network_loses_the_oldest(card: Card) -> None:
    chunks = microphone()
    first = asyncio.ensure_future(anext(chunks))
    await asyncio.sleep(0)
    for number in range(QUEUED_CHUNKS + 10):
        card.hear(str(number).encode(), 1, None, None)

    assert await first == b"10"
    assert await anext(chunks) == b"11"
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_without_the_library_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(TalkFailed, match=NO_MICROPHONE):
        await anext(microphone())


@pytest.mark.parametrize("method", ["__call__", "__enter__"])
async def test_without_a_sound_card_it_is_one_line(
    card: Card, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no device, or one that is in use")

    monkeypatch.setattr(Card, method, refuse)
    with pytest.raises(TalkFailed, match=NO_MICROPHONE):
        await anext(microphone())
