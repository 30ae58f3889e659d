"""Answers by an OpenAI-compatible `/chat/completions`: OpenAI, Ollama, vLLM, llama.cpp, LocalAI."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final

from relay.parts.chat import chat_messages, chat_tool_choice, chat_tools
from relay.parts.interfaces import (
    FunctionCall,
    PartFailed,
    ReplyDelta,
    ReplyEnding,
    ReplyPiece,
    ReplyRequest,
    TokenUsage,
    as_json,
    incomplete,
)
from relay.parts.openai_client import OpenAIClient
from relay.parts.remote import attempted
from relay.parts.thinking import SpokenText

MAX_CALLS: Final = 32
"""Functions called by one answer; one that calls more has failed."""

NEWER_LIMIT: Final = "max_completion_tokens"
"""What OpenAI's models call the bound of an answer; those that reason refuse the older name."""
OLDER_LIMIT: Final = "max_tokens"
"""What every other server knows."""

_MALFORMED: Final = ("400", "422")
_ENDINGS: Final[Mapping[str, ReplyEnding]] = {
    "length": incomplete("max_output_tokens"),
    "content_filter": incomplete("content_filter"),
}


class OpenAIResponder:
    """A `Responder` on a server's model: the one of this name, "" for the first that it lists."""

    calls_tools = True

    def __init__(self, client: OpenAIClient, model: str) -> None:
        self._client = client
        self._model = model

    @property
    def name(self) -> str:
        """The model."""
        return self._model or "first listed"

    async def respond(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece]:
        """Yield the answer as it is written, without the model's thoughts."""
        model = await self._model_for(request)
        async with (
            self._client.slots("responder").slot(request.max_wait),
            aclosing(self._in_a_known_form(request, model)) as answer,
        ):
            async for piece in answer:
                yield piece

    async def probe(self) -> None:
        """Ask the server for its models; raises `PartFailed`."""
        await self._client.probe("responder")

    async def _model_for(self, request: ReplyRequest) -> str:
        """Return the request's model where the server has it, else this responder's own."""
        if request.model and request.model != self._model:
            found = await self._client.find_model("responder", request.model)
            if found is not None:
                if request.taken_over is not None:
                    request.taken_over(found)
                return found
        self._model = self._model or await self._client.first_model("responder")
        return self._model

    async def _in_a_known_form(
        self, request: ReplyRequest, model: str
    ) -> AsyncGenerator[ReplyPiece]:
        """Try another form of the request if the server refuses one, and remember what it took."""
        forms = self._forms(request, model)
        for number, form in enumerate(forms, 1):
            try:
                async with aclosing(attempted(partial(self._attempt, form))) as answer:
                    async for piece in answer:
                        self._remember(form, request)
                        yield piece
            except PartFailed as failure:
                if number == len(forms) or not failure.detail.startswith(_MALFORMED):
                    raise
            else:
                return

    def _forms(self, request: ReplyRequest, model: str) -> list[dict[str, Any]]:
        """Return the forms to try: each name of the bound, with the temperature and without."""
        limits, untempered = self._client.token_limits, model in self._client.untempered
        usual = NEWER_LIMIT if self._client.is_openai else OLDER_LIMIT
        names = [limits.get(model, usual)]
        if request.max_tokens is not None and model not in limits:
            names.append(OLDER_LIMIT if usual == NEWER_LIMIT else NEWER_LIMIT)
        forms = [_form(request, model, name) for name in names]
        if request.temperature is None:
            return forms
        tempered = [{**form, "temperature": request.temperature} for form in forms]
        return forms if untempered else [*tempered, *forms]

    def _remember(self, form: dict[str, Any], request: ReplyRequest) -> None:
        model = form["model"]
        if request.max_tokens is not None:
            self._client.token_limits[model] = NEWER_LIMIT if NEWER_LIMIT in form else OLDER_LIMIT
        if request.temperature is not None and "temperature" not in form:
            self._client.untempered.add(model)

    async def _attempt(self, form: dict[str, Any]) -> AsyncGenerator[ReplyPiece]:
        answer = _Answer({tool["function"]["name"] for tool in form.get("tools", ())})
        chunks = self._client.documents(
            "responder",
            lambda client: client.chat.completions.with_streaming_response.create(**form),
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                try:
                    text = answer.take(chunk)
                except (AttributeError, TypeError, ValueError):
                    raise PartFailed("responder", "failed", "malformed answer") from None
                if text:
                    yield ReplyDelta(text)
        for piece in answer.end():
            yield piece


def _form(request: ReplyRequest, model: str, limit: str) -> dict[str, Any]:
    form: dict[str, Any] = {
        "model": model,
        "messages": chat_messages(request),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if tools := chat_tools(request):
        form["tools"] = tools
        form["tool_choice"] = chat_tool_choice(request)
    if request.max_tokens is not None:
        form[limit] = request.max_tokens
    return form


class _Answer:
    """An answer put together from the chunks of a stream."""

    def __init__(self, tools: set[str]) -> None:
        self._tools = tools
        self._text = SpokenText()
        self._calls: list[_Call] = []
        self._usage: TokenUsage | None = None
        self._finish = ""

    def take(self, chunk: Mapping[str, Any]) -> str:
        """Take the next chunk; return the text to say now."""
        self._usage = _usage(chunk.get("usage")) or self._usage
        choice = next(iter(chunk.get("choices") or ()), None)
        if not isinstance(choice, dict):
            return ""
        self._finish = choice.get("finish_reason") or self._finish
        # A server that does not stream answers with a whole message.
        delta = choice.get("delta") or choice.get("message") or {}
        for place, call in enumerate(delta.get("tool_calls") or ()):
            self._take_call(call, call.get("index", place))
        return self._text.feed(delta.get("content") or delta.get("refusal") or "")

    def end(self) -> list[ReplyPiece]:
        """Return what follows the text; raises `PartFailed` when the model did not finish."""
        if not self._finish:
            raise PartFailed("responder", "failed", "cut")
        pieces: list[ReplyPiece] = []
        if rest := self._text.end():
            pieces.append(ReplyDelta(rest))
        pieces += [FunctionCall(call.name, call.arguments or "{}") for call in self._whole_calls()]
        pieces += self._written_calls()
        if self._usage:
            pieces.append(self._usage)
        if ending := _ENDINGS.get(self._finish):
            pieces.append(ending)
        return pieces

    def _take_call(self, delta: Mapping[str, Any], index: int) -> None:
        """Add to the call of an index; another id there is another call (older Ollamas)."""
        call_id, function = delta.get("id") or "", delta.get("function") or {}
        call = next((call for call in reversed(self._calls) if call.index == index), None)
        if call is None or (call_id and call.call_id and call_id != call.call_id):
            if len(self._calls) >= MAX_CALLS:
                raise PartFailed("responder", "failed", "too many calls")
            call = _Call(index, call_id)
            self._calls.append(call)
        call.name += function.get("name") or ""
        call.arguments += function.get("arguments") or ""

    def _whole_calls(self) -> "list[_Call]":
        """Return the calls; those of an answer that was cut only where they are complete."""
        if self._finish != "length":
            return self._calls
        return [call for call in self._calls if _parsed(call.arguments) is not None]

    def _written_calls(self) -> list[ReplyPiece]:
        """Return the calls of functions that a small model wrote into its text."""
        found = [_parsed(text) or {} for text in self._text.calls]
        return [
            FunctionCall(call["name"], as_json(call.get("arguments") or {}))
            for call in found
            if call.get("name") in self._tools
        ]


class _Call:
    """A call that is being put together."""

    def __init__(self, index: int, call_id: str) -> None:
        self.index = index
        self.call_id = call_id
        self.name = ""
        self.arguments = ""


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _usage(usage: Any) -> TokenUsage | None:
    if not isinstance(usage, dict):
        return None
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return TokenUsage(int(read), int(written), int(cached))
