"""Telephony: a whole call in G.711 with an interruption, at both doors, and what a coach reads."""

import base64
import time
from pathlib import Path

import pytest

from relay.cli.replay import replay
from tests.realtime import wire_events as wire
from tests.scenarios.by_hand import CREATED, End, browser, client, openai, provided
from tests.scenarios.coaching import ask
from tests.scenarios.stage import Event, Stage, new_id

LAWS = {"audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw"}
"""The two laws of G.711, and their beta names."""
ANSWER = "one two three four five six seven eight nine ten"
FRAMES = 100
"""Of 20 ms each: two seconds, eight bytes a millisecond."""
LEAD = 21
"""Frames that are sent before the first is heard: with 100 ms until then, 500 ms and one more."""


class Watch:
    """A clock that the test moves, so that what was heard is exact. Seconds."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def configured(law: str) -> Event:
    """The engine's `session.updated`."""
    audio = {"input": {"format": {"type": law}}, "output": {"format": {"type": law}}}
    return {"type": "session.updated", "session": {**CREATED["session"], "audio": audio}}


def asked_for(law: str, door: str) -> Event:
    """The client's own settings."""
    name = LAWS[law]
    beta = {"input_audio_format": name, "output_audio_format": name}
    audio = configured(law)["session"]["audio"]
    session = beta if door == "browser" else {"type": "realtime", "audio": audio}
    return {"type": "session.update", "session": session}


def sound() -> list[Event]:
    ids = {"response_id": "resp_1", "item_id": "A1", "output_index": 0, "content_index": 0}
    delta = base64.b64encode(bytes(160)).decode()
    return [{"type": "response.output_audio.delta", **ids, "delta": delta}] * FRAMES


def answered(law: str = "") -> list[Event]:
    """A turn and its whole answer; the learner's words come last, and are shown at once.

    With a law the engine says that this answer is in it.
    """
    answer = wire.answer("A1", ANSWER, "U1")
    if law:
        answer[0]["response"]["audio"] = {"output": {"format": {"type": law}}}
    return [
        *wire.spoken_turn("U1", None),
        *answer[:4],
        *sound(),
        *answer[4:],
        wire.heard("U1", "Count."),
    ]


async def talked(end: End, call: End, law: str, door: str) -> None:
    """The session in this law, up to an answer that is all at the relay."""
    end.send(asked_for(law, door))
    count = 2 if door == "browser" else 1
    update = await call.until("session.update", 2)
    assert update["session"]["audio"]["output"]["format"] == {"type": law}
    call.send(*[configured(law)] * 2)
    await end.until("session.updated", count)
    call.send(*answered())
    await end.until("conversation.item.input_audio_transcription.completed")


async def interrupted(end: End, call: End) -> None:
    """The learner speaks over the answer, and the engine notices."""
    call.send(*wire.spoken_turn("U2", "A1"), wire.heard("U2", "Stop."))
    await end.until("conversation.item.input_audio_transcription.completed", 2)


async def read_by_a_coach(here: Stage, conversation_id: str) -> list[Event]:
    await here.stored(conversation_id, 3)
    status, page = await ask(here, f"/api/conversations/{conversation_id}/transcript")
    assert status == 200
    said: list[Event] = page["utterances"]
    return said


def expect_cut(said: list[Event], heard_ms: int) -> None:
    texts = ["Count.", " ".join(ANSWER.split()[: heard_ms // 200]), "Stop."]
    assert [one["heard_text"] for one in said] == texts
    answer = said[1]
    assert (answer["text"], answer["state"]) == (ANSWER, "interrupted")
    assert (answer["heard_ms"], answer["audio_ms"]) == (heard_ms, 2000)


@pytest.mark.parametrize("law", LAWS)
async def test_at_the_browser_door_it_is_paced_and_truncated_at_its_own_rate(
    tmp_path: Path, law: str
) -> None:
    watch, talk = Watch(), new_id()
    target = browser(conversation_id=talk)
    async with provided(tmp_path, watch) as (here, provider), client(here, target) as end:
        await end.until("session.created")
        call = await provider.call()
        await talked(end, call, law, "browser")
        assert end.types.count("response.audio.delta") == LEAD, "500 ms ahead and no more"
        watch.now += 0.5
        await interrupted(end, call)
        cut = await call.until("conversation.item.truncate")
        assert (cut["item_id"], cut["audio_end_ms"]) == ("A1", 400), "it began 100 ms later"
        assert "conversation.created" not in end.types, "not while they speak"
        expect_cut(await read_by_a_coach(here, talk), 400)


@pytest.mark.parametrize("law", LAWS)
async def test_at_the_openai_door_the_client_says_what_was_heard(tmp_path: Path, law: str) -> None:
    watch = Watch()
    target = openai(more="&relay=1")
    async with provided(tmp_path, watch) as (here, provider), client(here, target) as end:
        talk = (await end.until("relay.session"))["conversation_id"]
        call = await provider.call()
        await talked(end, call, law, "openai")
        assert end.types.count("response.output_audio.delta") == FRAMES
        watch.now += 0.7
        await interrupted(end, call)
        cut = {"type": "conversation.item.truncate", "item_id": "A1", "content_index": 0}
        end.send({**cut, "audio_end_ms": 600})
        assert (await call.until("conversation.item.truncate"))["audio_end_ms"] == 600
        expect_cut(await read_by_a_coach(here, talk), 600)


@pytest.mark.parametrize("law", LAWS)
def test_its_recording_is_replayed_at_its_own_rate(law: str) -> None:
    truncated = {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 600}
    events = [configured(law), *answered(), *wire.spoken_turn("U2", "A1"), truncated]
    rows = [{"dir": "s2c", "t": None, "event": event} for event in events]
    answer = replay(rows).utterances[1]
    assert (answer.state, answer.audio_ms) == ("interrupted", 2000)
    assert answer.heard_text == "one two three"


def asked_once(law: str, door: str) -> Event:
    """One answer in this law, in a session of PCM16."""
    audio = {"output": {"format": {"type": law}}}
    beta = {"output_audio_format": LAWS[law]}
    return {"type": "response.create", "response": beta if door == "browser" else {"audio": audio}}


@pytest.mark.parametrize("says", [True, False], ids=["the engine says it", "it does not"])
async def test_one_answer_in_a_law_is_paced_and_truncated_at_its_own_rate(
    tmp_path: Path, says: bool
) -> None:
    """And the one behind it at the session's."""
    watch, talk, law = Watch(), new_id(), "audio/pcmu"
    target = browser(conversation_id=talk)
    async with provided(tmp_path, watch) as (here, provider), client(here, target) as end:
        await end.until("session.created")
        call = await provider.call()
        end.send(asked_once(law, "browser"))
        create = await call.until("response.create")
        assert create["response"]["audio"]["output"]["format"] == {"type": law}
        call.send(*answered(law if says else ""))
        await end.until("conversation.item.input_audio_transcription.completed")
        assert end.types.count("response.audio.delta") == LEAD, "500 ms ahead and no more"
        watch.now += 0.5
        await interrupted(end, call)
        cut = await call.until("conversation.item.truncate")
        assert (cut["item_id"], cut["audio_end_ms"]) == ("A1", 400), "it began 100 ms later"
        expect_cut(await read_by_a_coach(here, talk), 400)


def test_one_answer_in_a_law_is_replayed_at_its_own_rate() -> None:
    truncated = {"type": "conversation.item.truncated", "item_id": "A1", "audio_end_ms": 600}
    rows: list[Event] = [{"dir": "c2s", "event": asked_once("audio/pcma", "browser")}]
    events = [CREATED, *answered(), *wire.spoken_turn("U2", "A1"), truncated]
    rows += [{"dir": "s2c", "event": event} for event in events]
    answer = replay(rows).utterances[1]
    assert (answer.state, answer.audio_ms) == ("interrupted", 2000)
    assert answer.heard_text == "one two three"
