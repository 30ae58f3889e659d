"""The addresses of OpenAI's API that a voice needs; its models hear and speak tones."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from relay.parts.simple import tone
from tests.parts.doubles.double import Double, demand, hertz, serving, split, wav_samples

KEY = "sk-of-the-double"
MS_PER_CHARACTER = 20
ODD_BYTES = 4801
STREAMING = {"gpt-4o-transcribe", "gpt-4o-mini-transcribe"}
SPEAKING = {"gpt-4o-mini-tts", "tts-1"}
OLD_VOICES = {"alloy", "ash", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer"}
VOICES = OLD_VOICES | {"ballad", "verse", "marin", "cedar"}


def error_body(status: int, code: str) -> object:
    message = "Incorrect API key provided: sk-of-*****. You said something private."
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@dataclass
class Answer:
    """What the chat model answers: words, calls as (id, name, arguments), and how it finishes.

    `deltas` in place of words are sent one by one. `whole` is for a server that does not stream.
    """

    words: str = ""
    deltas: Sequence[str] = ()
    calls: Sequence[tuple[str, str, str]] = ()
    finish: str | None = "stop"
    done: bool = True
    whole: bool = False


@dataclass
class OpenAIDouble(Double):
    """`limit` is the name of the bound of tokens that it takes; `answer_with` replaces its echo."""

    key: str = KEY
    limit: str = "max_completion_tokens"
    answer_with: Answer | None = None
    chats: list[dict[str, Any]] = field(default_factory=list)

    def authorize(self, request: web.Request) -> None:
        demand(request.headers.get("Authorization") == f"Bearer {self.key}", 401, "invalid_api_key")

    # ------------------------------------------------------------------ transcription

    async def transcriptions(self, request: web.Request) -> web.StreamResponse:
        self.authorize(request)
        demand(request.content_type == "multipart/form-data", 400, "wrong_content_type")
        form = await _form(request)
        self.bodies.append({name: value for name, value in form.items() if name != "file"})
        known = {"file", "model", "language", "prompt", "response_format", "stream"}
        demand(set(form) <= known, 400, "unknown_parameter")
        demand(form.get("response_format") == "json", 400, "unsupported_format")
        demand(len(form.get("language", "en")) == 2, 400, "invalid_language_format")
        pcm = wav_samples(form["file"], 24_000)
        demand(len(pcm) >= 4800, 400, "audio_too_short")
        # A long enough share of the turn to tell its pitch, off the loop as the real one's work is.
        pitch = await asyncio.to_thread(hertz, pcm[:48_000], 24_000)
        text = f"a tone of {pitch} hertz" if pitch else ""
        if form.get("stream") == "true" and form["model"] in STREAMING:
            events: list[dict[str, Any]] = [
                {"type": "transcript.text.delta", "delta": word} for word in _words(text)
            ]
            events.append({"type": "transcript.text.done", "text": text})
            return await self.answer(request, [_event(event) for event in events], EVENTS)
        body = json.dumps({"text": text, "usage": {"type": "duration", "seconds": 1}}).encode()
        return await self.answer(request, split(body, 7), "application/json")

    # -------------------------------------------------------------------------- chat

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.authorize(request)
        demand(request.content_type == "application/json", 415, "wrong_content_type")
        body = await request.json()
        self.chats.append(body)
        self.check_chat(body)
        answer = self.answer_with or Answer(f"You said: {_last(body['messages'])}.")
        usage = {
            "prompt_tokens": 11,
            "completion_tokens": 7,
            "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 5},
        }
        if answer.whole:
            whole = _message(answer) | {"usage": usage}
            return await self.answer(request, [json.dumps(whole).encode()], "application/json")
        pieces = [_event(chunk) for chunk in _chunks(answer)]
        if answer.done:
            pieces.append(_event({"choices": [], "usage": usage}))
            pieces.append(b"data: [DONE]\n\n")
        return await self.answer(request, [b": ping\r\n\r\n", *pieces], EVENTS)

    def check_chat(self, body: dict[str, Any]) -> None:
        """Refuse what OpenAI refuses."""
        known = {"model", "messages", "stream", "stream_options", "tools", "tool_choice"}
        unknown = set(body) - known - {self.limit}
        demand(not unknown & {"max_tokens", "max_completion_tokens"}, 400, "unsupported_parameter")
        demand(not unknown, 400, "unknown_parameter")
        demand(body["model"] == "gpt-4o-mini", 404, "model_not_found")
        demand(body["stream"] is True, 400, "not_streamed")
        demand(body["stream_options"] == {"include_usage": True}, 400, "no_usage")
        open_calls: set[str] = set()
        for message in body["messages"]:
            demand(message["role"] in {"system", "user", "assistant", "tool"}, 400, "role")
            if message["role"] == "tool":
                demand(message["tool_call_id"] in open_calls, 400, "no_such_call")
                open_calls.discard(message["tool_call_id"])
            else:
                demand(not open_calls, 400, "call_without_output")
            open_calls |= {call["id"] for call in message.get("tool_calls", ())}
        for tool in body.get("tools", ()):
            demand(tool["type"] == "function" and tool["function"]["name"], 400, "tool")

    # ------------------------------------------------------------------------ speech

    async def speech(self, request: web.Request) -> web.StreamResponse:
        self.authorize(request)
        demand(request.content_type == "application/json", 415, "wrong_content_type")
        body = await request.json()
        self.bodies.append(body)
        known = {"model", "input", "voice", "response_format", "speed"}
        demand(set(body) <= known, 400, "unknown_parameter")
        demand(body["model"] in SPEAKING, 404, "model_not_found")
        demand(0 < len(body["input"]) <= 4096, 400, "string_too_long")
        voices = OLD_VOICES if body["model"] == "tts-1" else VOICES
        demand(body["voice"] in voices, 400, "invalid_value")
        demand(body["response_format"] == "pcm", 400, "unsupported_format")
        demand(0.25 <= body.get("speed", 1) <= 4, 400, "decimal_above_max_value")
        pcm = tone(len(body["input"]) * MS_PER_CHARACTER)
        return await self.answer(request, split(pcm, ODD_BYTES), "audio/pcm")

    async def models(self, request: web.Request) -> web.StreamResponse:
        self.authorize(request)
        entries = [{"id": "gpt-4o-mini", "object": "model", "created": 0, "owned_by": "double"}]
        return web.json_response({"object": "list", "data": entries})

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/audio/transcriptions", self.transcriptions),
            web.post("/v1/audio/speech", self.speech),
            web.post("/v1/chat/completions", self.completions),
            web.get("/v1/models", self.models),
        ]


EVENTS = "text/event-stream; charset=utf-8"


@asynccontextmanager
async def openai_api(key: str = KEY) -> AsyncIterator[tuple[OpenAIDouble, str]]:
    """Serve the API; yields the double and its base address, version included."""
    double = OpenAIDouble(error_body, key=key)
    async with serving(double, *double.routes()) as address:
        yield double, f"{address}/v1"


async def _form(request: web.Request) -> dict[str, Any]:
    form: dict[str, Any] = {}
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        assert part.name
        content = bytes(await part.read())
        if part.name == "file":
            demand(part.filename and part.filename.endswith(".wav"), 400, "no_file_name")
        form[part.name] = content if part.name == "file" else content.decode()
    return form


def _last(messages: Sequence[dict[str, Any]]) -> str:
    return messages[-1]["content"] if messages else "nothing"


def _event(document: dict[str, Any]) -> bytes:
    name = f"event: {document['type']}\n" if "type" in document else ""
    return f"{name}data: {json.dumps(document)}\n\n".encode()


def _words(text: str) -> list[str]:
    return [word if not place else f" {word}" for place, word in enumerate(text.split(" ")) if word]


def _chunks(answer: Answer) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text} for text in answer.deltas or _words(answer.words)]
    for index, (call_id, name, _) in enumerate(answer.calls):
        function: dict[str, Any] = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call_id, "function": function}]})
    # The pieces of the calls' arguments come one after the other, as if written at once.
    for place in range(0, max((len(call[2]) for call in answer.calls), default=0), 4):
        for index, (_, _, arguments) in enumerate(answer.calls):
            function = {"arguments": arguments[place : place + 4]}
            deltas.append({"tool_calls": [{"index": index, "function": function}]})
    chunks = [_chunk(delta, None) for delta in deltas]
    return [*chunks, _chunk({}, answer.finish)] if answer.finish else chunks


def _chunk(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "choices": [choice]}


def _message(answer: Answer) -> dict[str, Any]:
    calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in answer.calls
    ]
    message = {"role": "assistant", "content": answer.words, "tool_calls": calls or None}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish}
    return {"object": "chat.completion", "choices": [choice]}
