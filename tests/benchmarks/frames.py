"""The frames of a benchmark: GA events in the sizes and the order of recordings (WIRE §1 to §3)."""

import base64
import json
import random
from dataclasses import dataclass
from typing import Any, Final

STAMP: Final = b"STAMP"
"""Stands before the time of sending; both are letters of base64, so that audio may carry them."""

DIGITS: Final = 19
"""Of a time in nanoseconds; with the five letters before them 24, whole base64 groups."""

HEAD_BYTES: Final = 128
"""A stamp stands within so many first bytes, also where a contender writes the JSON with spaces."""

TURN_SECONDS: Final = 5.0
DOWN_PER_SECOND: Final = 30
UP_PER_SECOND: Final = 50
BURST: Final = 12
"""How much faster than it is heard an answer comes in the burst variant; its mean rate stays."""

_TURN_FRAMES: Final = int(TURN_SECONDS * DOWN_PER_SECOND)
_AUDIO_FRAMES: Final = int(TURN_SECONDS * 4)
_TURNS: Final = 8  # then they come again, long after a window has ended
_UP_AUDIO = 960  # 20 ms of PCM16 at 24 kHz: frames of 1.33 KB
_DOWN_AUDIO = 12_000  # 250 ms: frames of 16.2 KB
_MARK = "STAMP" + "0" * DIGITS


@dataclass(frozen=True, slots=True)
class Piece:
    """A frame but for the time of its sending."""

    head: bytes
    tail: bytes

    def at(self, nanoseconds: int) -> bytes:
        """The frame as it is sent now."""
        return b"%b%019d%b" % (self.head, nanoseconds, self.tail)


def read_stamp(head: bytes) -> int | None:
    """When a frame with this beginning was sent, in nanoseconds; None where it carries no stamp."""
    start = head.find(STAMP) + len(STAMP)
    return int(head[start : start + DIGITS]) if start >= len(STAMP) else None


def piece(event: dict[str, Any]) -> Piece:
    """Cut an event in two around the place of its stamp."""
    head, digits, tail = json.dumps(event, separators=(",", ":")).partition("0" * DIGITS)
    if not digits:
        raise ValueError("an event without a place for its stamp")
    return Piece(head.encode(), tail.encode())


def append() -> Piece:
    """20 ms of a microphone; the stamp is the first audio of it, so that it costs no field."""
    audio = _noise(_UP_AUDIO, seed=1)
    return piece({"type": "input_audio_buffer.append", "audio": _MARK + audio[len(_MARK) :]})


def turns() -> list[Piece]:
    """What an engine sends in turns of five seconds, over and over."""
    audio = _noise(_DOWN_AUDIO, seed=2)
    return [one for number in range(_TURNS) for one in _turn(number, audio)]


def session_created() -> bytes:
    """The greeting, about as long as OpenAI's."""
    return _session("session.created")


def session_updated() -> bytes:
    """The answer to a `session.update`."""
    return _session("session.updated")


def _session(kind: str) -> bytes:
    session = {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_benchmark0000000000",
        "model": "gpt-realtime-2.1",
        "output_modalities": ["audio"],
        "instructions": "You are a patient language coach. " * 20,
        "tools": [],
        "audio": {"output": {"voice": "alloy", "format": {"type": "audio/pcm", "rate": 24000}}},
    }
    event = {"type": kind, "event_id": "event_benchmark000000000", "session": session}
    return json.dumps(event, separators=(",", ":")).encode()


def _noise(size: int, seed: int) -> str:
    return base64.b64encode(random.Random(seed).randbytes(size)).decode()


def _event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "event_id": f"event_{_MARK}", **fields}


def _turn(number: int, audio: str) -> list[Piece]:
    """One question and its answer: 150 events, 20 of them audio."""
    before, after = _question(number), _ending(number)
    room = _TURN_FRAMES - len(before) - len(after)
    answer = [piece(_spoken(number, place)) for place in range(room - _AUDIO_FRAMES)]
    sound = piece(_event("response.output_audio.delta", **_part(number), delta=audio))
    step = room / _AUDIO_FRAMES
    for place in range(_AUDIO_FRAMES):
        answer.insert(int(place * step), sound)
    return [*map(piece, before), *answer, *map(piece, after)]


def _part(number: int) -> dict[str, Any]:
    """The ids of an answer's content part, in OpenAI's order."""
    return {
        "response_id": f"resp_benchmark{number:010d}",
        "item_id": f"item_answer{number:013d}",
        "output_index": 0,
        "content_index": 0,
    }


def _spoken(number: int, place: int) -> dict[str, Any]:
    word = f" word{place}"
    padding = "xY7z"[: 10 - len(word)]
    kind = "response.output_audio_transcript.delta"
    return _event(kind, **_part(number), delta=word, obfuscation=padding)


def _item(number: int, role: str, status: str, transcript: str | None) -> dict[str, Any]:
    who = "question" if role == "user" else "answer"
    audio = "input_audio" if role == "user" else "output_audio"
    content = [] if transcript is None else [{"type": audio, "transcript": transcript}]
    return {
        "id": f"item_{who}{number:0{24 - 5 - len(who)}d}",
        "type": "message",
        "status": status,
        "role": role,
        "content": content,
    }


def _question(number: int) -> list[dict[str, Any]]:
    """The learner speaks, is transcribed, and an answer begins."""
    user = _item(number, "user", "completed", None)
    answer = _item(number, "assistant", "in_progress", None)
    item, part = {"item_id": user["id"]}, _part(number)
    heard = "conversation.item.input_audio_transcription."
    response = {"id": part["response_id"], "status": "in_progress", "output": []}
    return [
        _event("input_audio_buffer.speech_started", audio_start_ms=number, **item),
        _event("input_audio_buffer.speech_stopped", audio_end_ms=number + 1, **item),
        _event("input_audio_buffer.committed", previous_item_id=None, **item),
        _event("conversation.item.added", previous_item_id=None, item=user),
        _event("conversation.item.done", previous_item_id=None, item=user),
        _event(heard + "delta", **item, content_index=0, delta="How", obfuscation="aB3"),
        _event(heard + "delta", **item, content_index=0, delta=" do you do", obfuscation=""),
        _event(heard + "completed", **item, content_index=0, transcript="How do you do?"),
        _event("response.created", response=response),
        _event("response.output_item.added", response_id=response["id"], item=answer),
        _event("conversation.item.added", previous_item_id=user["id"], item=answer),
        _event("response.content_part.added", **part, part={"type": "audio", "transcript": ""}),
    ]


def _ending(number: int) -> list[dict[str, Any]]:
    """The answer is complete, and its text comes again in every form."""
    part, text = _part(number), "".join(f" word{place}" for place in range(110)).strip()
    item = _item(number, "assistant", "completed", text)
    usage = {"total_tokens": 250, "input_tokens": 50, "output_tokens": 200}
    response = {"id": part["response_id"], "status": "completed", "output": [item], "usage": usage}
    limits = [{"name": "tokens", "limit": 40000, "remaining": 39750, "reset_seconds": 0.4}]
    spoken = {"type": "audio", "transcript": text}
    return [
        _event("response.output_audio.done", **part),
        _event("response.output_audio_transcript.done", **part, transcript=text),
        _event("response.content_part.done", **part, part=spoken),
        _event("conversation.item.done", previous_item_id=None, item=item),
        _event("response.output_item.done", response_id=response["id"], item=item),
        _event("response.done", response=response),
        _event("rate_limits.updated", rate_limits=limits),
    ]
