"""The synthesizer on Piper: speaks with one voice, in processes of its own."""

import json
import re
import unicodedata
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Final

from relay.parts.interfaces import SynthesisRequest
from relay.parts.piper_worker import PACKAGED_VOICE
from relay.parts.worker import WorkerPool, WorkerProgram

LONGEST_TEXT: Final = 2_000  # characters, about two minutes of speech; the rest is not spoken
SLOWEST, FASTEST = 0.25, 4.0  # of the voice's own speed

SECONDS_PER_CHARACTER: Final = 0.006  # on two idle cores, until there is a measurement
OVERHEAD_CHARACTERS: Final = 10  # what a text costs beside its characters


class PiperSynthesizer:
    """A `Synthesizer` on Piper.

    `voice` is "" for the packaged one, a file, a folder with one, or a name such as
    `en_US-amy-low`, which Piper fetches from its hub and which is kept below the home. A request's
    `voice` changes nothing: all of OpenAI's voices sound like this one.
    """

    def __init__(self, voice: str = "", workers: int = 1) -> None:
        self._name = Path(voice).name.removesuffix(".onnx") if voice else PACKAGED_VOICE
        program = WorkerProgram(
            part="synthesizer",
            module="relay.parts.piper_worker",
            arguments=(voice,),
            seconds_per_unit=SECONDS_PER_CHARACTER,
        )
        self._pool = WorkerPool(program, workers)

    @property
    def name(self) -> str:
        """Return the voice's name."""
        return self._name

    @property
    def found(self) -> Mapping[str, str]:
        """Return what the process said of itself: `voice` and `device`; {} before it loaded."""
        return self._pool.found

    async def prepare(self) -> None:
        """Start the processes and speak a word; raises `PartFailed` where Piper cannot work."""
        await self._pool.prepare()

    async def aclose(self) -> None:
        """Kill the processes; texts under way fail."""
        await self._pool.aclose()

    async def synthesize(self, request: SynthesisRequest) -> AsyncGenerator[bytes]:
        """Yield the speech, a piece a sentence; raises `PartFailed`."""
        text = spoken(request.text)
        if not text:
            return
        speed = min(max(request.speed, SLOWEST), FASTEST)
        body = json.dumps({"text": text, "speed": speed}).encode()
        units = len(text) + OVERHEAD_CHARACTERS
        async with aclosing(self._pool.work(body, units, request.max_wait)) as pieces:
            async for piece in pieces:
                yield piece


SPELLINGS: Final = (("OpenAI", "open A I"), ("LocalAI", "local A I"), ("ChatGPT", "chat G P T"))
"""Written words that Piper would read badly, and how they are spoken."""

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
_URL = re.compile(r"\b(?:https?://|www\.)([^\s/)>\]]+)\S*", re.IGNORECASE)
_LINE_MARK = re.compile(r"^[ \t]*(?:#+|>+|[-*+\u2022]|\d+[.)])[ \t]+", re.MULTILINE)
_LINE_END = re.compile(r"([^\s.,:;!?])[ \t]*\n+\s*")
_MARKS = re.compile(r"[*_`~|#<>\[\]{}\\^]+")
_READ_SIGNS: Final = "\u00b0"  # degrees: the only symbol of its kind that people say
_UNREAD_MARKS: Final = "\ufe0e\ufe0f\u20e3"  # what turns a sign into an emoji


def spoken(text: str) -> str:
    """Return a text as it is read aloud, "" when nothing in it can be said.

    Markdown, emoji, addresses and control characters go, lines end as sentences do, and what
    follows `LONGEST_TEXT` characters is cut off between two words.
    """
    text = unicodedata.normalize("NFC", text[: 4 * LONGEST_TEXT]).replace("\r", "\n")
    text = _URL.sub(_host, _LINK.sub(r"\1", text))
    text = _LINE_END.sub(r"\1. ", _LINE_MARK.sub("", text))
    for written, said in SPELLINGS:
        text = text.replace(written, said)
    text = _MARKS.sub(" ", text)
    text = "".join(character if _is_read(character) else " " for character in text)
    text = re.sub(r"\s+([.,:;!?])", r"\1", re.sub(r"\s+", " ", text)).strip()
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT].rpartition(" ")[0] or text[:LONGEST_TEXT]
    return text if any(map(str.isalnum, text)) else ""


def _host(address: re.Match[str]) -> str:
    return address[1].removeprefix("www.").rstrip(".,;:!?")


def _is_read(character: str) -> bool:
    """Tell whether a character is no control, emoji or half of one."""
    if character in _UNREAD_MARKS:
        return False
    unread = ("So", "Sk", "Cc", "Cf", "Cs", "Co", "Cn")
    return character in _READ_SIGNS or unicodedata.category(character) not in unread
