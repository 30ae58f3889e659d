"""The services of speech and text: what each of them does with its body."""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.audio.decoding import AudioDecoder, AudioRejected, PcmFormat
from relay.doors.services import models as m
from relay.doors.services.callers import ServiceCaller
from relay.doors.services.failures import invalid
from relay.doors.services.memory import AnswerCache, Conversations
from relay.doors.services.work import PartWork
from relay.knowledge.bases import KnowledgeBases
from relay.parts.interfaces import HistoryEntry, Message, Parts, ReplyRequest
from relay.realtime.grant import Grant

NOT_CAUGHT: Final = "I didn't catch that. Could you please repeat?"
UNKNOWN_LANGUAGE: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Backing:
    """What all calls are answered with; `aliases` are other names of models.

    `parts` gives those that are there now.
    """

    parts: Callable[[], Parts]
    decoder: AudioDecoder
    knowledge: KnowledgeBases
    aliases: Mapping[str, str] = field(default_factory=dict)
    conversations: Conversations = field(default_factory=Conversations)
    answers: AnswerCache = field(default_factory=lambda: AnswerCache(time.monotonic))


@dataclass(frozen=True, slots=True)
class OneCall:
    """One call: who makes it, with which grant and model, and the parts at its service."""

    backing: Backing
    who: ServiceCaller
    grant: Grant
    work: PartWork
    model: str | None
    began: float = field(default_factory=time.perf_counter)

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.began

    async def decoded(self, audio: str, given: m.AudioFormat | None) -> bytes:
        """Return audio in base64 as PCM16, 24 kHz; b"" where there is none in it."""
        data = await asyncio.to_thread(_unpacked, audio)
        if not data and given is None:
            raise invalid("audio: it is empty")
        pcm = None
        if given is not None:
            pcm = PcmFormat(given.sampleRate, given.channels, given.bitsPerSample)
        try:
            return await self.backing.decoder.decode(data, pcm) if data else b""
        except AudioRejected as rejected:
            if rejected.code != "empty":
                raise
            return b""

    def request(
        self, config: m.AIOptions, history: Sequence[HistoryEntry], *, joins_talk: bool
    ) -> ReplyRequest:
        """Return what the model is asked; what the agent's grant locks is the server's."""
        most = self.grant.bounds.max_output_tokens
        return ReplyRequest(
            history=tuple(history),
            instructions=self.instructions(config),
            max_tokens=min(config.max_tokens, most or config.max_tokens),
            temperature=config.temperature,
            model=self.model,
            out_of_band=not joins_talk,
        )

    def instructions(self, config: m.AIOptions) -> str:
        """Return the agent's instructions where they are locked, else the caller's if any."""
        own = self.grant.instructions or ""
        if "instructions" in self.grant.locked_fields:
            return own
        return config.system_prompt or own or self.work.parts.instructions


def _unpacked(audio: str) -> bytes:
    """Return what is in base64, with or without the head of a data URL."""
    text = audio.partition(",")[2] if audio.startswith("data:") else audio
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("audio: it is not base64") from None


async def process_audio(call: OneCall, body: m.ProcessAudioBody) -> m.ProcessedAudio:
    """Answer something said."""
    heard = await call.work.hear(await call.decoded(body.audio, body.format))
    answer = NOT_CAUGHT
    if heard:
        said = (Message("user", heard),)
        answer = await call.work.reply(call.request(body.config, said, joins_talk=True))
    seconds = call.work.seconds
    return m.ProcessedAudio(
        text=answer,
        userText=heard,
        tools=call.work.tools,
        gpu_usage=m.GpuUsage(
            whisper_time=seconds.get("transcriber", 0.0), ollama_time=seconds.get("responder", 0.0)
        ),
        model=call.work.model,
        no_speech=not heard,
        processing_time=call.elapsed,
    )


async def transcribe(call: OneCall, body: m.TranscribeBody) -> m.Transcribed:
    """Write down something said."""
    heard = await call.work.hear(await call.decoded(body.audio, body.format))
    return m.Transcribed(
        text=heard,
        language=language_of(call, heard),
        confidence=None,  # no transcriber of ours tells one
        no_speech=not heard,
        processing_time=call.elapsed,
    )


def language_of(call: OneCall, heard: str) -> str:
    """Return the language of what was heard, where the transcriber knows only one."""
    known = call.work.parts.transcriber.languages
    return known[0] if heard and len(known) == 1 else UNKNOWN_LANGUAGE


async def generate(call: OneCall, body: m.GenerateBody) -> m.Generated:
    """Answer a text."""
    request = call.request(body.config, (Message("user", body.text),), joins_talk=False)
    key = (call.who.caller.sub, call.grant.agent_id, request)
    may_be_kept = body.config.cache and not call.grant.server_tools
    kept = call.backing.answers.find(key) if may_be_kept else None
    text, model = kept or (await call.work.reply(request), call.work.model)
    if may_be_kept and kept is None:
        call.backing.answers.keep(key, text, model)
    return m.Generated(text=text, tools=call.work.tools, model=model, processing_time=call.elapsed)


async def chat(call: OneCall, body: m.ChatRequestBody) -> m.Chatted:
    """Answer the next message of a conversation, and remember both."""
    conversations = call.backing.conversations
    conversation_id, remembered = conversations.open(call.who, body.conversation_id)
    brought = tuple(Message(turn.role, turn.content) for turn in body.conversation_history)
    said = (*(brought or remembered), Message("user", body.message))
    text = await call.work.reply(call.request(body.config, said, joins_talk=True))
    conversations.keep(call.who, conversation_id, (*said, Message("assistant", text)))
    return m.Chatted(
        text=text,
        conversation_id=conversation_id,
        tools=call.work.tools,
        model=call.work.model,
        processing_time=call.elapsed,
    )
