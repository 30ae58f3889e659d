"""`relay translate`: asks the LiveKit door for a translation and checks what it answers."""

import argparse
import asyncio
import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from relay.cli.console import CliCommand, fail, load_or_fail, say
from relay.config import Settings, local_settings

ORDER: Final = (
    *("processing", "translated", "synthesizing_speech", "streaming_audio_started"),
    *("streaming_audio_ended", "completed"),
)
SECONDS: Final = 120.0
JOIN_SECONDS: Final = 20.0
IDENTITY: Final = "relay-translate"


class AnswerMismatch(Exception):  # noqa: N818 - what the command is there to find
    """The answer is not as it has to be; the text says what differs."""


class TranslationCheck:
    """What came for one request, and what is wrong with it; `sound` is the MP3."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._statuses: list[str] = []
        self._next = 0
        self.text = ""
        self.sound = b""
        self.over = asyncio.Event()
        self.fault = ""

    def take(self, data: bytes) -> None:
        """Take a packet of the room."""
        packet = json.loads(data)
        if packet.get("requestId") != self._request_id:
            return
        if packet["type"] == "audio_chunk":
            if packet["sequence"] != self._next:
                self._fail(f"chunk {packet['sequence']} came for {self._next}")
            self._next += 1
            self.sound += base64.b64decode(packet["chunk"])
        elif packet["type"] == "error":
            self._fail(str(packet["message"]))
        elif packet["type"] == "status_update":
            self._status(packet["status"], packet.get("details") or {})

    def _status(self, status: str, details: dict[str, Any]) -> None:
        self._statuses.append(status)
        self.text = details.get("translatedText") or self.text
        total = details.get("totalBytes")
        if tuple(self._statuses) != ORDER[: len(self._statuses)]:
            self._fail(f"statuses came as {', '.join(self._statuses)}")
        if total is not None and total != len(self.sound):
            self._fail(f"{len(self.sound)} bytes of sound came, and {total} were told")
        if status == ORDER[-1]:
            self.over.set()

    def _fail(self, fault: str) -> None:
        self.fault = self.fault or fault
        self.over.set()


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", help="what is to be translated")
    parser.add_argument("--to", default="Spanish", help="the language; Spanish unless given")
    parser.add_argument("--voice", default="", help="a voice of the synthesizer")
    parser.add_argument("--save", type=Path, metavar="FILE.mp3", help="where the speech goes")


def _run(given: argparse.Namespace) -> int:
    settings = load_or_fail(lambda: local_settings(relay_doors="openai,livekit"))
    try:
        from livekit import api, rtc  # noqa: PLC0415 - an extra
    except ImportError:
        fail("LiveKit's packages are not installed: pip install 'relay[livekit]'")
    try:
        check = asyncio.run(translate(settings, given.text, given.to, given.voice, (api, rtc)))
    except (AnswerMismatch, TimeoutError, OSError) as error:
        fail(str(error) or "no answer came: is the LiveKit door in this room?")
    except Exception as error:  # noqa: BLE001 - whatever LiveKit raises is one line
        fail(f"the room cannot be joined: {type(error).__name__}")
    say(f"{check.text}  ({len(check.sound)} bytes of MP3, all in order)")
    if given.save is not None:
        given.save.write_bytes(check.sound)
    return 0


async def translate(
    settings: Settings, text: str, target: str, voice: str, packages: tuple[Any, Any]
) -> TranslationCheck:
    """Ask in the room; raises `AnswerMismatch`, TimeoutError, and what LiveKit raises.

    `packages` are `livekit.api` and `livekit.rtc`.
    """
    api, rtc = packages
    check = TranslationCheck(request_id := f"check-{target}")
    room = rtc.Room()
    room.on("data_received", lambda packet: check.take(bytes(packet.data)))
    seen = asyncio.Event()
    room.on("participant_connected", lambda _: seen.set())
    await room.connect(settings.livekit_url or "", _token(settings, api))
    try:
        request = {"type": "translation_request", "requestId": request_id, "text": text}
        request |= {"targetLanguage": target, **({"voiceId": voice} if voice else {})}
        async with asyncio.timeout(JOIN_SECONDS):
            while not (workers := _workers(room)):
                seen.clear()
                await seen.wait()
        await room.local_participant.publish_data(
            json.dumps(request).encode(), reliable=True, destination_identities=workers
        )
        async with asyncio.timeout(SECONDS):
            await check.over.wait()
    finally:
        await room.disconnect()
    if check.fault:
        raise AnswerMismatch(check.fault)
    return check


def _workers(room: Any) -> list[str]:
    """The workers in the room, which a new participant sees a moment later."""
    return [name for name in room.remote_participants if name.startswith("gpu-worker-")]


def _token(settings: Settings, api: Any) -> str:
    key, secret = settings.livekit_api_key, settings.livekit_api_secret
    token = api.AccessToken(
        key.get_secret_value() if key else "", secret.get_secret_value() if secret else ""
    )
    room = settings.livekit_default_room_name
    grants = api.VideoGrants(room=room, room_join=True, can_publish_data=True)
    ttl = timedelta(minutes=10)
    return str(token.with_identity(IDENTITY).with_grants(grants).with_ttl(ttl).to_jwt())


TRANSLATE: Final = CliCommand(
    name="translate",
    help="ask the LiveKit door for a translation and check what it answers",
    example='relay translate "Good morning." --to Spanish --save answer.mp3',
    options=_options,
    run=_run,
)
