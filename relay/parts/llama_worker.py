"""The process that runs a language model with llama.cpp: takes conversations, writes answers.

A request is JSON: `body`, a Chat Completions request without its limits, `max_tokens`, and
`characters`, after which an answer ends with its sentence (0: anywhere). Each piece of a reply is
JSON: `text`, or `call` (`name`, `arguments`), and the last one `input`, `output`, `cached` tokens.
"""

import json
import mmap
import os
import queue
import re
import secrets
import struct
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from relay.parts.interfaces import PartFailed
from relay.parts.worker_process import Work, run_worker

CONTEXT_TOKENS: Final = 2_048  # of the prompt and the answer; about 50 MB
MOST_THREADS: Final = 4  # so small a model gains nothing from more
SPINS: Final = "1000"  # turns that a thread waits for the others before it yields its core
ALL_LAYERS: Final = 999  # more than any model has

_CONTEXT_EXCEEDED: Final = "exceed_context_size_error"
_TEMPLATE_KEY: Final = b"tokenizer.chat_template"
_STRING: Final = 8  # GGUF's number for the type of a text


def load(arguments: Sequence[str]) -> tuple[Work, Mapping[str, str]]:
    """Load and warm up a model; the arguments are its file, the device and a first request."""
    file, device, first = arguments
    if not Path(file).is_file():
        raise FileNotFoundError("the file that LLM_MODEL names does not exist")
    server, used = start_server(file, device)

    def work(body: bytes, cancelled: Callable[[], bool]) -> Generator[bytes, None, None]:
        yield from answer(server, json.loads(body), cancelled)

    for _ in work(first.encode(), lambda: False):
        pass  # the beginning of every prompt is in the cache from here on
    return work, {"device": used, "tools": "yes" if "tools" in chat_template(file) else "no"}


def start_server(file: str, device: str) -> tuple[Any, str]:
    """Return a loaded `xllamacpp.Server` and the device that it computes on.

    It listens at once, on loopback unless told otherwise. Here it gets a socket in a folder that
    is removed, and a key that nobody knows: requests come by calls alone.
    """
    # Read by libgomp as it loads. By default threads wait spinning for milliseconds, and on busy
    # cores hold up the very thread that they wait for: ten times longer to the first word.
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # noqa: TID251 - the library's, not ours
    import xllamacpp  # noqa: PLC0415 - heavy; only needed here

    cards = [card for card in xllamacpp.get_device_info() if card["type"].name.endswith("GPU")]
    card = cards[0]["name"] if cards and device != "cpu" else ""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.n_gpu_layers = ALL_LAYERS if card else 0
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = min(os.cpu_count() or 1, MOST_THREADS)
    parameters.cpuparams_batch.n_threads = parameters.cpuparams.n_threads
    parameters.cache_ram_mib = 0
    parameters.n_threads_http = 1
    parameters.endpoint_slots = False
    parameters.ui = False
    parameters.verbosity = -1
    parameters.api_keys = [secrets.token_hex(16)]
    with tempfile.TemporaryDirectory() as folder:
        parameters.hostnames = [str(Path(folder, "l.sock"))]
        server = xllamacpp.Server(parameters)
    return server, card or "cpu"


def answer(
    server: Any, request: dict[str, Any], cancelled: Callable[[], bool]
) -> Generator[bytes, None, None]:
    """Yield the pieces of one answer; a conversation that is too long loses its older half."""
    messages = request["body"]["messages"]
    while True:
        try:
            yield from _pieces(server, request, cancelled)
        except ContextExceeded:
            shorter = without_older_half(messages)
            if len(shorter) == len(messages):
                raise PartFailed("responder", "rejected", "the prompt is too long") from None
            messages = request["body"]["messages"] = shorter
        else:
            return


class ContextExceeded(Exception):  # noqa: N818 - it is met by asking again
    """The prompt does not fit into the context."""


def without_older_half(messages: list[Any]) -> list[Any]:
    """Return the messages without the older half of those that are neither first nor last."""
    kept = len(messages[1:-1]) // 2
    return [*messages[:1], *messages[len(messages) - 1 - kept :]] if len(messages) > 1 else messages


def _pieces(
    server: Any, request: dict[str, Any], cancelled: Callable[[], bool]
) -> Generator[bytes, None, None]:
    short = ShortAnswer(request["characters"])
    usage = {"input": 0, "output": 0, "cached": 0}
    calls: dict[int, dict[str, str]] = {}
    left = threading.Event()
    chunks = _chunks(server, request, lambda: left.is_set() or cancelled())
    try:
        for chunk in chunks:
            _count(usage, chunk)
            delta = (chunk.get("choices") or [{}])[0].get("delta") or {}
            _add_calls(calls, delta)
            if text := short.add(delta.get("content") or ""):
                yield json.dumps({"text": text}).encode()
            if short.done:
                break
        if text := short.rest():
            yield json.dumps({"text": text}).encode()
    finally:
        left.set()
        chunks.close()
    for call in calls.values():
        yield json.dumps({"call": call}).encode()
    yield json.dumps(usage).encode()


def _chunks(
    server: Any, request: dict[str, Any], stop: Callable[[], bool]
) -> Generator[dict[str, Any], None, None]:
    """Yield what the server streams; who closes this waits until the server has stopped."""
    arrived: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()

    def take(chunk: Any) -> bool:
        for one in chunk if isinstance(chunk, list) else [chunk]:
            arrived.put(one)
        return stop()

    def run() -> None:
        try:
            server.handle_chat_completions(_body(request), take)
        except Exception as error:  # noqa: BLE001 - it is raised where the chunks are taken
            arrived.put(error)
        arrived.put(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while (chunk := arrived.get()) is not None:
            if isinstance(chunk, Exception):
                raise chunk
            if "error" in chunk or "code" in chunk:
                raise _failure(chunk.get("error", chunk))
            yield chunk
    finally:
        thread.join()


def _body(request: dict[str, Any]) -> dict[str, Any]:
    limits = {"max_tokens": request["max_tokens"], "stream": True}
    return {**request["body"], **limits, "timings_per_token": True, "cache_prompt": True}


def _failure(error: Any) -> Exception:
    kind = str(error.get("type", "")) if isinstance(error, dict) else ""
    if kind == _CONTEXT_EXCEEDED:
        return ContextExceeded()
    return PartFailed("responder", "failed", kind)


def _count(usage: dict[str, int], chunk: dict[str, Any]) -> None:
    timings = chunk.get("timings")
    if timings:
        usage["cached"] = int(timings["cache_n"])
        usage["input"] = int(timings["cache_n"]) + int(timings["prompt_n"])
        usage["output"] = int(timings["predicted_n"])


def _add_calls(calls: dict[int, dict[str, str]], delta: dict[str, Any]) -> None:
    for part in delta.get("tool_calls") or ():
        call = calls.setdefault(int(part.get("index", 0)), {"name": "", "arguments": ""})
        function = part.get("function") or {}
        call["name"] += function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""


class ShortAnswer:
    """Lets the text of an answer through, clause by clause, until it has been long enough.

    Only what is spoken passes: no marks of Markdown, quotation marks or emoji. With a bound in
    characters (0: none) the answer ends with the sentence that reaches half of it, before one that
    would exceed it, and within a first sentence that does, after a clause or between two words.
    """

    def __init__(self, characters: int) -> None:
        self._characters = characters
        self._said = 0
        self._sentences = 0
        self._waiting = ""
        self.done = False

    def add(self, text: str) -> str:
        """Take the next characters; return those that are certain to be said."""
        if not self._characters:
            return text
        self._waiting += spoken_only(text)
        said = ""
        while not self.done and (end := self._end()):
            said += self._take(end)
        if not self.done and self._said + len(self._waiting) > self._characters:
            self.done = True
            said += self._beginning()
        return said

    def rest(self) -> str:
        """Return what is left when the model has ended: a sentence, or all that it said."""
        if self.done or not self._characters:
            return ""
        self.done = True
        whole = _ENDED.search(self._waiting) or not self._sentences
        return self._waiting.rstrip() if whole else ""

    def _end(self) -> int:
        """Return where the next piece ends, 0 where that is not known yet."""
        ends = [_SENTENCE_END.search(self._waiting)]
        if not self._sentences:
            ends.append(_CLAUSE_END.search(self._waiting, LEAST_CLAUSE))
        return min((end.end() for end in ends if end), default=0)

    def _take(self, end: int) -> str:
        """Return a piece, as much of it as there is room for."""
        piece = self._waiting[:end]
        if self._said + len(piece) > self._characters:
            self.done = True
            return self._beginning()
        self._waiting = self._waiting[end:]
        self._said += len(piece)
        if _ENDED.search(piece):
            self._sentences += 1
            self.done = 2 * self._said >= self._characters
        return piece

    def _beginning(self) -> str:
        """Return as many words of a first sentence as there is room for, if nothing was said."""
        if self._said:
            return ""
        head = self._waiting[: self._characters]
        return (head.rpartition(" ")[0] or head).rstrip(" ,;:-") + "."


LEAST_CLAUSE: Final = 20  # characters: a shorter one is not worth speaking by itself

_SENTENCE_END = re.compile(r"(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bMrs)[.!?]+(?=\s)|\n+(?=\S)")
_CLAUSE_END = re.compile(r"[,;:](?=\s)")
_ENDED = re.compile(r"[.!?\n]\s*$")
_UNSPOKEN = re.compile(
    r'[*_`#"\u201c\u201d~|<>\[\]{}]|[\u2600-\u27bf\ufe0f]|[\U0001f000-\U0001ffff]'
)


def spoken_only(text: str) -> str:
    """Return a text without signs that are not said."""
    return _UNSPOKEN.sub("", text)


def chat_template(file: str) -> str:
    """Return the template in a model's file, by which it reads conversations; "" without one."""
    with (
        Path(file).open("rb") as model,
        mmap.mmap(model.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        place = data.find(_TEMPLATE_KEY)
        if place < 0:
            return ""
        with suppress(struct.error):
            kind, length = struct.unpack_from("<IQ", data, place + len(_TEMPLATE_KEY))
            if kind == _STRING:
                start = place + len(_TEMPLATE_KEY) + struct.calcsize("<IQ")
                return data[start : start + length].decode(errors="replace")
    return ""


if __name__ == "__main__":
    run_worker(load)
