"""The worker in a room that stands in for LiveKit's: translations, calls, and coming back."""

import asyncio
import base64
import inspect
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import jwt
import pytest
from livekit import api, rtc

from relay.audio.decoding import AudioDecoder
from relay.cli.serve import LIVEKIT
from relay.cli.translate import ORDER as STATUSES
from relay.cli.translate import AnswerMismatch, TranslationCheck, translate
from relay.config.loading import contradictions
from relay.config.settings import Settings
from relay.doors.livekit import LivekitDoor, LivekitOptions, LivekitServices
from relay.doors.livekit import door as door_module
from relay.doors.livekit import speaking as speaking_module
from relay.doors.livekit.door import MAX_TASKS
from relay.doors.livekit.packets import CHUNK, MAX_PACKET, Packets, read_request
from relay.doors.livekit.speaking import FRAME_BYTES, RoomVoice
from relay.doors.livekit.talking import RoomCall
from relay.doors.livekit.translating import Interpreter, only_translation
from relay.open_doors import DoorNotInstalled, Doors, DoorServices, open_doors
from relay.parts.elevenlabs import ElevenLabsSynthesizer
from relay.parts.interfaces import (
    PartFailed,
    ReplyDelta,
    ReplyEnding,
    ReplyPiece,
    ReplyRequest,
    SynthesisRequest,
    incomplete,
)
from relay.parts.simple import Script, scripted_parts
from relay.realtime.coaching.control import Command
from tests.doors.livekit import room as stand_in
from tests.doors.livekit.room import Microphone, Publication, Room, Rtc, Server
from tests.golden.shapes import golden
from tests.parts.doubles.elevenlabs import KEY, OTHER_VOICE, VOICE, elevenlabs
from tests.scenarios.stage import SILENCE, SPEECH, Stage, live_sessions, stage

SPANISH = {"Good morning.": "Buenos días.", "Thank you.": "Gracias."}
ORDER = [
    *("processing", "translated", "synthesizing_speech", "streaming_audio_started"),
    *("audio_chunk", "streaming_audio_ended", "completed"),
]
SECRET = "a-secret-of-LiveKits-that-is-long-enough"


class Dictionary:
    """A responder that translates what it knows, with what a model might put around it."""

    name = "dictionary"

    def __init__(self, around: str = "{}") -> None:
        self._around = around
        self.asked: list[ReplyRequest] = []
        self.ending: ReplyEnding | None = None

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        self.asked.append(request)
        await asyncio.sleep(0)
        for line in (self._around.format(SPANISH.get(request.prompt, "")),):
            yield ReplyDelta(line)
        if self.ending is not None:
            yield self.ending


class Tone:
    """A synthesizer of a second a call; it can break off, or wait."""

    name = "tone"

    def __init__(
        self,
        breaks_after: int | None = None,
        gate: asyncio.Event | None = None,
        fault: Exception | None = None,
        pieces: int = 40,
    ) -> None:
        self._breaks_after = breaks_after
        self._gate = gate
        self._fault = fault
        self._pieces = pieces
        self.asked: list[SynthesisRequest] = []

    async def prepare(self) -> None: ...

    async def aclose(self) -> None: ...

    async def synthesize(self, request: SynthesisRequest) -> AsyncIterator[bytes]:
        self.asked.append(request)
        if self._fault is not None:
            raise self._fault
        for number in range(self._pieces):
            if number == self._breaks_after:
                raise PartFailed("synthesizer", "unavailable")
            if self._gate is not None and number == 20:
                await self._gate.wait()
            yield SPEECH[:24_000]


class Hall:
    """A relay whose only worker is the LiveKit door, in a room of the test's."""

    def __init__(self, around: str, voice: Tone, spoken: Sequence[str]) -> None:
        self.server = Server()
        self.words, self.voice = Dictionary(around), voice
        self.spoken = spoken

    def make(self, here: DoorServices) -> Doors:
        parts = scripted_parts()
        object.__setattr__(parts, "make_responder", lambda: self.words)
        services = LivekitServices(
            interpreter=Interpreter(parts, self.voice, self.spoken),
            defaults=here.defaults,
            transcription=here.services.transcription,
            unix=here.services.clock.unix,
            rtc=Rtc(self.server),
            api=api,
        )
        options = LivekitOptions("wss://livekit.example", "key", SECRET, "jobs")
        return Doors(workers=[LivekitDoor(options, services)])


@asynccontextmanager
async def hall(
    folder: Path,
    around: str = "{}",
    voice: Tone | None = None,
    spoken: Sequence[str] = (),
    script: Script | None = None,
) -> AsyncIterator[tuple[Hall, Stage]]:
    made = Hall(around, voice or Tone(), spoken)
    async with stage(folder, script, make_doors=made.make) as here:
        await made.server.present()
        yield made, here


def asking(text: str = "Good morning.", **more: Any) -> dict[str, Any]:
    packet = {"type": "translation_request", "requestId": "r-1", "text": text}
    return {**packet, "targetLanguage": "Spanish", "voiceId": "v", **more}


def statuses(packets: Sequence[dict[str, Any]]) -> list[str]:
    """The order of what came, chunks in a row as one."""
    names = [packet.get("status") or packet["type"] for packet in packets]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


def sound(packets: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(p["chunk"]) for p in packets if p["type"] == "audio_chunk")


async def test_S1_6_S1_7_S1_8_S1_9_a_request_is_translated_and_spoken(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking())
        packets = await ada.until("completed")

    assert statuses(packets) == ORDER
    for packet in packets:
        golden("livekit", packet.get("status") or packet["type"], packet)
        assert packet["requestId"] == "r-1"
    assert packets[1]["details"]["originalText"] == "Good morning."
    assert packets[1]["details"]["translatedText"] == "Buenos días."
    assert packets[-1]["details"]["translatedText"] == "Buenos días."


async def test_S1_10_S1_11_S1_12_the_chunks_are_one_mp3(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking(requestId="ü" * 200))
        packets = await ada.until("completed")
    chunks = [packet for packet in packets if packet["type"] == "audio_chunk"]

    assert [chunk["sequence"] for chunk in chunks] == list(range(len(chunks)))
    assert len(chunks) > 3
    assert [chunk["final"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    beginnings = {base64.b64decode(chunk["chunk"])[:2] for chunk in chunks}
    assert beginnings == {b"\xff\xf3"}, "each chunk begins with a frame"
    assert all(len(json.dumps(p, ensure_ascii=False).encode()) <= MAX_PACKET for p in packets)
    assert packets[-2]["details"]["totalBytes"] == len(sound(packets))
    decoder = AudioDecoder(workers=1)
    try:
        assert len(await decoder.decode(sound(packets))) / 48_000 == pytest.approx(20, abs=0.5)
    finally:
        await decoder.aclose()


@pytest.mark.parametrize("letter", ["a", "я", "字", "\N{GRINNING FACE}", '"', "\1"])
def test_S1_12_long_texts_fit_whatever_their_script(letter: str) -> None:
    asked = json.dumps(asking(letter * 5000, requestId=letter * 200)).encode()
    request = read_request(asked, 1)
    assert request is not None
    packets = Packets(request)
    made = [*packets.translated(letter * 9000, 1), *packets.completed(letter * 9000, 1, 1)]
    made += [packets.sound(bytes(CHUNK), is_final=False)]

    assert max(map(len, made)) <= MAX_PACKET
    shown = json.loads(made[0])["details"]["originalText"]
    assert shown.startswith(letter * 900)
    assert shown == letter * 5000 or shown.endswith("…")


async def test_S1_13_S1_14_nobody_else_gets_anything(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        ada, eve = made.server.join("ada"), made.server.join("eve")
        made.server.ask(ada, asking())
        await ada.until("completed")

    assert eve.packets == []


async def test_S1_4_S1_5_what_is_no_request(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(None, asking())
        others: list[Any] = [{"type": "chat"}, [], "text", 5]
        for other in others:
            made.server.ask(ada, other)
        made.server.ask(ada, b"{not json")
        packets = await ada.until("error")
        assert len(packets) == 1
        golden("livekit", "error", packets[0])
        assert packets[0]["message"] == "Invalid request format."
        assert packets[0]["requestId"] is None
        made.server.ask(ada, asking(requestId=None))
        packets = await ada.until("completed")

    assert packets[-1]["requestId"].startswith("req-")


@pytest.mark.parametrize("missing", ["text", "targetLanguage"])
async def test_S1_15_what_is_missing_is_an_error(tmp_path: Path, missing: str) -> None:
    async with hall(tmp_path) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, {key: value for key, value in asking().items() if key != missing})
        (packet,) = await ada.until("error")

    assert packet["requestId"] == "r-1"


async def test_S1_15_what_is_asked_for_reaches_model_and_voice(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking(translationModel="big", ttsModelId="fine", voiceId="voice-9"))
        await ada.until("completed")
        (words,), (speech,) = made.words.asked, made.voice.asked

    assert (words.model, speech.model, speech.voice) == ("big", "fine", "voice-9")
    assert "Spanish" in words.instructions
    assert speech.text == "Buenos días."


@pytest.mark.parametrize(
    "around",
    ["“{}”", '"{}"', "Here is the translation: {}", "Sure, here you go:\n\n{}", "Translation: {}"],
)
async def test_S1_16_only_the_translation_is_told(tmp_path: Path, around: str) -> None:
    assert only_translation(around.format("Gracias.")) == "Gracias."
    assert only_translation("Gracias: muchas gracias.") == "Gracias: muchas gracias."
    async with hall(tmp_path, around) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking("Thank you."))
        packets = await ada.until("completed")

    assert packets[1]["details"]["translatedText"] == "Gracias."


async def test_S1_16_S1_17_no_translation_is_one_error(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking("Unknown words."))
        packets = await ada.until("error")

    assert statuses(packets) == ["processing", "error"]
    assert packets[-1]["message"].startswith("Translation pipeline failed: ")


async def test_S1_17_half_a_translation_is_none(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        made.words.ending = incomplete("max_output_tokens")
        ada = made.server.join("ada")
        made.server.ask(ada, asking())
        packets = await ada.until("error", "completed")

    assert packets[-1]["message"] == "Translation pipeline failed: the translation is incomplete"


async def test_S1_17_a_language_without_a_voice(tmp_path: Path) -> None:
    async with hall(tmp_path, spoken=("en",)) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking())
        packets = await ada.until("error")

    assert packets[-1]["message"] == "Translation pipeline failed: there is no voice for Spanish"


@pytest.mark.parametrize(
    ("after", "text"), [(0, "Translation pipeline failed: "), (30, "Audio streaming failed: ")]
)
async def test_S1_17_S1_18_a_voice_that_breaks_off(tmp_path: Path, after: int, text: str) -> None:
    async with hall(tmp_path, voice=Tone(breaks_after=after)) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking())
        packets = await ada.until("error")

    assert packets[-1]["message"].startswith(text)
    assert "completed" not in statuses(packets)
    assert statuses(packets).count("error") == 1


async def test_S1_17_a_fault_is_one_error_and_nothing_of_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with hall(tmp_path, voice=Tone(fault=ZeroDivisionError("a secret"))) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking())
        packets = await ada.until("error")
    logged = capsys.readouterr().out

    assert packets[-1]["message"] == "Translation pipeline failed: internal error"
    assert logged.count("ZeroDivisionError") == 1
    assert "a secret" not in logged


async def test_S1_17_a_text_without_sound_is_an_error(tmp_path: Path) -> None:
    async with hall(tmp_path, voice=Tone(pieces=0)) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking())
        packets = await ada.until("error", "completed")

    assert packets[-1]["message"].startswith("Translation pipeline failed: ")


async def test_S1_22_a_room_that_takes_no_track(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        made.server.takes_tracks = False
        ada = made.server.join("ada")
        made.server.ask(ada, asking(publishTrack=True))
        packets = await ada.until("error")

    assert packets[-1]["message"] == "Worker error: Cannot stream audio."


async def test_S1_19_the_dialect_as_it_was_built(tmp_path: Path) -> None:
    request = {
        "type": "translation_request",
        "sourceText": "Good morning.",
        "sourceLanguage": "English",
        "targetLanguage": "Spanish",
    }
    async with hall(tmp_path) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, request)
        packets = await ada.until("completed")
        made.server.ask(ada, {**request, "sourceText": "Unknown."})
        async with asyncio.timeout(20):
            while (failed := ada.packets)[-1]["type"] != "error":
                await asyncio.sleep(0.01)

    expected = ["processing", "translating", "synthesizing", "streaming", "audio_chunk"]
    assert statuses(packets)[:6] == [*expected, "completed"]
    for packet in packets:
        if packet["type"] != "error":
            golden("livekit", f"built {packet.get('status') or packet['type']}", packet)
    golden("livekit", "built error", failed[-2])
    golden("livekit", "error", failed[-1])
    assert failed[-1]["message"] == "Failed to process request"


async def test_S1_22_a_track_instead_of_chunks(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking(publishTrack=True))
        packets = await ada.until("completed")
        ((name, published),) = made.server.published

        assert name == "amencast-spanish-audio"
        assert "audio_chunk" not in statuses(packets)
        assert len(published) == pytest.approx(40 * 24_000, abs=960)
        assert made.server.room.local_participant.tracks == {}


async def test_S1_23_requests_at_once_are_not_mixed_and_have_a_limit(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with hall(tmp_path, voice=Tone(gate=gate)) as (made, _):
        ada = made.server.join("ada")
        for number in range(6):
            made.server.ask(ada, asking(requestId=f"r-{number}"))
        await ada.until("error")
        gate.set()
        async with asyncio.timeout(20):
            while sum(packet.get("status") == "completed" for packet in ada.packets) < 4:
                await asyncio.sleep(0.01)
        refused = [packet for packet in ada.packets if packet["type"] == "error"]

    assert len(refused) == 2
    for number in range(4):
        own = [p for p in ada.packets if p["requestId"] == f"r-{number}"]
        assert statuses(own) == ORDER
        assert own[-2]["details"]["totalBytes"] == len(sound(own))


async def test_a_flood_of_one_participant_is_bounded(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        ada, bob = made.server.join("ada"), made.server.join("bob")
        for _number in range(500):
            made.server.ask(ada, b"{not json")
        made.server.ask(bob, asking())
        await bob.until("completed")

    assert len(ada.packets) == MAX_TASKS


async def test_S1_24_S1_27_who_leaves_is_not_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = asyncio.Event()
    async with hall(tmp_path, voice=Tone(gate=gate)) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking())
        await ada.until("synthesizing_speech")
        made.server.leave("ada")
        gate.set()
        bob = made.server.join("bob")
        made.server.ask(bob, asking())
        await bob.until("completed")
    logged = capsys.readouterr().out

    assert "completed" not in statuses(ada.packets)
    for told, who in (("joined", "ada"), ("left", "ada"), ("joined", "bob")):
        assert re.search(rf"participant {told}\b.*\bwho=\S*{who}", logged)


async def test_S1_25_S1_30_the_room_is_joined_again_and_no_key_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(door_module, "FIRST_WAIT", 0.01)
    async with hall(tmp_path) as (made, _):
        made.server.refusals = 2
        made.server.room.emit("disconnected", rtc.DisconnectReason.SERVER_SHUTDOWN)
        await made.server.present(2)
        made.server.room.emit("disconnected", 99)  # one of a newer server
        await made.server.present(3)
        ada = made.server.join("ada")
        made.server.ask(ada, asking())
        await ada.until("completed")
    logged = capsys.readouterr().out

    assert "SERVER_SHUTDOWN" in logged
    assert SECRET not in logged
    assert "Buenos" not in logged


async def test_S1_25_a_server_that_is_gone_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((door_module, "FIRST_WAIT"), (door_module, "LEAVE_SECONDS")):
        monkeypatch.setattr(module, name, 0.01)
    monkeypatch.setattr(speaking_module, "LEAVE_SECONDS", 0.01)
    gate = asyncio.Event()
    async with hall(tmp_path, voice=Tone(gate=gate)) as (made, _):
        ada = made.server.join("ada")
        made.server.ask(ada, asking(publishTrack=True))
        await ada.until("streaming_audio_started")
        made.server.answers = False
        lost = made.server.room
        lost.emit("disconnected", rtc.DisconnectReason.CONNECTION_TIMEOUT)
        async with asyncio.timeout(20):
            while made.server.room is lost or not made.server.room.is_in:
                await asyncio.sleep(0.01)
        made.server.answers = True


async def test_S1_2_S1_3_S1_26_the_token_is_for_this_room_and_it_leaves(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, _):
        room = made.server.room
        claims = jwt.decode(room.token, SECRET, algorithms=["HS256"])
    grants = claims["video"]

    assert claims["sub"].startswith("gpu-worker-")
    assert 23 * 3600 < claims["exp"] - claims["nbf"] <= 24 * 3600 + 60
    assert grants["room"] == "jobs"
    assert all(grants[one] for one in ("roomJoin", "canPublish", "canSubscribe", "canPublishData"))
    assert room.has_left


def test_S1_1_what_is_missing_is_named() -> None:
    problems = list(contradictions(Settings(relay_doors=("livekit",))))

    assert problems == [
        "the LiveKit door needs LIVEKIT_URL and LIVEKIT_API_KEY and LIVEKIT_API_SECRET: set them"
    ]
    assert LIVEKIT.name == "livekit"


async def test_S1_21_it_refuses_to_open_with_a_model_that_cannot_translate(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "relay_engine": "offline",
        "relay_llm": "local",
        "relay_doors": ("livekit",),
        "livekit_url": "wss://livekit.example",
        "livekit_api_key": "key",
        "livekit_api_secret": SECRET,
    }
    with pytest.raises(DoorNotInstalled, match="LLM_BASE_URL"):
        async with stage(tmp_path, make_doors=open_doors, **settings):
            pass


async def test_the_voice_of_its_own_is_released_with_the_doors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = []
    aclose = ElevenLabsSynthesizer.aclose

    async def close(voice: ElevenLabsSynthesizer) -> None:
        released.append(voice.name)
        await aclose(voice)

    monkeypatch.setattr(ElevenLabsSynthesizer, "aclose", close)
    settings: dict[str, Any] = {
        "relay_tts": "elevenlabs",
        "elevenlabs_api_key": KEY,
        "relay_doors": ("livekit",),
        "livekit_url": "ws://127.0.0.1:9",
        "livekit_api_key": "key",
        "livekit_api_secret": SECRET,
    }
    async with stage(tmp_path, make_doors=open_doors, **settings):
        assert released == []

    assert sorted(released) == ["eleven_flash_v2_5", "eleven_multilingual_v2"]


async def test_S1_20_elevenlabs_is_asked_as_it_was_promised() -> None:
    settings = {"stability": 0.5, "similarity_boost": 0.75}
    async with elevenlabs() as (double, address):
        voice = ElevenLabsSynthesizer(
            KEY, VOICE, "eleven_multilingual_v2", base_url=address, settings=settings
        )
        heard = [pcm async for pcm in voice.synthesize(SynthesisRequest("Hola.", OTHER_VOICE))]
        await voice.aclose()
    ((asked, body),) = double.bodies

    assert b"".join(heard)
    assert asked == OTHER_VOICE
    assert body == {
        "text": "Hola.",
        "model_id": "eleven_multilingual_v2",
        "voice_settings": settings,
    }


@pytest.mark.parametrize(
    "asks", [{"attributes": {"relay.agent": ""}}, {"metadata": '{"relay.agent": "default"}'}]
)
async def test_a_participant_talks_with_an_agent(tmp_path: Path, asks: dict[str, Any]) -> None:
    async with hall(tmp_path, script=Script(heard=["Hello?"])) as (made, here):
        ada = made.server.join("ada", **asks)
        microphone = Microphone(SPEECH + SILENCE + SILENCE)
        made.server.room.emit("track_subscribed", microphone, Publication(), ada)
        async with asyncio.timeout(20):
            while not made.server.published or not made.server.published[0][1]:
                await asyncio.sleep(0.01)
        (session,) = live_sessions(here.app)
        assert session.head.user_id == "ada"
        assert session.execute(Command("pause", "coach")) == "done"
        conversation = session.head.conversation_id
        microphone.is_over.set()
        await here.emptied()
        said = await here.stored(conversation, 2)
        assert made.server.room.local_participant.tracks == {}

    assert said[0]["text"] == "Hello?"
    assert made.server.published[0][0] == "relay-voice-ada"


async def test_S1_29_the_command_asks_and_checks(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "livekit_url": "wss://livekit.example",
        "livekit_api_key": "key",
        "livekit_api_secret": SECRET,
    }
    async with hall(tmp_path) as (made, _):
        packages = (api, Rtc(made.server))
        check = await translate(Settings(**given), "Thank you.", "Spanish", "", packages)
        with pytest.raises(AnswerMismatch, match="no translation"):
            await translate(Settings(**given), "Unknown words.", "Spanish", "", packages)

    assert check.text == "Gracias."
    assert len(check.sound) > 100_000


def test_S1_29_what_is_out_of_order_is_found() -> None:
    status = {"type": "status_update", "requestId": "r", "details": {}}
    chunk = {"type": "audio_chunk", "requestId": "r", "chunk": "AAAA"}
    ended = {**status, "status": "streaming_audio_ended", "details": {"totalBytes": 7}}
    for packets in (
        [{**status, "status": "completed"}],
        [{**chunk, "sequence": 1}],
        [{**status, "status": one} for one in STATUSES[:4]] + [{**chunk, "sequence": 0}, ended],
        [{"type": "error", "message": "no", "requestId": "r"}],
    ):
        check = TranslationCheck("r")
        for packet in packets:
            check.take(json.dumps(packet).encode())
        assert check.fault


async def test_who_does_not_ask_is_not_listened_to(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, here):
        ada = made.server.join("ada")
        made.server.room.emit("track_subscribed", Microphone(SPEECH), Publication(), ada)
        made.server.ask(ada, asking())
        await ada.until("completed")
        assert live_sessions(here.app) == []


async def test_the_sound_of_a_shared_screen_is_not_a_voice(tmp_path: Path) -> None:
    async with hall(tmp_path) as (made, here):
        ada = made.server.join("ada", attributes={"relay.agent": ""})
        screen = Publication(source=rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO)
        made.server.room.emit("track_subscribed", Microphone(SPEECH), screen, ada)
        made.server.ask(ada, asking())
        await ada.until("completed")
        assert live_sessions(here.app) == []


def told(call: RoomCall, kind: str, **more: Any) -> None:
    call.frame(json.dumps({"type": kind, **more}).encode())


def delta(pcm: bytes) -> dict[str, str]:
    return {"delta": base64.b64encode(pcm).decode()}


async def test_an_answer_is_spoken_without_gaps_whatever_pieces_it_comes_in() -> None:
    server = Server()
    package = Rtc(server)
    participant = stand_in.LocalParticipant(server, Room(server))
    async with RoomVoice(package, participant, "voice") as voice:
        call = RoomCall(package, voice)
        speaking = asyncio.create_task(call.speak())
        for start in range(0, 10_010, 1001 * 2):
            told(call, "response.output_audio.delta", **delta(SPEECH[start : start + 2002]))
        told(call, "response.output_audio.done")
        published = server.published[0][1]
        async with asyncio.timeout(20):
            while len(published) < 10_010:
                await asyncio.sleep(0)
        speaking.cancel()

    assert bytes(published[:10_010]) == SPEECH[:10_010]
    assert not any(published[10_010:])


async def test_what_was_not_spoken_yet_is_void_once_the_participant_speaks() -> None:
    server = Server()
    package = Rtc(server)
    participant = stand_in.LocalParticipant(server, Room(server))
    async with RoomVoice(package, participant, "voice") as voice:
        call = RoomCall(package, voice)
        speaking = asyncio.create_task(call.speak())
        told(call, "response.output_audio.delta", **delta(bytes([1]) * 50 * FRAME_BYTES))
        published = server.published[0][1]
        async with asyncio.timeout(20):
            while len(published) < 2 * FRAME_BYTES:
                await asyncio.sleep(0)
        told(call, "input_audio_buffer.speech_started")
        heard = len(published)
        told(call, "response.output_audio.delta", **delta(bytes([2]) * FRAME_BYTES))
        async with asyncio.timeout(20):
            while 2 not in published:
                await asyncio.sleep(0)
        speaking.cancel()

    assert published.count(1) <= heard + FRAME_BYTES < 50 * FRAME_BYTES


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (stand_in.Room.connect, rtc.Room.connect),
        (stand_in.Room.disconnect, rtc.Room.disconnect),
        (stand_in.Room.on, rtc.Room.on),
        (stand_in.LocalParticipant.publish_data, rtc.LocalParticipant.publish_data),
        (stand_in.LocalParticipant.publish_track, rtc.LocalParticipant.publish_track),
        (stand_in.LocalParticipant.unpublish_track, rtc.LocalParticipant.unpublish_track),
        (stand_in.AudioSource.__init__, rtc.AudioSource.__init__),
        (stand_in.AudioSource.capture_frame, rtc.AudioSource.capture_frame),
        (stand_in.AudioSource.clear_queue, rtc.AudioSource.clear_queue),
        (stand_in.AudioSource.wait_for_playout, rtc.AudioSource.wait_for_playout),
        (stand_in.AudioSource.aclose, rtc.AudioSource.aclose),
        (stand_in.AudioFrame.__init__, rtc.AudioFrame.__init__),
        (stand_in.LocalAudioTrack.create_audio_track, rtc.LocalAudioTrack.create_audio_track),
        (stand_in.AudioStream.__init__, rtc.AudioStream.__init__),
        (stand_in.AudioStream.aclose, rtc.AudioStream.aclose),
    ],
)
def test_the_stand_in_takes_what_livekit_takes(ours: Any, theirs: Any) -> None:
    mine, real = inspect.signature(ours).parameters, inspect.signature(theirs).parameters

    assert set(mine) <= set(real)
    for name, parameter in mine.items():
        assert parameter.kind == real[name].kind, name
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)


def test_the_events_are_livekits() -> None:
    room = Room(Server())
    used = {"data_received", "participant_connected", "participant_disconnected"}
    used |= {"track_subscribed", "disconnected"}

    assert used <= set(get_args(rtc.room.EventTypes))
    assert hasattr(rtc.TrackKind, "KIND_AUDIO")
    assert room.is_in is False
    for name in ("identity", "attributes", "metadata"):
        assert hasattr(rtc.RemoteParticipant, name)
    assert hasattr(rtc.RemoteTrackPublication, "source")
    assert {"data", "kind", "participant"} <= set(inspect.signature(rtc.DataPacket).parameters)
