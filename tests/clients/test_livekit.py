"""PyPI's `livekit-agents` with its OpenAI plugin, unchanged; a session without a room.

The plugin opens a new connection when one ends, and when it is as old as `max_session_duration`.
"""

import uuid
from pathlib import Path

import pytest

from tests.clients.client import Client
from tests.clients.conversation import Place
from tests.clients.programs import LONG, TURN, WORDS, Programs
from tests.components import needs, require

pytestmark = [pytest.mark.clients, needs("livekit")]
PROGRAM = Path(__file__).with_name("livekit_python.py")
KEPT = [
    *WORDS[:3],
    *WORDS[4:6],
    ("user", "What is the weather in Oslo?"),
    ("function_call", '{"city": "Oslo"}'),
    ("function_call_output", "rain"),
    ("assistant", "Rain in Oslo."),
]
TWO_CALLS = [
    ("user", "Good morning."),
    ("assistant", "Good morning to you."),
    ("user", "And now in writing."),
    ("assistant", "Good morning to you."),  # what the provider says first in every call
]


def livekit(folder: Path) -> Client:
    return Client((str(require("livekit")), "-"), folder, PROGRAM, TURN)


async def test_a_conversation_with_a_function(served: Programs, tmp_path: Path) -> None:
    seen = await livekit(tmp_path).talk(served.place("livekit"), tmp_path, "talk")
    stored = await served.stored("livekit")

    rows = [tuple(row) for row in seen["rows"]]
    assert [row for row in rows if not LONG.startswith(row[1])] == KEPT
    assert seen["seconds"] > 2
    assert seen["errors"] == []
    assert [one.said for one in stored] == [*WORDS]


@pytest.mark.parametrize("named", [False, True], ids=["a new conversation", "the same"])
async def test_what_it_replays_after_max_session_duration_is_stored_once(
    served: Programs, tmp_path: Path, named: bool
) -> None:
    sub = f"livekit-again-{named}"
    conversation = [str(uuid.uuid4())] if named else []

    seen = await livekit(tmp_path).talk(
        served.place(sub), tmp_path, "reconnect", "3", *conversation
    )
    stored = await served.stored(sub, calls=2)

    assert [tuple(row) for row in seen["rows"]] == TWO_CALLS
    assert seen["errors"] == []
    said = [one.said for one in stored]
    if named:
        assert said == TWO_CALLS
        assert {one.conversation for one in stored} == {*conversation}
    else:
        assert said == [*TWO_CALLS[:2], *TWO_CALLS], "what the second conversation began with"
        assert len({one.conversation for one in stored}) == 2


@pytest.mark.parametrize("agent", [None, "elsewhere"], ids=["no token", "no such agent"])
async def test_it_stops_dialing_where_a_retry_mends_nothing(
    served: Programs, tmp_path: Path, agent: str | None
) -> None:
    place = served.place("nobody", agent)
    if agent is None:
        place = Place(place.origin, "no token")

    seen = await livekit(tmp_path).talk(place, tmp_path, "refused")

    assert seen["errors"] == [["invalid_api_key", False]], "and no other, so it dialed once"
